"""Whether methods keep their ranks when they are trained for longer or for less long, all else being equal."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import pandas as pd

from d3s2bench_leaderboards.controls import FULL
from d3s2bench_leaderboards.rows import Row, sample_std

Method = Mapping[int, Row]
"""The rows of one selector, synthesizer, labels, models and rate by their training iterations."""


@dataclass(frozen=True)
class Ranked:
    """A method and its rank at each budget, 1 = best; no ranks for a method that is not ranked."""

    rows: Method
    ranks: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Agreement:
    """How alike two budgets rank the methods that both have: Kendall's τ-b, NaN where it is not defined."""

    budgets: tuple[int, int]
    methods: int
    tau: float
    """Of the means over the repetitions."""
    by_repetition: tuple[float, ...]
    """Of each repetition that all these methods have at both budgets."""

    @property
    def mean(self) -> float:
        return sum(self.by_repetition) / len(self.by_repetition) if self.by_repetition else math.nan

    @property
    def std(self) -> float:
        return sample_std(self.by_repetition)


@dataclass(frozen=True)
class Stability:
    """The methods of one dataset, rate and architecture under protocols that differ in their iterations alone."""

    budgets: tuple[int, ...]
    """The iterations, ascending."""
    methods: tuple[Ranked, ...]
    """The best at the largest budget first, then those that are not at every budget, then the full train set."""
    agreements: tuple[Agreement, ...]


def stability(rows: Iterable[Row]) -> list[Stability]:
    """One for each dataset, rate, architecture and recipe that has two budgets with two methods in common.

    The full train set is no method: it is shown at the budgets of the methods, without a rank. So its converged
    reference makes no budget.
    """
    groups: dict[Any, dict[Any, dict[int, Row]]] = defaultdict(lambda: defaultdict(dict))
    full: dict[Any, dict[Any, dict[int, Row]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        s = row.setting
        recipe, method = (s.dataset, s.arch, s.recipe), (s.selector, s.synth, s.labels, s.models)
        group = full[recipe] if s.selector.name == FULL.name else groups[*recipe, s.rate]
        group[method][s.iterations] = row
    tables = (_table(list(each.values()), list(full[key[:-1]].values())) for key, each in groups.items())
    return [table for table in tables if table]


def _table(methods: Sequence[Method], full: Sequence[Method]) -> Stability | None:
    agreements = tuple(_agreements(methods))
    budgets = tuple(sorted({budget for agreement in agreements for budget in agreement.budgets}))
    if not budgets:
        return None
    ranked = sorted(_ranked(methods, budgets), key=lambda method: method.ranks.get(budgets[-1], math.inf))
    shown = (method for method in (*ranked, *map(Ranked, full)) if not method.rows.keys().isdisjoint(budgets))
    return Stability(budgets, tuple(shown), agreements)


def _agreements(methods: Sequence[Method]) -> Iterator[Agreement]:
    """Of each pair of budgets that have two methods in common."""
    counts = Counter(budget for method in methods for budget in method)
    for a, b in combinations(sorted(budget for budget, count in counts.items() if count > 1), 2):
        common = [(method[a], method[b]) for method in methods if a in method and b in method]
        if len(common) > 1:
            means = _tau((one.mean, two.mean) for one, two in common)
            yield Agreement((a, b), len(common), means, tuple(_by_repetition(common)))


def _by_repetition(common: Sequence[tuple[Row, Row]]) -> Iterator[float]:
    for seed in sorted(set.intersection(*(set(row.scores) for pair in common for row in pair))):
        yield _tau((one.scores[seed], two.scores[seed]) for one, two in common)


def _tau(pairs: Iterable[tuple[float, float]]) -> float:
    from scipy import stats  # type: ignore[import-untyped]  # here: it takes half a second to load

    return float(stats.kendalltau(*zip(*pairs, strict=True)).statistic)


def _ranked(methods: Sequence[Method], budgets: Sequence[int]) -> list[Ranked]:
    """Ranks among the methods that are at every budget, when there are two of them."""
    complete = [method for method in methods if method.keys() >= set(budgets)]
    if len(complete) < 2:
        return [*map(Ranked, methods)]
    places = {budget: _places(complete, budget) for budget in budgets}
    ranks = ({budget: places[budget][k] for budget in budgets} for k in range(len(complete)))
    return [*map(Ranked, complete, ranks), *(Ranked(m) for m in methods if not m.keys() >= set(budgets))]


def _places(methods: Sequence[Method], budget: int) -> list[int]:
    """Methods with the same mean share the best of their places."""
    means = pd.Series([method[budget].merit for method in methods])
    return means.rank(method="min", ascending=False, na_option="bottom").astype(int).tolist()
