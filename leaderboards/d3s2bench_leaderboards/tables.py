"""The comparison that every format prints: one line for each method under one protocol."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import stdev
from typing import Any

import pandas as pd

from d3s2bench import Json
from d3s2bench_leaderboards import controls
from d3s2bench_leaderboards.rows import Part, Row, gather

NAMED = ("dataset", "arch", "selector", "synth", "labels")


def comparison(records: Iterable[Json]) -> pd.DataFrame:
    """One row for each method (dataset, rate, architecture, selector, synthesizer, labels, options) and protocol.

    Columns: ``dataset``, ``rate``, ``arch``, ``selector``, ``synth``, ``labels`` (hard or soft), ``n`` (repetitions),
    ``images`` and ``bytes`` of the distilled set, ``miou`` (mean, percent), ``std`` (sample standard deviation over the
    repetitions, missing for one), ``vs_random`` (difference to random + real), ``vs_selector`` (to the same selector +
    real), ``vs_full`` (to all images at the same iterations), ``percent_of_full`` (of all images, trained to
    convergence) and ``protocol`` (the first digits of its hash).

    Differences are paired: means over the n repetitions that both rows have in common. Rows of different protocols are
    never compared, but for the converged reference. Where rows of one name differ in an option, it stands behind the name.
    """
    rows = gather(records)
    labels = {part: _labels([_part(row, part) for row in rows]) for part in NAMED}
    lines = [_line(row, rows) | {part: labels[part][k] for part in NAMED} for k, row in enumerate(rows)]
    return pd.DataFrame(lines, columns=list(COLUMNS)).astype(COLUMNS)


COLUMNS = {
    "dataset": "object",
    "rate": "float64",
    "arch": "object",
    "selector": "object",
    "synth": "object",
    "labels": "object",
    "n": "int64",
    "images": "int64",
    "bytes": "float64",
    "miou": "float64",
    "std": "float64",
    "vs_random": "float64",
    "vs_selector": "float64",
    "vs_full": "float64",
    "percent_of_full": "float64",
    "protocol": "object",
}


def _line(row: Row, rows: Sequence[Row]) -> dict[str, Any]:
    return {
        "rate": row.setting.rate,
        "n": len(row.miou),
        "images": row.images,
        "bytes": row.bytes,
        "miou": row.mean,
        "std": stdev(row.miou.values()) if len(row.miou) > 1 else None,
        "vs_random": controls.paired_difference(row, controls.random_real(row, rows)),
        "vs_selector": controls.paired_difference(row, controls.selector_real(row, rows)),
        "vs_full": controls.paired_difference(row, controls.full(row, rows)),
        "percent_of_full": controls.percent_of(row, controls.converged(row, rows)),
        "protocol": row.setting.protocol[:8],
    }


def _part(row: Row, name: str) -> Part:
    part: Part = getattr(row.setting, name)
    return Part(part.name, part.traits + row.setting.models) if name == "synth" else part


def _labels(parts: Sequence[Part]) -> list[str]:
    """Each part's name, followed by those of its traits in which parts of that name differ."""
    values: dict[tuple[str, str], set[str]] = defaultdict(set)
    for part in parts:
        for key, value in part.traits:
            values[part.name, key].add(value)
    return [_label(part, [(k, v) for k, v in part.traits if len(values[part.name, k]) > 1]) for part in parts]


def _label(part: Part, telling: Sequence[tuple[str, str]]) -> str:
    if not telling:
        return part.name
    return f"{part.name}({', '.join(f'{key}={_plain(value)}' for key, value in telling)})"


def _plain(value: str) -> str:
    """A JSON text without the quotes of a string."""
    loaded = json.loads(value)
    return loaded if isinstance(loaded, str) else value
