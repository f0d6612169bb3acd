"""CSV: the comparison unrounded, for programs and spreadsheets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from d3s2bench import Json

FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Csv:
    """The columns of ``comparison``, mean and standard deviation apart; missing values are empty."""

    def render(self, records: Iterable[Json]) -> str:
        from d3s2bench_leaderboards.tables import comparison

        return comparison(records).map(_harmless).to_csv(index=False, lineterminator="\n")


def _harmless(cell: Any) -> Any:
    """A spreadsheet takes a text that starts like a formula for one: an apostrophe keeps it a text."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell
