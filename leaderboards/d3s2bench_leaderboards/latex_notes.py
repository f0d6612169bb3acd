"""What stands below the main table of the LaTeX format: the marks that it has, and the conditions of its numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from d3s2bench_leaderboards import cells
from d3s2bench_leaderboards.columns import Column, Method
from d3s2bench_leaderboards.grid import Grid
from d3s2bench_leaderboards.latex_board import FEW, GREY, MISSING, PLUS_MINUS, RANK, STAR, quantity
from d3s2bench_leaderboards.metrics import Metric
from d3s2bench_leaderboards.rows import MODELS, Row
from d3s2bench_leaderboards.significance import ALPHA, EXACT
from d3s2bench_leaderboards.tex import escape, number

MARKS = {
    r"& $\Delta$ ": r"$\Delta$: mean paired difference to random + real over the repetitions that both have.",
    r"& \% full ": r"\% full: of the full train set at convergence.",
    f"& {MISSING} ": r"{-}{-}: no record.",
    f"& {RANK} ": "rank: mean over the columns, of the methods that all columns have; the full train set has none.",
    STAR: r"$^*$: differs from random + real.",
    r"\textbf": "Bold: the best and all with as many repetitions that are not significantly worse, controls included.",
    r"\underline": "Underlined: the second mean.",
}
"""What stands in the table → what it means; no name of a method looks like that once it is escaped."""
TEST = rf"""Tested by two-sided sign flips over common repetitions, exact up to {EXACT} of them, with Holm's correction
among the methods of one dataset, rate, architecture and protocol, $\alpha = {ALPHA}$; the test images are held
fixed."""
STAGES: Mapping[str, tuple[str, Callable[[Row], str]]] = {
    "train": ("training", lambda row: row.setting.method),
    "select": ("selection", lambda row: row.setting.selector.name),
    "synthesise": ("synthesis", lambda row: row.setting.synth.name),
}
"""Stage → what it is called, and what decides whether it has a seed."""
KINDS = ("random + real", "photographs with soft labels", "the full train set")


def sentences(grid: Grid, tables: str, metric: Metric) -> Iterator[str]:
    """Nothing that the tables, as they are written, do not have."""
    spread = rf" {PLUS_MINUS} sample standard deviation" if PLUS_MINUS in tables else ""
    yield f"{escape(metric.inline)}, mean{spread} over n repetitions."
    yield from (said for mark, said in MARKS.items() if mark in tables)
    if STAR in tables or r"\textbf" in tables:
        yield TEST
    if GREY in tables:
        yield f"Grey: {_grey(grid)}."
    if FEW in tables:
        least = min(each.least_p for each in grid.marked if each.least_p is not None)
        yield f"{FEW}: not enough repetitions: the corrected p cannot be under {number(least, '.2g')}."
    if len({each.column.protocol for each in grid.marked}) > 1:
        yield "Columns of different protocols are not comparable."
    yield from conditions([each.column for each in grid.marked])


def _grey(grid: Grid) -> str:
    methods = {cell.method for line in grid.lines if grid.grey(line) for cell in grid.line(line)}
    return ", ".join(KINDS[k] for k in sorted(set(map(_kind, methods))))


def _kind(method: Method) -> int:
    return 2 if method.full else int(method.labels.name == "soft")


# --- conditions ------------------------------------------------------------------------------------------------------


def conditions(columns: Sequence[Column]) -> Iterator[str]:
    """What a cited number has to be cited with, beyond what the table's head says."""
    for dataset in dict.fromkeys(column.dataset for column in columns):
        yield _images(dataset, [column for column in columns if column.dataset == dataset])
    rows = [row for column in columns for row in column.rows.values()]
    repeated = [row for row in rows if len(row.records) > 1]
    if varying := "; ".join(_varying(stage, repeated) for stage in STAGES if any(stage in r.varies for r in repeated)):
        yield f"Seeds that vary: {varying}."
    if trained := sorted(_trained_on(rows)):
        yield f"Teachers and generators were trained on {escape(', '.join(trained))}."


def _images(dataset: str, columns: Sequence[Column]) -> str:
    """The split that was scored, and how many images each rate is."""
    rows = [row for column in columns for row in column.rows.values()]
    one = next(iter(rows[0].records.values()))
    rates = sorted({row.setting.rate for row in rows if row.setting.selector.name != "full"})
    sizes = {rate: cells.span(row.images for row in rows if row.setting.rate == rate) for rate in rates}
    said = ", ".join(f"{cells.percent(rate)} is {size}" for rate, size in sizes.items())
    total = f"{one['budget']['total_images']} train images"
    head = escape(f"{dataset}, scored on {one['spec']['dataset']['split']}")
    return f"{head}: {escape(f'{said} of {total}' if said else total)}."


def _varying(stage: str, rows: Sequence[Row]) -> str:
    """In all rows, or with which selectors or synthesizers; by method where these do not decide."""
    called, key = STAGES[stage]
    varying, fixed = ([row for row in rows if (stage in row.varies) == varies] for varies in (True, False))
    if not fixed:
        return f"{called} in all rows"
    names = {key(row) for row in varying}
    if any(key(row) in names for row in fixed):
        names = {row.setting.method for row in varying}
    return f"{called} with {escape(', '.join(sorted(names)))}"


def _trained_on(rows: Iterable[Row]) -> set[str]:
    records = (record for row in rows for record in row.records.values())
    models = (record["provenance"][kind] for record in records for kind in MODELS)
    return {model["trained_on"] or "data that is not known" for model in models if model}


def references(rows: Sequence[Row], grid: Grid, metric: Metric) -> Iterator[str]:
    """The full train set at convergence, where it stands in no column."""
    placed = {row.setting for each in grid.marked for row in each.column.rows.values()}
    for row in rows:
        s = row.setting
        if s not in placed and row.scores:
            name = escape(f"{s.dataset.name}, {s.arch.name}")
            spread = rf" {PLUS_MINUS} {quantity(row.std, metric)}" if len(row.scores) > 1 else ""
            trained = f"{s.iterations} iterations, {escape(s.protocol[:8])}, n = {len(row.scores)}"
            yield f"Full train set at convergence, {name}: {quantity(row.mean, metric)}{spread} ({trained})."
