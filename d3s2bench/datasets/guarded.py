"""The dataset as a selector or a synthesizer sees it: of its splits, only train can be read."""

from __future__ import annotations

from dataclasses import dataclass

from d3s2bench.datasets.narrowed import Narrowed
from d3s2bench.errors import StageError
from d3s2bench.interfaces import Split


def forbidden_split(name: str, who: str) -> str | None:
    """Why ``who``, a method, may not read a split; None for train."""
    return None if name == "train" else f"{who} reads the split '{name}': a method may learn from train alone"


@dataclass(frozen=True)
class TrainAlone(Narrowed):
    """``dataset`` for ``who``: a guard against mistakes, not against malice."""

    who: str

    def split(self, name: str) -> Split:
        """Raises StageError for another split than train."""
        if why := forbidden_split(name, self.who):
            raise StageError(why)
        return self.dataset.split(name)
