"""The dataset ``ade20k``: scene parsing in 150 classes (Zhou et al., CVPR 2017; IJCV 2019).

Files hold 0 for "other objects" and 1 to 150 for classes: 0 is ignored and train id 0 is wall, as ``reduce_zero_label``
does elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from d3s2bench.datasets.class_table import ClassTable, class_table
from d3s2bench.datasets.label_map import LabelMap
from d3s2bench.datasets.paired import Pair, PairedDataset, images_in, pair

FOLDERS = {"train": "training", "val": "validation"}
LABELS = LabelMap(class_table("ade20k").ids, ignored=(0,))


@dataclass(frozen=True)
class Ade20k(PairedDataset):
    """The tree of ``ADEChallengeData2016.zip``."""

    name: ClassVar[str] = "ade20k"
    splits: ClassVar[tuple[str, ...]] = tuple(FOLDERS)
    eval_split: ClassVar[str] = "val"
    archives: ClassVar[tuple[str, ...]] = ("ADEChallengeData2016",)
    parts: ClassVar[tuple[str, ...]] = ("images", "annotations")

    @property
    def table(self) -> ClassTable:
        return class_table("ade20k")

    def pairs(self, split: str) -> Iterator[Pair]:
        masks = self.home / "annotations" / FOLDERS[split]
        for image in images_in(self.home / "images" / FOLDERS[split]):
            yield pair(image, {masks / f"{image.stem}.png": LABELS})
