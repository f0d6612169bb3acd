"""The datasets ``coco-stuff-164k`` and ``coco-stuff-10k``: 80 things and 91 stuffs (Caesar et al., CVPR 2018).

Their 171 classes live in a space of 182 ids, 11 of which no annotation uses. The PNGs of 164k hold 0 to 181 and 255;
the MATLAB files of 10k hold 1 to 182 and 0. mmsegmentation's converters write ``*_labelTrainIds.png``: 0 to 170 and 255
for 164k, 1 to 171 and 0 for 10k. The original is read where both are there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from d3s2bench.datasets.class_table import ClassTable, class_table
from d3s2bench.datasets.label_map import LabelMap
from d3s2bench.datasets.paired import Pair, PairedDataset, images_in, listed_names, pair

IDS = class_table("coco_stuff").ids
RAW_164K = LabelMap(IDS)
TRAIN_IDS_164K = LabelMap(tuple(range(len(IDS))))
RAW_10K = LabelMap(tuple(i + 1 for i in IDS), ignored=(0,))
TRAIN_IDS_10K = LabelMap(tuple(range(1, len(IDS) + 1)), ignored=(0,))


@dataclass(frozen=True)
class CocoStuff164k(PairedDataset):
    """COCO 2017's images with ``stuffthingmaps_trainval2017.zip`` as ``annotations``."""

    name: ClassVar[str] = "coco-stuff-164k"
    splits: ClassVar[tuple[str, ...]] = ("train", "val")
    eval_split: ClassVar[str] = "val"
    parts: ClassVar[tuple[str, ...]] = ("images", "annotations")

    @property
    def table(self) -> ClassTable:
        return class_table("coco_stuff")

    def pairs(self, split: str) -> Iterator[Pair]:
        masks = self.home / "annotations" / f"{split}2017"
        for image in images_in(self.home / "images" / f"{split}2017"):
            raw, train_ids = masks / f"{image.stem}.png", masks / f"{image.stem}_labelTrainIds.png"
            yield pair(image, {raw: RAW_164K, train_ids: TRAIN_IDS_164K})


@dataclass(frozen=True)
class CocoStuff10k(PairedDataset):
    """The tree of ``cocostuff-10k-v1.1.zip`` with its lists, or mmsegmentation's with a folder for each split."""

    name: ClassVar[str] = "coco-stuff-10k"
    splits: ClassVar[tuple[str, ...]] = ("train", "test")
    eval_split: ClassVar[str] = "test"
    parts: ClassVar[tuple[str, ...]] = ("images", "annotations")

    @property
    def table(self) -> ClassTable:
        return class_table("coco_stuff")

    def pairs(self, split: str) -> Iterator[Pair]:
        images, masks = self._places(split)
        for image in images:
            raw, train_ids = masks / f"{image.stem}.mat", masks / f"{image.stem}_labelTrainIds.png"
            yield pair(image, {raw: RAW_10K, train_ids: TRAIN_IDS_10K})

    def _places(self, split: str) -> tuple[list[Path], Path]:
        images, masks, lists = (self.home / part for part in ("images", "annotations", "imageLists"))
        if lists.is_dir():
            return [images / f"{name}.jpg" for name in listed_names(lists / f"{split}.txt")], masks
        return images_in(images / f"{split}2014"), masks / f"{split}2014"
