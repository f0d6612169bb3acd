"""The main table of the LaTeX format: methods against columns, with their marks and their noise floor."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

from d3s2bench_leaderboards import cells
from d3s2bench_leaderboards.columns import Board, Column, Method
from d3s2bench_leaderboards.comparisons import Comparison, Podium, podium, with_random
from d3s2bench_leaderboards.controls import Controls, paired_difference, percent_of
from d3s2bench_leaderboards.latex_layout import line, spanning, tabular
from d3s2bench_leaderboards.rows import Row, Setting
from d3s2bench_leaderboards.significance import noise_floor
from d3s2bench_leaderboards.tex import escape, number

MISSING = "--"
GREY = r"\rowcolor[gray]{.92}"
STUB = ("selector", "synthesiser", "labels")
FLOOR = "std over training seeds alone"
Values = Mapping[str, Callable[[Row], str]]
"""Header to cell."""


@dataclass(frozen=True)
class Shown:
    """A column, its marks and what its cells say."""

    column: Column
    controls: Controls

    @cached_property
    def comparisons(self) -> list[Comparison]:
        return with_random(list(self.column.rows.values()), self.controls)

    @cached_property
    def podium(self) -> Podium:
        return podium(list(self.column.rows.values()))

    @cached_property
    def values(self) -> Values:
        return {"mIoU": self._miou, r"$\Delta$": self._delta, r"\% full": self._full}

    @cached_property
    def known(self) -> set[str]:
        """The headers that any row has a value for."""
        return {header for header, write in self.values.items() if any(map(write, self.column.rows.values()))}

    @cached_property
    def floor(self) -> float:
        return noise_floor(self.column.rows.values())

    @cached_property
    def _starred(self) -> set[Setting]:
        return {test.row.setting for test in self.comparisons if test.different}

    def _miou(self, row: Row) -> str:
        mean, spread = number(row.mean), "" if math.isnan(row.std) else rf" $\pm$ {number(row.std)}"
        if row.setting in self.podium.best:
            mean = rf"\textbf{{{mean}}}"
        return (rf"\underline{{{mean}}}" if row.setting == self.podium.second else mean) + spread

    def _delta(self, row: Row) -> str:
        mean = paired_difference(row, self.controls.random_real(row))
        star = r"\rlap{$^*$}" if row.setting in self._starred else ""
        return "" if mean is None else number(mean, "+.2f") + star

    def _full(self, row: Row) -> str:
        percent = percent_of(row, self.controls.converged(row))
        return "" if percent is None else number(percent, ".1f")


def board_tables(board: Board, shown: Sequence[Shown], groups: int) -> list[str]:
    """One tabular for each so many columns; the last has the average rank, where there is one."""
    headers = [header for header in shown[0].values if any(header in each.known for each in shown)]
    pages = [shown[start : start + groups] for start in range(0, len(shown), groups)]
    known = len(shown) > 1 and not all(math.isnan(rank) for rank in board.ranks.values())
    ranked = [known and page is pages[-1] for page in pages]
    return [_tabular(board, page, headers, last) for page, last in zip(pages, ranked, strict=True)]


def _tabular(board: Board, page: Sequence[Shown], headers: list[str], ranked: bool) -> str:
    stub = [k for k in range(3) if k < 2 or any(texts[2] != "hard" for texts in board.names.values())]
    blocks = [
        [_method(board, method, stub, page, headers, ranked) for method in methods]
        for _, methods in groupby(board.methods, key=lambda method: (method.full, method.control))
    ]
    head = [
        *_head(page, len(stub), len(headers)),
        line([*(STUB[k] for k in stub), *headers * len(page), *["rank"] * ranked]),
    ]
    aligned = "l" * len(stub) + "r" * len(headers) * len(page) + "r" * ranked
    return tabular(aligned, head, [*blocks, _floors(page, len(stub), len(headers), ranked)])


def _head(page: Sequence[Shown], stub: int, width: int) -> list[str]:
    """Dataset, rate, architecture and protocol, each over all columns that share it and what stands above it."""
    paths = [_path(each) for each in page]
    lines: list[str] = []
    for level in range(1, len(paths[0]) + 1):
        shared = [(path[-1], len(list(same)) * width) for path, same in groupby(path[:level] for path in paths)]
        lines += spanning(shared, stub + 1)
    return lines


def _path(shown: Shown) -> tuple[str, ...]:
    column = shown.column
    dagger = "" if shown.podium.least_p is None else r"$^\dagger$"
    protocol = f"{column.iterations} iterations, {escape(column.protocol[:8])}, n = {column.repetitions}{dagger}"
    return escape(column.dataset), escape(cells.percent(column.rate)), escape(column.arch), rf"\scriptsize {protocol}"


def _method(
    board: Board, method: Method, stub: Sequence[int], page: Sequence[Shown], headers: list[str], ranked: bool
) -> str:
    grey = GREY if method.control or method.full else ""
    texts = [escape(board.names[method][k]) for k in stub]
    values = [text for each in page for text in _values(each, method, headers)]
    rank = board.ranks[method]
    return grey + line([*texts, *values, *["" if math.isnan(rank) else number(rank, ".1f")] * ranked])


def _values(shown: Shown, method: Method, headers: list[str]) -> list[str]:
    row = shown.column.rows.get(method)
    return [MISSING if row is None else shown.values[header](row) for header in headers]


def _floors(page: Sequence[Shown], stub: int, width: int, ranked: bool) -> list[str]:
    """The noise that a difference has to stand out of; nothing where no row varies in its training seed alone."""
    if all(math.isnan(each.floor) for each in page):
        return []
    texts = (number(each.floor) if not math.isnan(each.floor) else "" for each in page)
    values = [cell for text in texts for cell in (text, *[""] * (width - 1))]
    return [line([rf"\multicolumn{{{stub}}}{{l}}{{{FLOOR}}}", *values, *[""] * ranked])]
