"""Figures: curves as PDF and PNG, to be read at the width of a column, in grey, too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from d3s2bench import ConfigError, Json, PluginError
from d3s2bench_leaderboards.view import Lens

KINDS = ("rate", "budget", "bytes", "cost", "classes")


@dataclass(frozen=True)
class Figures(Lens):
    """mIoU, or another metric, against rate, training budget, bytes and cost, and IoU by class from head to tail.

    Each picture is of one dataset, architecture and protocol; those of one kind and dataset stand in one figure, up to
    four below each other. The files depend on the records alone.
    """

    kinds: tuple[str, ...] = KINDS
    """Which figures; all that the records give."""
    most: int = 8
    """Methods in a picture: the controls, the best and the full train set."""
    width: float = 3.3
    """Of a column, in inches."""
    dpi: int = 200
    """Of the PNG."""
    folder: Path | None = None
    """Where the counts lie; without it classes stand in the order of their ids."""

    def render(self, records: Iterable[Json]) -> Mapping[str, bytes]:
        """Files by name.

        Raises:
            ConfigError: a kind that there is not, or a size that no figure has.
            PluginError: matplotlib is missing.
        """
        from d3s2bench_leaderboards.scope import Scope

        self._check()
        try:
            from d3s2bench_leaderboards.drawing import files
        except ModuleNotFoundError as error:
            raise PluginError("renderer figures needs matplotlib: pip install 'd3s2bench[figures]'") from error
        return files(Scope.of(records, self), self)

    def _check(self) -> None:
        check_kinds("figures", self.kinds)
        if self.most < 2 or not 1 <= self.width <= 20 or not 30 <= self.dpi <= 1200:
            raise ConfigError("renderer figures: give most from 2, width from 1 to 20 inches, dpi from 30 to 1200")


def check_kinds(renderer: str, kinds: Iterable[str]) -> None:
    """Raises ConfigError for a kind that there is not."""
    if unknown := sorted({*kinds} - {*KINDS}):
        raise ConfigError(f"renderer {renderer}: kind '{unknown[0]}': known: {', '.join(KINDS)}")
