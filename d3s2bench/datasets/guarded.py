"""The dataset as a selector or a synthesizer sees it: of its splits, only train can be read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from d3s2bench.errors import StageError
from d3s2bench.interfaces import Dataset, Split


def forbidden_split(name: str, who: str) -> str | None:
    """Why ``who``, a method, may not read a split; None for train."""
    return None if name == "train" else f"{who} reads the split '{name}': a method may learn from train alone"


@dataclass(frozen=True)
class TrainAlone:
    """``dataset`` for ``who``: a guard against mistakes, not against malice."""

    dataset: Dataset
    who: str

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

    def split(self, name: str) -> Split:
        """Raises StageError for another split than train."""
        if why := forbidden_split(name, self.who):
            raise StageError(why)
        return self.dataset.split(name)
