"""What stands behind the stars of a table: each method against random + real."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from d3s2bench_leaderboards.bootstrap import CountsFolder, Interval
from d3s2bench_leaderboards.columns import Column
from d3s2bench_leaderboards.comparisons import Comparison
from d3s2bench_leaderboards.grid import Grid
from d3s2bench_leaderboards.metrics import MIOU, Metric
from d3s2bench_leaderboards.names import with_labels


@dataclass(frozen=True)
class Tested:
    """A method in a column of the board."""

    column: Column
    method: str
    test: Comparison
    interval: Interval | None
    """Of the mean difference, over repetitions and test images; None without counts."""


def tested(made: Grid, metric: Metric, folder: Path | None, resamples: int, block: int) -> list[list[Tested]]:
    """For each column its methods that have random + real beside them; with intervals of mIoU, where counts lie in a
    ``folder`` and ``resamples`` of them are asked for."""
    counts = CountsFolder(folder) if folder and resamples and metric is MIOU else None
    texts = {row.setting: made.board.names[method] for each in made.marked for method, row in each.column.rows.items()}

    def one(column: Column, test: Comparison) -> Tested:
        selector, synth, labels = texts[test.row.setting]
        interval = counts.interval(test.row, test.other, resamples, block) if counts else None
        return Tested(column, with_labels(f"{selector} + {synth}", labels), test, interval)

    return [[one(each.column, test) for test in each.comparisons] for each in made.marked]
