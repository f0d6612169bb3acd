"""A dataset of which less is shown: what the views of a dataset share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from d3s2bench.interfaces import Dataset


@dataclass(frozen=True)
class Narrowed:
    """``dataset`` but for its splits, which each view gives in its own way."""

    dataset: Dataset

    @property
    def name(self) -> str:
        return self.dataset.name

    @property
    def classes(self) -> tuple[str, ...]:
        return self.dataset.classes

    @property
    def palette(self) -> tuple[tuple[int, int, int], ...]:
        return self.dataset.palette

    @property
    def splits(self) -> tuple[str, ...]:
        return self.dataset.splits

    @property
    def redistributable(self) -> bool:
        return self.dataset.redistributable

    @property
    def assets(self) -> Path | None:
        return self.dataset.assets

    @property
    def fingerprint(self) -> str:
        return self.dataset.fingerprint
