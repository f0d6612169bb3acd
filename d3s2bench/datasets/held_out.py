"""A development split carved out of train, so that choices are made on images that no final number depends on."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

from d3s2bench.datasets.label_counts import Counts, label_counts
from d3s2bench.datasets.narrowed import Narrowed
from d3s2bench.errors import DatasetError
from d3s2bench.files import digest
from d3s2bench.interfaces import Split
from d3s2bench.values import Image, Mask

DEV = "dev"


@dataclass(frozen=True)
class Part:
    """Some items of a split, as a split of their own."""

    whole: Split
    items: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.items)

    def item_name(self, i: int) -> str:
        return self.whole.item_name(self.items[i])

    def image(self, i: int) -> Image:
        return self.whole.image(self.items[i])

    def mask(self, i: int) -> Mask:
        return self.whole.mask(self.items[i])

    def label_counts(self, i: int) -> Counts:
        return label_counts(self.whole, self.items[i])


@dataclass(frozen=True)
class HeldOut(Narrowed):
    """``dataset`` with the items of train whose names match ``pattern`` (``0006R0*``) as the split ``dev``.

    It has these two splits and no other: whoever develops on it cannot see test. Nothing that is shipped for the
    dataset belongs to it either, since shipped models have seen all of train.
    """

    pattern: str

    @property
    def splits(self) -> tuple[str, ...]:
        return ("train", DEV)

    @property
    def assets(self) -> Path | None:
        return None

    @cached_property
    def fingerprint(self) -> str:
        return digest({"dataset": self.dataset.fingerprint, "held_out": self.pattern})

    def split(self, name: str) -> Split:
        """Raises DatasetError for another split than train and dev, and when either would be empty."""
        if name not in self.splits:
            raise DatasetError(f"dataset '{self.name}' has only train and dev while --holdout carves it: no '{name}'")
        return self._parts[name]

    @cached_property
    def _parts(self) -> dict[str, Part]:
        train = self.dataset.split("train")
        held = {i for i in range(len(train)) if fnmatchcase(train.item_name(i), self.pattern)}
        if not held or len(held) == len(train):
            which = "all" if held else "none"
            names = f"{train.item_name(0)} … {train.item_name(len(train) - 1)}"
            raise DatasetError(
                f"--holdout '{self.pattern}' matches {which} of the {len(train)} train images of '{self.name}': "
                f"give a pattern of file names ({names})"
            )
        rest = tuple(i for i in range(len(train)) if i not in held)
        return {"train": Part(train, rest), DEV: Part(train, tuple(sorted(held)))}
