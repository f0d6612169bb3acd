"""The dataset ``voc2012``: 20 objects and background (Everingham et al., IJCV 2010; 2015).

Background, 0, is a class; 255 marks borders and what is hard to tell. Masks are palette PNGs: indices count, not
colours. ``train_set = trainaug`` adds the masks of SBD (Hariharan et al., ICCV 2011) in ``SegmentationClassAug``, which
have no borders; where there is an official mask, that is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from d3s2bench.datasets.class_table import ClassTable, class_table
from d3s2bench.datasets.label_map import LabelMap
from d3s2bench.datasets.paired import Pair, PairedDataset, listed_names, pair
from d3s2bench.errors import ConfigError

LABELS = LabelMap(class_table("voc2012").ids)
TRAIN_SETS = ("train", "trainaug")
MASKS = ("SegmentationClass", "SegmentationClassAug")


@dataclass(frozen=True)
class Voc2012(PairedDataset):
    """``VOC2012`` of the development kit."""

    train_set: str = "train"
    """``train`` (1,464 images) or ``trainaug`` (10,582)."""
    name: ClassVar[str] = "voc2012"
    splits: ClassVar[tuple[str, ...]] = ("train", "val")
    eval_split: ClassVar[str] = "val"
    archives: ClassVar[tuple[str, ...]] = ("VOC2012", "VOCdevkit/VOC2012")
    parts: ClassVar[tuple[str, ...]] = ("JPEGImages", "ImageSets/Segmentation")

    def __post_init__(self) -> None:
        if self.train_set not in TRAIN_SETS:
            raise ConfigError(f"voc2012.train_set is '{self.train_set}': choose one of {', '.join(TRAIN_SETS)}")
        super().__post_init__()

    @property
    def table(self) -> ClassTable:
        return class_table("voc2012")

    def listed(self, split: str) -> str:
        return self.train_set if split == "train" else split

    def pairs(self, split: str) -> Iterator[Pair]:
        for name in listed_names(self.home / "ImageSets" / "Segmentation" / f"{self.listed(split)}.txt"):
            masks = {self.home / folder / f"{name}.png": LABELS for folder in MASKS}
            yield pair(self.home / "JPEGImages" / f"{name}.jpg", masks)
