"""Rows of a table's column compared with one another: what is bold, what is underlined, what has a star."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from d3s2bench_leaderboards.controls import FULL, Controls, differences
from d3s2bench_leaderboards.rows import Row, Setting
from d3s2bench_leaderboards.significance import ALPHA, holm, improvement, resolution, sign_flip


@dataclass(frozen=True)
class Comparison:
    """A row against another over the n repetitions that both have; mean difference and chance in a − b."""

    row: Row
    other: Row
    n: int
    mean: float
    p: float
    corrected: float
    """p after Holm's correction for the comparisons of the family."""
    least: float
    """The least corrected p that so many repetitions can give, where those with more of them come first."""
    improvement: float

    @property
    def different(self) -> bool:
        return self.corrected <= ALPHA

    @property
    def enough(self) -> bool:
        """Whether the repetitions can show a difference at all."""
        return not math.isnan(self.p) and self.least <= ALPHA

    @property
    def untold(self) -> bool:
        """Whether it has too few repetitions to tell."""
        return not (self.enough or self.different)


Tests = Mapping[Setting, Comparison]
"""Rows' settings → how they compare with random + real."""


def compare_all(pairs: Sequence[tuple[Row, Row]]) -> list[Comparison]:
    """The pairs as one family: each p is corrected for all of them."""
    gaps = [differences(row, other) for row, other in pairs]
    p = [sign_flip(each) for each in gaps]
    corrected = holm(p)
    family = [len(gap) for gap, each in zip(gaps, p, strict=True) if not math.isnan(each)]
    return [
        Comparison(
            *pair,
            n=len(gap),
            mean=sum(gap) / len(gap) if gap else math.nan,
            p=p[k],
            corrected=corrected[k],
            least=min(1.0, resolution(len(gap)) * max(1, sum(n <= len(gap) for n in family))),
            improvement=improvement(*([row.metric.sign * score for score in row.scores.values()] for row in pair)),
        )
        for k, (pair, gap) in enumerate(zip(pairs, gaps, strict=True))
    ]


def with_random(rows: Sequence[Row], controls: Controls) -> list[Comparison]:
    """Each row against random + real, as far as it has that control and is not it."""
    found = ((row, controls.random_real(row)) for row in rows)
    return compare_all([(row, control) for row, control in found if control and control is not row])


def all_with_random(controls: Controls) -> Tests:
    """The comparisons of every column."""
    return {test.row.setting: test for column in controls.columns for test in with_random(column, controls)}


@dataclass(frozen=True)
class Podium:
    """The best of a column with those not significantly worse, and the second; empty where that cannot be told."""

    best: frozenset[Setting] = frozenset()
    second: Setting | None = None
    least_p: float | None = None
    """The least corrected p there could be, where repetitions are too few to tell; None where they are enough."""


def podium(rows: Sequence[Row]) -> Podium:
    """Of the rows of a column but the full train set. A row too short of repetitions to be told apart is not bold."""
    ranked = sorted((row for row in rows if _competes(row)), key=lambda row: (-row.merit, repr(row.setting)))
    if len(ranked) < 2:
        return Podium()
    tested = compare_all([(row, ranked[0]) for row in ranked[1:]])
    if not any(test.enough for test in tested):
        return Podium(least_p=min(test.least for test in tested))
    alike = (test.row.setting for test in tested if test.enough and not test.different)
    return Podium(frozenset((ranked[0].setting, *alike)), ranked[1].setting)


def _competes(row: Row) -> bool:
    return row.setting.selector.name != FULL.name and math.isfinite(row.mean)
