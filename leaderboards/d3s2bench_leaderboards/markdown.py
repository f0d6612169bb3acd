"""Markdown: the comparison as a table that also reads well in a terminal, and below it what follows from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from d3s2bench import Json
from d3s2bench_leaderboards import cells
from d3s2bench_leaderboards.metrics import MIOU, Metric
from d3s2bench_leaderboards.view import View

if TYPE_CHECKING:
    from d3s2bench_leaderboards.comparisons import Tests
    from d3s2bench_leaderboards.marks import Entry
    from d3s2bench_leaderboards.scope import Scope

Line = Mapping[Any, Any]
"""One row of the comparison."""
NOTE = """\
{metric}, mean ± standard deviation over n repetitions; varies: the stages whose seed differs between them.
Δ: mean paired difference of {label}, over the repetitions that both have, to random + real, to the same selector +
real, to the same selector + real with the teacher's soft labels (soft: the control of equal information) and to the
full train set at the same iterations. % of full: of the full train set at convergence. Rows with different protocols
are not comparable."""
GRID = """\
{metric}, mean ± standard deviation over n repetitions; Δ: mean paired difference to random + real over the repetitions
that both have; last what it is of the full train set at convergence. {missing}: no record. Columns with different
protocols are not comparable."""
MISSING = "–"


@dataclass(frozen=True)
class Markdown(View):
    """Scores and differences have two decimals; what is not known is left blank, or out where no row knows it.

    Without ``rows`` and ``columns`` a line for each method under each protocol, in as many columns as it has numbers.
    """

    def render(self, records: Iterable[Json]) -> str:
        from d3s2bench_leaderboards import sections
        from d3s2bench_leaderboards.comparisons import all_with_random
        from d3s2bench_leaderboards.gains import gains
        from d3s2bench_leaderboards.quality import qualities
        from d3s2bench_leaderboards.scope import Scope
        from d3s2bench_leaderboards.stability import stability

        scope = Scope.of(records, self)
        rows, named, tests = scope.rows, scope.named, all_with_random(scope.controls)
        parts = [
            _table(scope, self, tests),
            sections.tests([tests[r.setting] for r in rows if r.setting in tests], named),
        ]
        parts += [sections.evaluations(scope.looks), sections.replaced(scope.replaced)]
        parts.append(cells.escape(sections.mixed(rows, named)))
        if scope.metric is MIOU:
            parts += [
                sections.gains(gains(rows, scope.controls, named)),
                sections.ranks(stability(rows), named),
                sections.quality(qualities(rows), named),
            ]
        return "\n\n".join(part for part in [*parts, sections.failures(scope.records)] if part) + "\n"


def _table(scope: Scope, view: View, tests: Tests) -> str:
    if not scope.rows:
        return cells.escape(view.nothing)
    table, note = (_grid(scope, view), GRID) if view.pivots else (_lines(scope, tests), NOTE)
    said = note.format(metric=scope.metric.inline, label=scope.metric.label, missing=MISSING)
    return "\n".join([f"{table}\n\n{said}", *filter(None, [cells.escape(view.told)])])


def _lines(scope: Scope, tests: Tests) -> str:
    from d3s2bench_leaderboards.tables import compare

    lines = compare(scope.rows, scope.controls, scope.named, tests).to_dict("records")
    columns = _columns(scope.metric)
    return cells.table({header: [write(row) for row in lines] for header, write in columns.items()}, TEXT)


def _grid(scope: Scope, view: View) -> str:
    made = scope.grid(view)
    texts = [made.texts(line, made.stub) for line in made.lines]
    columns = {name: [cells.escape(text[k]) for text in texts] for k, name in enumerate(made.stub)}
    for column, header in zip(made.columns, made.headers, strict=True):
        found = (made.entry(line, column) for line in made.lines)
        columns[cells.escape(header)] = [_cell(entry, scope.metric) if entry else MISSING for entry in found]
    return cells.table(columns, made.stub)


def _cell(entry: Entry, metric: Metric) -> str:
    delta = "" if entry.delta is None else f"Δ {cells.quantity(entry.delta, metric.unit, '+')}"
    percent = "" if entry.percent is None else f"{entry.percent:.1f} %"
    parts = [_score(entry.row.mean, entry.row.std, metric), f"n {len(entry.row.records)}", delta, percent]
    return ", ".join(part for part in parts if part)


def _score(mean: float, std: float, metric: Metric) -> str:
    """What is no number is said to be none; what the metric does not know is blank."""
    return cells.spread(mean, std, unit=metric.unit) or ("nan" if metric.unit == "percent" else "")


def _text(column: str) -> Callable[[Line], str]:
    return lambda row: cells.escape(str(row[column]))


def _known(column: str, write: Callable[[Any], str]) -> Callable[[Line], str]:
    """Blank where the value is missing."""
    return lambda row: "" if math.isnan(row[column]) else write(row[column])


TEXT = ("dataset", "arch", "selector", "synth", "labels", "varies", "protocol")
BEFORE: dict[str, Callable[[Line], str]] = {
    "dataset": _text("dataset"),
    "rate": _known("rate", cells.percent),
    "arch": _text("arch"),
    "selector": _text("selector"),
    "synth": _text("synth"),
    "labels": _text("labels"),
    "n": _text("n"),
    "varies": _text("varies"),
    "images": _text("images"),
}
GAPS = {"Δ random": "vs_random", "Δ selector": "vs_selector", "Δ soft": "vs_soft", "Δ full": "vs_full"}


def _columns(metric: Metric) -> dict[str, Callable[[Line], str]]:
    size = {} if metric.unit == "bytes" else {"bytes": _known("bytes", cells.size)}
    gaps = {header: _known(key, partial(cells.quantity, unit=metric.unit, sign="+")) for header, key in GAPS.items()}
    after = {"iterations": _text("iterations"), "protocol": _text("protocol")}
    return {
        **BEFORE,
        **size,
        metric.label: lambda row: _score(row["score"], row["std"], metric),
        **gaps,
        "% of full": _known("percent_of_full", "{:.1f}".format),
        **after,
    }
