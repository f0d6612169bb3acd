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
    never compared, but for the converged reference. Options in which rows of one name differ stand behind the name.
    """
    rows = gather(records)
    labels = {part: _labels(part, rows) for part in NAMED}
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


def _labels(part: str, rows: Sequence[Row]) -> list[str]:
    """The part's name in each row, followed by what tells rows of that name apart."""
    parts: list[Part] = [getattr(row.setting, part) for row in rows]
    telling = _telling(parts)
    if part == "synth":
        telling = [own + models for own, models in zip(telling, _telling(map(_weights, rows)), strict=True)]
    return [f"{p.name}({', '.join(told)})" if told else p.name for p, told in zip(parts, telling, strict=True)]


def _weights(row: Row) -> Part:
    s = row.setting
    return Part(f"{s.selector.name}/{s.synth.name}/{s.labels.name}", s.models)


def _telling(parts: Iterable[Part]) -> list[list[str]]:
    """For each part those of its traits in which parts of its name differ, or which some of them lack."""
    parts = list(parts)
    seen: dict[str, list[dict[str, str]]] = defaultdict(list)
    for part in parts:
        seen[part.name].append(dict(part.traits))
    return [
        [f"{key}={_plain(value)}" for key, value in part.traits if {t.get(key) for t in seen[part.name]} != {value}]
        for part in parts
    ]


def _plain(value: str) -> str:
    """A JSON text without the quotes of a string."""
    loaded = json.loads(value)
    return loaded if isinstance(loaded, str) else value
