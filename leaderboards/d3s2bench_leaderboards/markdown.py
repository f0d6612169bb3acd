"""Markdown: the comparison as a table that also reads well in a terminal, and below it what follows from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from d3s2bench import Json
from d3s2bench_leaderboards import cells

if TYPE_CHECKING:
    import pandas as pd

Line = Mapping[Any, Any]
"""One row of the comparison."""
NOTE = """\
mIoU in percent, mean ± standard deviation over n repetitions; varies: the stages whose seed differs between them.
Δ: mean paired difference of mIoU to random + real, to the same selector + real, to the same selector + real with the
teacher's soft labels (soft: the control of equal information) and to the full train set at the same iterations.
% of full: of the full train set at convergence. Rows with different protocols are not comparable."""


@dataclass(frozen=True)
class Markdown:
    """Scores and differences have two decimals; what is not known is left blank, or out where no row knows it."""

    def render(self, records: Iterable[Json]) -> str:
        from d3s2bench_leaderboards import sections
        from d3s2bench_leaderboards.gains import gains
        from d3s2bench_leaderboards.names import names
        from d3s2bench_leaderboards.quality import qualities
        from d3s2bench_leaderboards.rows import gather
        from d3s2bench_leaderboards.stability import stability
        from d3s2bench_leaderboards.tables import compare

        records = list(records)
        rows = gather(records)
        named = names(rows)
        parts = [
            _table(compare(rows)),
            sections.evaluations(records),
            sections.gains(gains(rows)),
            sections.ranks(stability(rows), named),
            sections.quality(qualities(rows), named),
            sections.failures(records),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"


def _table(rows: pd.DataFrame) -> str:
    if rows.empty:
        return "No record is finished."
    lines = rows.to_dict("records")
    columns = {header: [write(row) for row in lines] for header, write in COLUMNS.items()}
    return f"{cells.table(columns, TEXT)}\n\n{NOTE}"


def _text(column: str) -> Callable[[Line], str]:
    return lambda row: cells.escape(str(row[column]))


def _known(column: str, write: Callable[[Any], str]) -> Callable[[Line], str]:
    """Blank where the value is missing."""
    return lambda row: "" if math.isnan(row[column]) else write(row[column])


TEXT = ("dataset", "arch", "selector", "synth", "labels", "varies", "protocol")
COLUMNS: dict[str, Callable[[Line], str]] = {
    "dataset": _text("dataset"),
    "rate": _known("rate", cells.percent),
    "arch": _text("arch"),
    "selector": _text("selector"),
    "synth": _text("synth"),
    "labels": _text("labels"),
    "n": _text("n"),
    "varies": _text("varies"),
    "images": _text("images"),
    "bytes": _known("bytes", cells.size),
    "mIoU": lambda row: cells.spread(row["miou"], row["std"]) or "nan",
    "Δ random": _known("vs_random", "{:+.2f}".format),
    "Δ selector": _known("vs_selector", "{:+.2f}".format),
    "Δ soft": _known("vs_soft", "{:+.2f}".format),
    "Δ full": _known("vs_full", "{:+.2f}".format),
    "% of full": _known("percent_of_full", "{:.1f}".format),
    "iterations": _text("iterations"),
    "protocol": _text("protocol"),
}
