"""Rows as a board: methods against columns of dataset, rate, architecture and protocol."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pandas as pd

from d3s2bench_leaderboards.controls import FULL, REAL, is_random
from d3s2bench_leaderboards.names import names
from d3s2bench_leaderboards.rows import Part, Row, Setting
from d3s2bench_leaderboards.significance import average_ranks


@dataclass(frozen=True)
class Method:
    """What is the same in every column: each dataset has a teacher and a generator of its own."""

    selector: Part
    synth: Part
    labels: Part
    models: tuple[tuple[str, str], ...] = ()
    """Only where methods of one column differ in nothing else."""

    @property
    def full(self) -> bool:
        return self.selector.name == FULL.name

    @property
    def control(self) -> bool:
        """Random + real, and photographs with soft labels. Other photographs with hard labels and unguided images are
        controls of the rows with the same selector, but methods in their own right, too: selection alone, layout alone.
        """
        soft = self.labels.name == "soft"
        return self.synth.name == REAL.name and (soft or is_random(self.selector))


@dataclass(frozen=True)
class Column:
    """The rows of one dataset, rate, architecture and protocol."""

    dataset: str
    rate: float
    arch: str
    iterations: int
    protocol: str
    rows: Mapping[Method, Row]

    @property
    def repetitions(self) -> str:
        """How many the rows have, such as ``10`` or ``1 to 10``; those of the full train set do not count."""
        numbers = [len(row.records) for method, row in self.rows.items() if not method.full]
        least, most = min(numbers, default=0), max(numbers, default=0)
        return f"{most}" if least == most else f"{least} to {most}"


@dataclass(frozen=True)
class Board:
    columns: tuple[Column, ...]
    names: Mapping[Method, tuple[str, str, str]]
    """Selector, synthesizer and labels as texts."""

    @cached_property
    def ranks(self) -> Mapping[Method, float]:
        """Average rank over the columns of the methods that all of them have; NaN for the others. A column of the full
        train set alone ranks nothing."""
        means = {k: found for k, column in enumerate(self.columns) if (found := _means(column))}
        return dict(average_ranks(pd.DataFrame(means, index=list(self.names), dtype="float64")))

    @cached_property
    def methods(self) -> tuple[Method, ...]:
        """Controls, then the others, then the full train set; what stands highest in the columns that it is in first,
        so that the best is the first though it is not in all of them."""
        places: dict[Method, list[float]] = defaultdict(list)
        merits: dict[Method, list[float]] = defaultdict(list)
        for found in map(_means, self.columns):
            ranks = pd.Series(found, dtype="float64").rank(ascending=False)
            for method, rank in zip(found, ranks, strict=True):
                places[method].append((rank - 0.5) / len(found))
                merits[method].append(found[method])

        def place(method: Method) -> tuple[Any, ...]:
            standing = _mean(places[method], of_none=1)
            return method.full, not method.control, standing, -_mean(merits[method]), self.names[method]

        return tuple(sorted(self.names, key=place))


def board(rows: Sequence[Row]) -> Board:
    """Columns in the order dataset, rate, architecture, iterations, protocol.

    The full train set stands in each column of its dataset, architecture and protocol, and in one of its own where
    there is none, unless it is the converged reference of a column.
    """
    plain = dict(zip((row.setting for row in rows), _without_models(rows), strict=True))
    named = names([Row(plain[row.setting], row.records) for row in rows])
    methods = {row.setting: _method(plain[row.setting]) for row in rows}
    columns = []
    for members in _columns(rows):
        s = next((row.setting for row in members if row.setting.selector.name != FULL.name), members[0].setting)
        name = named[plain[s]]
        held = {methods[row.setting]: row for row in members}
        columns.append(Column(name["dataset"], s.rate, name["arch"], s.iterations, s.protocol, held))
    columns.sort(key=lambda c: (c.dataset, c.rate, c.arch, c.iterations, c.protocol))
    texts = {_method(s): (named[s]["selector"], named[s]["synth"], named[s]["labels"]) for s in plain.values()}
    return Board(tuple(columns), {method: texts[method] for column in columns for method in column.rows})


def _columns(rows: Iterable[Row]) -> list[list[Row]]:
    """The rows of each column, those of the full train set in every one that they belong to."""
    columns: dict[Any, list[Row]] = defaultdict(list)
    references: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        s = row.setting
        shared = s.dataset, s.arch, s.protocol
        (references[shared] if s.selector.name == FULL.name else columns[*shared, s.rate]).append(row)
    recipes = {(row.setting.dataset, row.setting.arch, row.setting.recipe) for held in columns.values() for row in held}
    alone = references.keys() - {key[:-1] for key in columns}
    shared_columns = [[*held, *references.get(key[:-1], ())] for key, held in columns.items()]
    return shared_columns + [references[key] for key in alone if not _converged(references[key][0], recipes)]


def _converged(row: Row, recipes: set[Any]) -> bool:
    s = row.setting
    return s.converged and (s.dataset, s.arch, s.recipe) in recipes


def _without_models(rows: Sequence[Row]) -> list[Setting]:
    """The settings without their models' digests, where these tell no two rows of a column apart."""
    bare = [replace(row.setting, models=()) for row in rows]
    twice = {_method(setting) for setting, count in Counter(bare).items() if count > 1}
    return [row.setting if _method(s) in twice else s for row, s in zip(rows, bare, strict=True)]


def _method(setting: Setting) -> Method:
    return Method(setting.selector, setting.synth, setting.labels, setting.models)


def _means(column: Column) -> dict[Method, float]:
    return {method: row.merit for method, row in column.rows.items() if not method.full and math.isfinite(row.mean)}


def _mean(values: Sequence[float], of_none: float = -math.inf) -> float:
    return sum(values) / len(values) if values else of_none
