"""CSV: the comparison unrounded, for programs and spreadsheets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from d3s2bench import Json
from d3s2bench_leaderboards.view import View

if TYPE_CHECKING:
    import pandas as pd

    from d3s2bench_leaderboards.scope import Scope

FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Csv(View):
    """The columns of ``comparison``, mean and standard deviation apart; missing values are empty.

    With ``rows`` or ``columns``, five columns for each column of the grid: the metric, ``std``, ``n``, ``vs_random``
    and ``percent_of_full``, with the dataset, rate, architecture and whole protocol in their headers.
    """

    def render(self, records: Iterable[Json]) -> str:
        from d3s2bench_leaderboards.scope import Scope

        scope = Scope.of(records, self)
        table = _grid(scope, self) if self.pivots else _lines(scope)
        return table.map(_harmless).rename(columns=_harmless).to_csv(index=False, lineterminator="\n")


def _lines(scope: Scope) -> pd.DataFrame:
    """A metric that has a column of its name already takes its place."""
    from d3s2bench_leaderboards.tables import compare

    table = compare(scope.rows, scope.controls, scope.named)
    name = scope.metric.name
    return table.drop(columns=[name], errors="ignore").rename(columns={"score": name})


def _grid(scope: Scope, view: View) -> pd.DataFrame:
    import pandas as pd

    made = scope.grid(view)
    table: dict[str, list[Any]] = {name: [line[k] for line in made.lines] for k, name in enumerate(made.stub)}
    for column in made.columns:
        entries = [made.entry(line, column) for line in made.lines]
        for header, read in VALUES.items():
            name = _harmless(" / ".join([*column, header or scope.metric.name]))
            table[name] = [None if entry is None else read(entry) for entry in entries]
    return pd.DataFrame(table, dtype=object)


VALUES: dict[str, Any] = {
    "": lambda entry: entry.row.mean,
    "std": lambda entry: entry.row.std,
    "n": lambda entry: len(entry.row.records),
    "vs_random": lambda entry: entry.delta,
    "percent_of_full": lambda entry: entry.percent,
}


def _harmless(cell: Any) -> Any:
    """A spreadsheet takes a text that starts like a formula for one: an apostrophe keeps it a text."""
    if not isinstance(cell, str):
        return cell
    text = cell.encode(errors="replace").decode()  # half a character cannot be written
    return f"'{text}" if text.startswith(FORMULA) else text
