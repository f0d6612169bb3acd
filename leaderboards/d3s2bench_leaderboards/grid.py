"""A board along the axes that a reader asks for: one row for each method, or whatever else the rows are to be."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from d3s2bench import ConfigError, StoreError, unknown_name
from d3s2bench_leaderboards import cells
from d3s2bench_leaderboards.columns import Board, Method
from d3s2bench_leaderboards.controls import Controls
from d3s2bench_leaderboards.marks import Entry, Marked
from d3s2bench_leaderboards.rows import Row
from d3s2bench_leaderboards.view import METHOD, SETUP, TRAINED, View

Key = tuple[str, ...]
READ: Mapping[str, Callable[[str], str]] = {
    "rate": lambda rate: cells.percent(float(rate)),
    "protocol": lambda digest: digest[:8],
    "iterations": lambda number: f"{number} iterations",
}


@dataclass(frozen=True)
class Cell:
    """A row, and the number of the board's column in which it is compared with others."""

    column: int
    method: Method
    row: Row


@dataclass(frozen=True)
class Grid:
    """At most one row of records for each pair of a line and a column; a pair without one is a missing cell."""

    view: View
    board: Board
    marked: tuple[Marked, ...]
    """The board's columns."""
    stub: Key
    """The facets that name a line."""
    head: Key
    """The facets that name a column: the iterations and the protocol are the last."""
    lines: tuple[Key, ...]
    columns: tuple[Key, ...]
    cells: Mapping[tuple[Key, Key], Cell]

    @property
    def headers(self) -> list[str]:
        """One text for each column, no two the same."""
        short = [", ".join(self.texts(column, self.head)) for column in self.columns]
        whole = [f"{text} {column[-1]}" for text, column in zip(short, self.columns, strict=True)]
        return [text if short.count(text) == 1 else full for text, full in zip(short, whole, strict=True)]

    def entry(self, line: Key, column: Key) -> Entry | None:
        """None for a missing cell."""
        cell = self.cells.get((line, column))
        return self.marked[cell.column].entry(cell.row) if cell else None

    def line(self, line: Key) -> list[Cell]:
        """The cells of a line that there are."""
        return [cell for column in self.columns if (cell := self.cells.get((line, column)))]

    def texts(self, key: Key, facets: Key) -> list[str]:
        """A key as people read it."""
        return [READ.get(name, str)(value) for name, value in zip(facets, key, strict=True)]

    def compared(self, column: Key) -> list[Marked]:
        """The board's columns that the cells of a column belong to: one, where the lines are methods."""
        numbers = {cell.column for line in self.lines if (cell := self.cells.get((line, column)))}
        return [self.marked[k] for k in sorted(numbers)]

    def rank(self, line: Key) -> float:
        """The method's average rank over the board's columns; NaN for a line that is no method, or has no rank."""
        ranks = {self.board.ranks[cell.method] for cell in self.line(line)} if {*self.stub} <= {*METHOD} else set()
        return ranks.pop() if len(ranks) == 1 else math.nan

    @property
    def ranked(self) -> bool:
        """Whether two lines have a rank, and over more columns than one."""
        ranking = [each for each in self.marked if any(not method.full for method in each.column.rows)]
        return len(ranking) > 1 and sum(not math.isnan(self.rank(line)) for line in self.lines) > 1

    def block(self, line: Key) -> tuple[bool, bool]:
        """Lines of one block stand between rules: the full train set, controls, methods; one that is sorted by what
        the reader asks for is one block."""
        return (False, False) if self.view.sort else self._kind(line)

    def _kind(self, line: Key) -> tuple[bool, bool]:
        """Whether a line has the full train set alone, and whether controls alone."""
        methods = [cell.method for cell in self.line(line)]
        return all(method.full for method in methods), all(method.control for method in methods)

    def grey(self, line: Key) -> bool:
        return any(self._kind(line))


def grid(board: Board, view: View, controls: Controls) -> Grid:
    """The board's methods as lines and its columns as columns, unless the view asks for other axes.

    Raises:
        ConfigError: an axis that there is not, or one that would put protocols into one column.
        StoreError: two different methods that are called the same.
    """
    found = [(_facets(board, cell), cell) for cell in _cells(board)]
    stub, head = _axes(view, [facets for facets, _ in found])
    placed: dict[tuple[Key, Key], Cell] = {}
    for facets, cell in found:
        line, column = tuple(facets[name] for name in stub), tuple(facets[name] for name in head)
        if (line, column) in placed:
            raise StoreError(f"two different rows are called {' '.join(line)}: leave one out with a filter")
        placed[line, column] = cell
    lines = _order((line, cell, stub) for (line, _), cell in placed.items()) if stub else [()]
    columns = _order((column, cell, head) for (_, column), cell in placed.items())
    marked = tuple(Marked(column, controls) for column in board.columns)
    made = Grid(view, board, marked, stub, head, tuple(lines), tuple(columns), placed)
    order = view.ordered(([cell.row for cell in made.line(line)] for line in lines), controls)
    return replace(made, lines=tuple(lines[k] for k in order))


def _cells(board: Board) -> Iterable[Cell]:
    for method in board.methods:
        for k, column in enumerate(board.columns):
            if method in column.rows:
                yield Cell(k, method, column.rows[method])


def _facets(board: Board, cell: Cell) -> dict[str, str]:
    column = board.columns[cell.column]
    setup = {"dataset": column.dataset, "rate": repr(column.rate), "arch": column.arch}
    method = dict(zip(METHOD, board.names[cell.method], strict=True))
    return setup | method | {"iterations": str(column.iterations), "protocol": column.protocol}


def _axes(view: View, found: Sequence[Mapping[str, str]]) -> tuple[Key, Key]:
    """What is named nowhere and differs stands in the rows, so that no cell has to choose between two numbers."""
    for name in (*view.rows, *view.columns):
        if name in TRAINED:
            raise ConfigError(f"'{name}' is no axis to choose: different protocols always are different columns")
        if name not in (*METHOD, *SETUP):
            raise unknown_name("axis", name, (*METHOD, *SETUP))
    if twice := {name for name in (*view.rows, *view.columns) if (*view.rows, *view.columns).count(name) > 1}:
        raise ConfigError(f"'{min(twice)}' is named twice among the rows and columns: name it once")
    method = METHOD if any(facets["labels"] != "hard" for facets in found) else METHOD[:2]
    stub = view.rows or tuple(name for name in method if name not in view.columns)
    stub = stub or tuple(name for name in SETUP if name not in view.columns)
    head = view.columns or tuple(name for name in SETUP if name not in stub)
    left = (name for name in (*SETUP, *METHOD) if name not in (*stub, *head))
    return (*stub, *(name for name in left if len({facets[name] for facets in found}) > 1)), (*head, *TRAINED)


def _order(keys: Iterable[tuple[Key, Cell, Key]]) -> list[Key]:
    """By the board's columns where a key has a facet of these, then by its methods."""
    places: dict[Key, tuple[int, int]] = {}
    for number, (key, cell, facets) in enumerate(keys):
        place = (cell.column if {*facets} & {*SETUP} else 0), (number if {*facets} & {*METHOD} else 0)
        places[key] = min(place, places.get(key, place))
    return sorted(places, key=places.__getitem__)
