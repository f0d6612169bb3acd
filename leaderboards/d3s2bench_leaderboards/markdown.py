"""Markdown: the comparison as a table that also reads well in a terminal, and what failed below it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from d3s2bench import Json

if TYPE_CHECKING:
    import pandas as pd

Line = Mapping[Any, Any]
"""One row of the comparison."""
NOTE = """\
mIoU in percent, mean ± standard deviation over n repetitions. Δ: mean paired difference of mIoU to random + real, to
the same selector + real and to the full train set at the same iterations. % of full: of the full train set at
convergence. Rows with different protocols are not comparable."""


@dataclass(frozen=True)
class Markdown:
    """Scores and differences have two decimals; what is not known is left blank."""

    def render(self, records: Iterable[Json]) -> str:
        from d3s2bench_leaderboards.tables import comparison

        records = list(records)
        parts = [_table(comparison(records)), _failures(records)]
        return "\n\n".join(part for part in parts if part) + "\n"


def _table(rows: pd.DataFrame) -> str:
    import pandas as pd

    if rows.empty:
        return "No record is finished."
    cells = pd.DataFrame({header: [write(row) for row in rows.to_dict("records")] for header, write in COLUMNS.items()})
    aligned = ["left" if header in TEXT else "right" for header in COLUMNS]
    table: str = cells.to_markdown(index=False, disable_numparse=True, colalign=aligned)
    return f"{table}\n\n{NOTE}"


def _failures(records: Iterable[Json]) -> str:
    """One line for each record that is not ok."""
    failed = {_failure(record) for record in records if record["status"] != "ok"}
    return "\n".join(["Without a result:", "", *sorted(failed)]) if failed else ""


def _failure(record: Json) -> str:
    spec = record["spec"]
    labels = spec["evaluator"]["options"].get("labels", "hard")
    method = f"{spec['selector']['name']} + {spec['synth']['name']}, {labels} labels, seed {spec['seed']}"
    cell = f"{spec['dataset']['name']}, {_percent(spec['rate'])}, {spec['arch']}, {method}"
    return "- " + _escape(f"{record['id']}: {cell}: {record['status']}: {record['reason']}")


def _escape(text: str) -> str:
    """One line without what would end a cell or steer a terminal."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return printable.replace("\\", "\\\\").replace("|", "\\|").strip()


def _percent(rate: float) -> str:
    return f"{100 * rate:.3g} %"


def _size(size: float) -> str:
    """Bytes in a unit that fits."""
    power = min(int(math.log10(max(size, 1))) // 3, 4)
    return f"{size / 1000**power:.4g} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"


def _text(column: str) -> Callable[[Line], str]:
    return lambda row: _escape(str(row[column]))


def _known(column: str, write: Callable[[Any], str]) -> Callable[[Line], str]:
    """Blank where the value is missing."""
    return lambda row: "" if math.isnan(row[column]) else write(row[column])


def _spread(row: Line) -> str:
    return f"{row['miou']:.2f}" + ("" if math.isnan(row["std"]) else f" ± {row['std']:.2f}")


TEXT = ("dataset", "arch", "selector", "synth", "labels", "protocol")
COLUMNS: dict[str, Callable[[Line], str]] = {
    "dataset": _text("dataset"),
    "rate": _known("rate", _percent),
    "arch": _text("arch"),
    "selector": _text("selector"),
    "synth": _text("synth"),
    "labels": _text("labels"),
    "n": _text("n"),
    "images": _text("images"),
    "bytes": _known("bytes", _size),
    "mIoU": _spread,
    "Δ random": _known("vs_random", "{:+.2f}".format),
    "Δ selector": _known("vs_selector", "{:+.2f}".format),
    "Δ full": _known("vs_full", "{:+.2f}".format),
    "% of full": _known("percent_of_full", "{:.1f}".format),
    "protocol": _text("protocol"),
}
