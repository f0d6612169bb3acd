"""What a cell of a grouped table says: its numbers, and what they are worth beside the others of their column."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from d3s2bench_leaderboards.columns import Column
from d3s2bench_leaderboards.comparisons import Comparison, Podium, podium, with_random
from d3s2bench_leaderboards.controls import Controls, paired_difference, percent_of
from d3s2bench_leaderboards.rows import Row, Setting
from d3s2bench_leaderboards.significance import noise_floor


@dataclass(frozen=True)
class Entry:
    """A row among the others of its column."""

    row: Row
    delta: float | None
    """Mean paired difference to random + real."""
    percent: float | None
    """Of the full train set at convergence."""
    best: bool
    """Of the highest mean, or not significantly worse."""
    second: bool
    different: bool
    """Significantly from random + real."""
    untested: bool
    """Whether there are too few repetitions to tell that."""


@dataclass(frozen=True)
class Marked:
    """A column of the board and what tests say of it."""

    column: Column
    controls: Controls

    @cached_property
    def every(self) -> list[Row]:
        """The rows of the column, whether a filter shows them or not."""
        shown = self.column.rows.values()
        return self.controls.beside(next(iter(shown))) if shown else []

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """Of the rows that are shown; corrected for all that the column has, so that no filter makes a star."""
        tests = {test.row.setting: test for test in with_random(self.every, self.controls)}
        return [tests[row.setting] for row in self.column.rows.values() if row.setting in tests]

    @cached_property
    def podium(self) -> Podium:
        return podium(list(self.column.rows.values()))

    @cached_property
    def floor(self) -> float:
        return noise_floor(self.every)

    @cached_property
    def least_p(self) -> float | None:
        """The least corrected p there could be, of the tests with too few repetitions; None where there is none."""
        few = [test.least for test in self.comparisons if test.untold]
        return min([*few, *([] if self.podium.least_p is None else [self.podium.least_p])], default=None)

    @cached_property
    def _tests(self) -> dict[Setting, Comparison]:
        return {test.row.setting: test for test in self.comparisons}

    def entry(self, row: Row) -> Entry:
        test = self._tests.get(row.setting)
        return Entry(
            row,
            paired_difference(row, self.controls.random_real(row)),
            percent_of(row, self.controls.converged(row)),
            row.setting in self.podium.best,
            row.setting == self.podium.second,
            test is not None and test.different,
            test is not None and test.untold,
        )
