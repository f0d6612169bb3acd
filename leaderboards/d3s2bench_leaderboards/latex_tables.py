"""The tables of the LaTeX format: the board and the published numbers, then what stands behind the stars."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from d3s2bench_leaderboards import cells, latex_notes, sections
from d3s2bench_leaderboards.claims import Claim, claims_beside
from d3s2bench_leaderboards.gains import gains
from d3s2bench_leaderboards.grid import Grid
from d3s2bench_leaderboards.latex_board import PLUS_MINUS, board_tables, quantity
from d3s2bench_leaderboards.latex_layout import line, note, table, tabular
from d3s2bench_leaderboards.metrics import MIOU
from d3s2bench_leaderboards.scope import Scope
from d3s2bench_leaderboards.tested import Tested, tested
from d3s2bench_leaderboards.tex import escape, number

if TYPE_CHECKING:
    from d3s2bench_leaderboards.latex import Latex

SENTENCES = 2000
"""Characters of a warning at most."""
LEAST_P = 0.0001
"""The least p that four decimals can say."""
CLAIMED = r"""Claimed: what others published, under their own protocols; not measured here, not comparable with the rows
above."""
BEHIND = r"""Against random + real, over the n repetitions that both have: mean paired difference, p of the
sign-flip test, p corrected for all methods of the dataset, rate, architecture and protocol (Holm). Better: the share of
all pairs of repetitions, common or not, in which the method is above random + real (ties half)."""
INTERVAL = r"""Interval: 95\,\%%, bootstrap over repetitions and %s, the same images for both, stretched to the width
of a t interval. It asks for other test images, too, which the test holds fixed: so it can hold 0 where p is small. It
is not corrected."""
SPLIT = r"""Paired over n repetitions: mean $\pm$ sample standard deviation, and the 95\,\% t interval over repetitions,
which holds the test images, the teacher and the generator fixed and is not corrected."""


def tables(scope: Scope, options: Latex) -> str:
    """A table environment, others for the tests and the gain; a comment alone when nothing is finished."""
    rows = scope.rows
    if not rows:
        return f"% {' '.join(scope.view.nothing.split())}\n"
    made = scope.grid(options)
    boards = board_tables(made, scope.metric, options.groups)
    warnings = scope.view.told, sections.mixed(rows, scope.named), sections.failed(scope.records)
    told = [escape(text, SENTENCES) for text in warnings if text]
    about = [*latex_notes.sentences(made, "".join(boards), scope.metric)]
    parts = [*boards, note(*about, *latex_notes.references(rows, made, scope.metric), *told)]
    claimed = claims_beside(rows) if options.claims else []
    if claimed:
        parts += [_claims(claimed), note(CLAIMED)]
    main = table(parts, options.caption, options.label, options.wide)
    main += _tests(made, scope, options) if options.tests else ""
    return main + (_gains(scope, options) if options.gains and scope.metric is MIOU else "")


def _claims(claimed: Sequence[Claim]) -> str:
    head = line(["claimed", "dataset", "rate", "architecture", "mIoU", "", "source", "date", "protocol"])
    return tabular("llrlrllll", [head], [[_claim(claim) for claim in claimed]])


def _claim(claim: Claim) -> str:
    """In italics, with as many digits as were published."""
    texts = claim.method, claim.dataset, cells.percent(claim.rate), claim.arch
    said = claim.how, claim.source, claim.date, claim.protocol
    return line([*map(escape, texts), rf"\textit{{{claim.miou}}}", *map(escape, said)])


def _tests(made: Grid, scope: Scope, options: Latex) -> str:
    found = tested(made, scope.metric, options.folder, options.resamples, options.block)
    blocks = [[*map(_test, column)] for column in found]
    if not any(blocks):
        return ""
    interval = [r"95\,\% interval"] if any(each.interval for column in found for each in column) else []
    head = line(
        ["dataset", "rate", "architecture", "protocol", "method", "n", r"$\Delta$", *interval, "p", "Holm", "better"]
    )
    body = tabular("lrlllrr" + "r" * len(interval) + "rrr", [head], blocks)
    caption = "Tests against random + real."
    images = "test images" if options.block == 1 else f"blocks of {options.block} neighbouring test images"
    return table(
        [body, note(BEHIND, *[INTERVAL % images] * len(interval))], caption, f"{options.label}-tests", options.wide
    )


def _test(each: Tested) -> str:
    column, test = each.column, each.test
    setting = column.dataset, cells.percent(column.rate), column.arch, column.protocol[:8]
    interval = [_interval(each.interval.low, each.interval.high)] if each.interval else []
    gap = quantity(test.mean, test.row.metric, "+")
    numbers = [gap, *interval, _p(test.p), _p(test.corrected), number(test.improvement)]
    return line([*map(escape, (*setting, each.method)), str(test.n), *numbers])


def _gains(scope: Scope, options: Latex) -> str:
    """Parts with at least two repetitions, a block for each dataset, rate, architecture and protocol."""
    found = gains(scope.rows, scope.controls, scope.named)
    settings = ["dataset", "rate", "arch", "iterations", "protocol"]
    blocks = [
        [*map(_gain, block.to_dict("records"))] for _, block in found[found["n"] > 1].groupby(settings, sort=False)
    ]
    if not blocks:
        return ""
    head = line(["dataset", "rate", "architecture", "protocol", "part", "difference", "n", r"$\Delta$", "interval"])
    body = tabular("lrllllrrr", [head], blocks)
    return table([body, note(SPLIT)], "Where the gain comes from.", f"{options.label}-gains", options.wide)


def _gain(part: Mapping[Hashable, Any]) -> str:
    setting = part["dataset"], cells.percent(part["rate"]), part["arch"], part["protocol"]
    difference = escape(part["difference"].replace("−", "-"))
    spread = rf"{number(part['mean'], '+.2f')} {PLUS_MINUS} {number(part['std'])}"
    texts = [*map(escape, (*setting, part["part"])), difference, str(part["n"]), spread]
    return line([*texts, _interval(part["low"], part["high"])])


def _interval(low: float, high: float) -> str:
    return f"{number(low, '+.2f')} to {number(high, '+.2f')}"


def _p(p: float) -> str:
    return "" if math.isnan(p) else number(p, ".4f") if p >= LEAST_P else f"$<${LEAST_P:.4f}"
