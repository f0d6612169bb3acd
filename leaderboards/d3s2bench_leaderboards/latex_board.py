"""The main table of the LaTeX format: a grid, with its marks, its noise floor and the average ranks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from d3s2bench_leaderboards import cells
from d3s2bench_leaderboards.grid import Grid, Key
from d3s2bench_leaderboards.latex_layout import line, spanning, tabular
from d3s2bench_leaderboards.marks import Entry
from d3s2bench_leaderboards.metrics import Metric
from d3s2bench_leaderboards.tex import escape, number, signed

MISSING, RANK = "--", "rank"
PLUS_MINUS, STAR, FEW = r"$\pm$", r"\rlap{$^*$}", r"$^\dagger$"
FEW_TO_TELL = rf"\rlap{{{FEW}}}"
GREY = r"\rowcolor[gray]{.92}"
TITLES = {"synth": "synthesizer", "arch": "architecture"}
FLOOR = "std over training seeds alone"
Values = Mapping[str, Callable[[Entry], str]]
"""Header to cell."""


def quantity(value: float, metric: Metric, sign: str = "") -> str:
    if metric.unit == "percent":
        return number(value, f"{sign}.2f")
    return signed(escape(cells.quantity(value, metric.unit, sign)))


@dataclass(frozen=True)
class Written:
    """How the numbers of a metric are written."""

    metric: Metric

    @property
    def values(self) -> Values:
        return {self.metric.label: self._score, r"$\Delta$": self._delta, r"\% full": self._full}

    def _score(self, entry: Entry) -> str:
        row = entry.row
        if math.isnan(row.mean) and not row.scores:
            return ""
        mean = quantity(row.mean, self.metric)
        spread = "" if math.isnan(row.std) else rf" {PLUS_MINUS} {quantity(row.std, self.metric)}"
        mean = rf"\textbf{{{mean}}}" if entry.best else mean
        return (rf"\underline{{{mean}}}" if entry.second else mean) + spread

    def _delta(self, entry: Entry) -> str:
        star = STAR if entry.different else FEW_TO_TELL if entry.untested else ""
        return "" if entry.delta is None else quantity(entry.delta, self.metric, "+") + star

    def _full(self, entry: Entry) -> str:
        """Blank for a cost: full is nothing to reach."""
        return "" if entry.percent is None else number(entry.percent, ".1f")


def board_tables(grid: Grid, metric: Metric, groups: int) -> list[str]:
    """One tabular for each so many columns; the last has the average rank, where the lines are methods."""
    values = Written(metric).values
    entries = [entry for cell in grid.cells.values() if (entry := grid.marked[cell.column].entry(cell.row))]
    headers = [header for header, write in values.items() if any(map(write, entries))]
    pages = [grid.columns[start : start + groups] for start in range(0, len(grid.columns), groups)]
    shown = {header: values[header] for header in headers}
    ranked = grid.ranked
    return [_tabular(grid, page, shown, metric, ranked and page is pages[-1]) for page in pages]


def _tabular(grid: Grid, page: Sequence[Key], values: Values, metric: Metric, ranked: bool) -> str:
    blocks = [
        [_line(grid, name, page, values, ranked) for name in names] for _, names in groupby(grid.lines, key=grid.block)
    ]
    stub, width = len(grid.stub), len(values)
    titles = [escape(TITLES.get(name, name)) for name in grid.stub]
    head = [*_head(grid, page, width), line([*titles, *list(values) * len(page), *[RANK] * ranked])]
    aligned = "l" * stub + "r" * width * len(page) + "r" * ranked
    return tabular(aligned, head, [*blocks, _floors(grid, page, width, metric, ranked)])


def _head(grid: Grid, page: Sequence[Key], width: int) -> list[str]:
    """The facets and the protocol, each over all columns that share it and what stands above it."""
    paths = [_path(grid, column) for column in page]
    lines: list[str] = []
    for level in range(1, len(paths[0]) + 1):
        shared = [(path[-1], len(list(same)) * width) for path, same in groupby(path[:level] for path in paths)]
        lines += spanning(shared, len(grid.stub) + 1)
    return lines


def _path(grid: Grid, column: Key) -> tuple[str, ...]:
    *facets, iterations, protocol = grid.texts(column, grid.head)
    dagger = FEW if any(each.podium.least_p is not None for each in grid.compared(column)) else ""
    trained = f"{iterations}, {escape(protocol)}, n = {_repetitions(grid, column)}{dagger}"
    return *map(escape, facets), rf"\scriptsize {trained}"


def _repetitions(grid: Grid, column: Key) -> str:
    """Those of the full train set count where a column has nothing else."""
    found = [cell for line in grid.lines if (cell := grid.cells.get((line, column)))]
    return cells.span(len(cell.row.records) for cell in [cell for cell in found if not cell.method.full] or found)


def _line(grid: Grid, name: Key, page: Sequence[Key], values: Values, ranked: bool) -> str:
    grey = GREY if grid.grey(name) else ""
    texts = map(escape, grid.texts(name, grid.stub))
    numbers = [text for column in page for text in _values(grid.entry(name, column), values)]
    return grey + line([*texts, *numbers, *[_rank(grid, name)] * ranked])


def _values(entry: Entry | None, values: Values) -> list[str]:
    return [MISSING if entry is None else write(entry) for write in values.values()]


def _rank(grid: Grid, name: Key) -> str:
    rank = grid.rank(name)
    return "" if math.isnan(rank) else number(rank, ".1f")


def _floors(grid: Grid, page: Sequence[Key], width: int, metric: Metric, ranked: bool) -> list[str]:
    """The noise that a difference has to stand out of; nothing where no row varies in its training seed alone."""
    floors = [[each.floor for each in grid.compared(column) if not math.isnan(each.floor)] for column in page]
    if not any(floors):
        return []
    values = [cell for found in floors for cell in (_floor(found, metric), *[""] * (width - 1))]
    return [line([rf"\multicolumn{{{len(grid.stub)}}}{{l}}{{{FLOOR}}}", *values, *[""] * ranked])]


def _floor(found: Sequence[float], metric: Metric) -> str:
    """From the least to the most, where the cells of a column belong to several columns of the board."""
    ends = (quantity(end, metric) for end in (min(found), max(found))) if found else ()
    return " to ".join(dict.fromkeys(ends))
