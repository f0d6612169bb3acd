"""Where the gain over random + real comes from: the selector, the generator, its guidance, or the teacher alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from d3s2bench_leaderboards.controls import FULL, LAYOUT, RANDOM, REAL, Controls, differences, is_random
from d3s2bench_leaderboards.names import Names, names
from d3s2bench_leaderboards.rows import Row, sample_std
from d3s2bench_leaderboards.significance import t_quantile

PARTS = (
    "selector",
    "synthesizer",
    "over layout",
    "over the photographs",
    "together",
    "teacher alone",
    "beyond the teacher",
    "beyond the teacher, soft labels",
    "on random masks",
    "interaction",
)
Contrast = tuple[str, tuple[Row | None, ...]]
"""A part and the rows it compares, in the order of ``differences``; None stands for a control that is missing."""
COLUMNS = {
    "dataset": "object",
    "rate": "float64",
    "arch": "object",
    "selector": "object",
    "synth": "object",
    "part": "object",
    "difference": "object",
    "n": "int64",
    "mean": "float64",
    "std": "float64",
    "low": "float64",
    "high": "float64",
    "iterations": "int64",
    "protocol": "object",
}


def gains(rows: Sequence[Row], controls: Controls | None = None, named: Names | None = None) -> pd.DataFrame:
    """One line for each part of a gain whose controls are there, in the order of ``PARTS`` within each selector S.

    selector: S+real − random+real. synthesizer: S+layout − S+real. For each synthesizer X: over layout, X − layout of
    the same generator and the same options where both have them, which is what guidance adds where X guides; over the
    photographs, S+X − S+real (of layout that is the part synthesizer); together, S+X − random+real; beyond the teacher,
    S+X − S+real with soft labels; interaction of selector and synthesizer, (S+X − S+real) − (random+X − random+real).
    teacher alone: S+real with soft labels − S+real. on random masks: random+X − random+real.

    So selector, synthesizer and over layout add up to together; and so do selector, on random masks and interaction.

    ``n`` counts the repetitions that all rows of a difference have; ``mean`` and ``std`` (sample) are over these, in
    mIoU; ``low`` and ``high`` bound the 95 % interval of the paired t test. All but the mean are missing for n = 1.
    """
    controls, named = controls or Controls(rows), named or names(rows)
    found = [_line(row, contrast, named) for row in rows for contrast in _contrasts(row, controls)]
    lines = sorted((line for line in found if line["n"]), key=_place)
    return pd.DataFrame(lines, columns=list(COLUMNS), dtype=object).astype(COLUMNS)  # names may be no valid text


def _contrasts(row: Row, controls: Controls) -> Iterator[Contrast]:
    """The parts that a row is the left-hand side of."""
    s = row.setting
    if s.selector.name == FULL.name:
        return
    if is_random(s.selector):
        if s.synth.name != REAL.name and s.labels.name == "hard":
            yield "on random masks", (row, controls.random_real(row))
        return
    real, soft = controls.selector_real(row), controls.selector_real(row, "soft")
    match s.synth.name == REAL.name, s.labels.name:
        case True, "hard":
            yield "selector", (row, controls.random_real(row))
        case True, "soft":
            yield "teacher alone", (row, real)
        case False, "soft":
            yield "beyond the teacher, soft labels", (row, soft)
        case False, "hard":
            yield from _generated(row, real, soft, controls)


def _generated(row: Row, real: Row | None, soft: Row | None, controls: Controls) -> Iterator[Contrast]:
    if row.setting.synth.name == LAYOUT.name:
        yield "synthesizer", (row, real)
    else:
        yield "over layout", (row, controls.unguided(row))
        yield "over the photographs", (row, real)
    random = controls.random_real(row)
    yield "together", (row, random)
    yield "beyond the teacher", (row, soft)
    yield "interaction", (row, real, controls.like(row, selector=RANDOM), random)


def _line(row: Row, contrast: Contrast, named: Names) -> dict[str, Any]:
    part, terms = contrast
    present = [term for term in terms if term]
    paired = differences(*present) if len(present) == len(terms) else []
    return named[row.setting] | {
        "rate": row.setting.rate,
        "part": part,
        "difference": _difference([_method(named[term.setting]) for term in present]),
        "iterations": row.setting.iterations,
        "protocol": row.setting.protocol[:8],
        **_summary(paired),
    }


def _summary(paired: Sequence[float]) -> dict[str, float | None]:
    """Number, mean, standard deviation and 95 % t interval; None where they are not defined."""
    n = len(paired)
    mean = sum(paired) / n if n else None
    if mean is None or n < 2:
        return {"n": n, "mean": mean, "std": None, "low": None, "high": None}
    std = sample_std(paired)
    half = t_quantile(n - 1) * std / n**0.5
    return {"n": n, "mean": mean, "std": std, "low": mean - half, "high": mean + half}


def _method(name: Mapping[str, str]) -> str:
    labels = "" if name["labels"] == "hard" else f" {name['labels']}"
    return f"{name['selector']}+{name['synth']}{labels}"


def _difference(methods: Sequence[str]) -> str:
    pairs = [" − ".join(methods[k : k + 2]) for k in range(0, len(methods), 2)]
    return pairs[0] if len(pairs) == 1 else " − ".join(f"({pair})" for pair in pairs)


def _place(line: dict[str, Any]) -> tuple[Any, ...]:
    column = line["dataset"], line["rate"], line["arch"], line["iterations"], line["protocol"]
    return *column, line["selector"], PARTS.index(line["part"]), line["synth"]
