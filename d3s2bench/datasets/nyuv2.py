"""The dataset ``nyuv2``: rooms, 13 or 40 classes (Silberman et al., ECCV 2012).

The official release is one MATLAB file; this reads PNGs made from it, such as those of ``ankurhanda/nyuv2-meta-data``:
``image/<split>``, ``seg13/<split>`` and ``seg40/<split>``, matched by the frame's number at the end of the file name
(``nyu_rgb_0042.png``, ``new_nyu_class13_0042.png``). Masks hold 1 to 13 or 1 to 40; 0 is unlabelled and ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from d3s2bench.datasets.class_table import ClassTable, class_table
from d3s2bench.datasets.label_map import LabelMap
from d3s2bench.datasets.paired import Pair, PairedDataset, images_in
from d3s2bench.errors import ConfigError, DatasetError


@dataclass(frozen=True)
class NyuV2(PairedDataset):
    """RGB images and masks in one of the two sets of classes."""

    num_classes: int = 13
    """13 (Couprie et al., ICLR 2013) or 40 (Gupta et al., CVPR 2013)."""
    name: ClassVar[str] = "nyuv2"
    splits: ClassVar[tuple[str, ...]] = ("train", "test")
    eval_split: ClassVar[str] = "test"
    parts: ClassVar[tuple[str, ...]] = ("image",)

    def __post_init__(self) -> None:
        if self.num_classes not in (13, 40):
            raise ConfigError(f"nyuv2.num_classes is {self.num_classes}: choose 13 or 40")
        super().__post_init__()

    @property
    def table(self) -> ClassTable:
        return class_table(f"nyuv2_{self.num_classes}")

    def pairs(self, split: str) -> Iterator[Pair]:
        labels = LabelMap(self.table.ids, ignored=(0,))
        images = images_in(self.home / "image" / split)
        folder = self.home / f"seg{self.num_classes}" / split
        masks = _by_frame(images_in(folder))
        for frame, image in _by_frame(images).items():
            if frame not in masks:
                raise DatasetError(f"{image} has no mask: expected a PNG whose name ends in {frame:04d} in {folder}")
            yield Pair(image, masks[frame], labels)


def _by_frame(files: list[Path]) -> dict[int, Path]:
    """The number at the end of each name, which counts the 1,449 frames of the release, in the files' order."""
    found: dict[int, Path] = {}
    for file in files:
        number = re.search(r"(\d+)$", file.stem)
        if number is None:
            raise DatasetError(f"{file} does not end in the number of its frame: name it such as rgb_0042.png")
        if found.setdefault(int(number[1]), file) is not file:
            raise DatasetError(f"{file} and {found[int(number[1])]} are of the same frame: keep one of them")
    return found
