"""The tables of the LaTeX format: the board and the published numbers, then what stands behind the stars."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from d3s2bench_leaderboards import cells
from d3s2bench_leaderboards.bootstrap import CountsFolder
from d3s2bench_leaderboards.claims import Claim, claims_on
from d3s2bench_leaderboards.columns import Column
from d3s2bench_leaderboards.comparisons import Comparison
from d3s2bench_leaderboards.grid import Grid
from d3s2bench_leaderboards.latex_board import board_tables, quantity
from d3s2bench_leaderboards.latex_layout import line, note, table, tabular
from d3s2bench_leaderboards.marks import Marked
from d3s2bench_leaderboards.metrics import MIOU, Metric
from d3s2bench_leaderboards.names import with_labels
from d3s2bench_leaderboards.rows import Row
from d3s2bench_leaderboards.scope import Scope
from d3s2bench_leaderboards.significance import ALPHA, EXACT
from d3s2bench_leaderboards.tex import escape, number

if TYPE_CHECKING:
    from d3s2bench_leaderboards.latex import Latex

NOTE = r"""mean $\pm$ sample standard deviation over n repetitions.
$\Delta$: mean paired difference to random + real. \% full: of the full train set at convergence.
Grey: controls and the full train set, which has no rank. {-}{-}: no record.
rank: mean over the columns, of the methods that all columns have. Columns of different protocols are not comparable."""
TESTED = rf"""$^*$: differs from random + real.
Bold: the best and all that are not significantly worse, controls included. Underlined: the second mean.
Both by the two-sided sign-flip test over common repetitions, exact up to {EXACT} of them, with Holm's correction within
a column, $\alpha = {ALPHA}$."""
CLAIMED = r"""Claimed: what others published, under their own protocols; not measured here, not comparable with the rows
above."""
BEHIND = r"""Against random + real, over the n repetitions that both have: mean paired difference, p of the
sign-flip test, p corrected within the column (Holm), and the share of all pairs of repetitions in which the method is
better (ties half)."""
INTERVAL = r"""Interval: 95\,\%, percentile bootstrap over repetitions and test images, the same images for both."""


def tables(scope: Scope, options: Latex) -> str:
    """A table environment, and a second one for the tests; a comment alone when nothing is finished."""
    rows = scope.rows
    if not rows:
        return f"% {' '.join(scope.view.nothing.split())}\n"
    made = scope.grid(options)
    references = _converged(rows, made, scope.metric)
    told = [escape(text) for text in (scope.view.told,) if text]
    about = note(f"{escape(scope.metric.inline)}, {NOTE}", TESTED, *_untested(made.marked), *references, *told)
    parts = [*board_tables(made, scope.metric, options.groups), about]
    claimed = claims_on({row.setting.dataset.name for row in rows}) if options.claims else []
    if claimed:
        parts += [_claims(claimed), note(CLAIMED)]
    main = table(parts, options.caption, options.label)
    return main + _tests(made, scope, options) if options.tests else main


def _untested(marked: Sequence[Marked]) -> Iterator[str]:
    """What columns without bold lack."""
    least = [each.podium.least_p for each in marked if each.podium.least_p is not None]
    if least:
        yield rf"$^\dagger$: not enough repetitions: the corrected p cannot be under {number(min(least), '.2g')}."


def _converged(rows: Sequence[Row], made: Grid, metric: Metric) -> Iterator[str]:
    """References that stand in no column."""
    placed = {row.setting for each in made.marked for row in each.column.rows.values()}
    for row in rows:
        s = row.setting
        if s not in placed:
            name = escape(f"{s.dataset.name}, {s.arch.name}")
            trained = f"{s.iterations} iterations, {escape(s.protocol[:8])}"
            yield f"Full train set at convergence, {name}: {quantity(row.mean, metric)} ({trained})."


def _claims(claimed: Sequence[Claim]) -> str:
    head = line(["claimed", "dataset", "rate", "architecture", "mIoU", "", "source", "date", "protocol"])
    return tabular("llrlrllll", [head], [[_claim(claim) for claim in claimed]])


def _claim(claim: Claim) -> str:
    """In italics, with as many digits as were published."""
    texts = claim.method, claim.dataset, cells.percent(claim.rate), claim.arch
    said = claim.how, claim.source, claim.date, claim.protocol
    return line([*map(escape, texts), rf"\textit{{{claim.miou}}}", *map(escape, said)])


def _tests(made: Grid, scope: Scope, options: Latex) -> str:
    counts = CountsFolder(options.folder) if options.folder and scope.metric is MIOU else None
    texts = {row.setting: made.board.names[method] for each in made.marked for method, row in each.column.rows.items()}
    blocks = [
        [_test(each.column, test, texts[test.row.setting], counts, options) for test in each.comparisons]
        for each in made.marked
    ]
    if not any(blocks):
        return ""
    interval = [r"95\,\% interval"] if counts else []
    head = line(
        ["dataset", "rate", "architecture", "protocol", "method", "n", r"$\Delta$", *interval, "p", "Holm", "better"]
    )
    body = tabular("lrlllrr" + "r" * len(interval) + "rrr", [head], blocks)
    caption = "Tests against random + real."
    return table([body, note(BEHIND, *[INTERVAL] * len(interval))], caption, f"{options.label}-tests")


def _test(
    column: Column, test: Comparison, name: tuple[str, str, str], counts: CountsFolder | None, options: Latex
) -> str:
    setting = column.dataset, cells.percent(column.rate), column.arch, column.protocol[:8]
    selector, synth, labels = name
    method = with_labels(f"{selector} + {synth}", labels)
    interval = [_interval(test, counts, options.resamples)] if counts else []
    gap = quantity(test.mean, test.row.metric, "+")
    numbers = [gap, *interval, _p(test.p), _p(test.corrected), number(test.improvement)]
    return line([*map(escape, (*setting, method)), str(test.n), *numbers])


def _interval(test: Comparison, counts: CountsFolder, resamples: int) -> str:
    found = counts.interval(test.row, test.other, resamples)
    return f"{number(found.low, '+.2f')} to {number(found.high, '+.2f')}"


def _p(p: float) -> str:
    return "" if math.isnan(p) else number(p, ".4f")
