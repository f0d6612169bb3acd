"""The dataset ``cityscapes``: urban streets, 19 classes of evaluation (Cordts et al., CVPR 2016).

``*_labelIds.png`` holds all 34 ids, of which 19 are classes; ``*_labelTrainIds.png``, which cityscapesScripts derives,
holds 0 to 18 and 255. The original is read where both are there. Its images may not be passed on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from d3s2bench.datasets.class_table import ClassTable, class_table
from d3s2bench.datasets.label_map import LabelMap
from d3s2bench.datasets.paired import Pair, PairedDataset, images_in, pair
from d3s2bench.errors import DatasetError

CLASSES = class_table("cityscapes").ids
RAW = LabelMap(CLASSES, ignored=tuple(set(range(34)) - set(CLASSES)))
TRAIN_IDS = LabelMap(tuple(range(len(CLASSES))))
PHOTO = "_leftImg8bit"


@dataclass(frozen=True)
class Cityscapes(PairedDataset):
    """The tree of ``leftImg8bit_trainvaltest.zip`` and ``gtFine_trainvaltest.zip``; test has no public labels."""

    name: ClassVar[str] = "cityscapes"
    splits: ClassVar[tuple[str, ...]] = ("train", "val")
    eval_split: ClassVar[str] = "val"
    parts: ClassVar[tuple[str, ...]] = ("leftImg8bit", "gtFine")

    @property
    def table(self) -> ClassTable:
        return class_table("cityscapes")

    def pairs(self, split: str) -> Iterator[Pair]:
        photos = self.home / "leftImg8bit" / split
        cities = sorted(folder for folder in photos.glob("*") if folder.is_dir())
        if not cities:
            raise DatasetError(f"{photos} is missing or empty: put a folder for each city there")
        for city in cities:
            for image in images_in(city):
                stem = self.home / "gtFine" / split / city.name / f"{image.stem.removesuffix(PHOTO)}_gtFine"
                raw, train_ids = (stem.with_name(f"{stem.name}_{kind}.png") for kind in ("labelIds", "labelTrainIds"))
                yield pair(image, {raw: RAW, train_ids: TRAIN_IDS})
