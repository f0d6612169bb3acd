"""The comparison that every format prints: one line for each method under one protocol."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from d3s2bench import Json
from d3s2bench_leaderboards.comparisons import Comparison, Tests, all_with_random
from d3s2bench_leaderboards.controls import Controls, paired_difference, percent_of
from d3s2bench_leaderboards.names import Names, names
from d3s2bench_leaderboards.rows import Row, gather


def comparison(records: Iterable[Json]) -> pd.DataFrame:
    """One row for each method (dataset, rate, architecture, selector, synthesizer, labels, options) and protocol.

    Columns: ``dataset``, ``rate``, ``arch``, ``selector``, ``synth``, ``labels`` (what students learn from), ``n``
    (repetitions), ``varies`` (the stages whose seed differs between them), ``images`` and ``bytes`` of the
    distilled set, ``miou`` (mean, percent), ``std`` (sample standard deviation over the repetitions, missing for
    one), ``vs_random`` (difference to random + real), ``p`` (of the two-sided sign-flip test of that difference),
    ``p_holm`` (corrected for all methods of the dataset, rate, architecture and protocol), ``better`` (the share of
    all pairs of repetitions in which it is better than random + real, ties half), ``vs_selector`` (to the same
    selector + real), ``vs_soft`` (to the same selector + real with the teacher's soft labels: the control of equal
    information), ``vs_full`` (to all images at the same iterations), ``percent_of_full`` (of all images, trained to
    convergence), ``iterations`` and ``protocol`` (the first digits of its hash).

    Differences are paired: means over the n repetitions that both rows have in common. Rows of different protocols are
    never compared, but for the converged reference. Options in which rows of one name differ stand behind the name.
    """
    return compare(gather(records)).rename(columns={"score": "miou"})


def compare(
    rows: Sequence[Row], controls: Controls | None = None, named: Names | None = None, tests: Tests | None = None
) -> pd.DataFrame:
    """The comparison of rows that are gathered already, with controls, names and tests of more rows where these are
    given."""
    controls, named = controls or Controls(rows), named or names(rows)
    tests = all_with_random(controls) if tests is None else tests
    lines = [named[row.setting] | _line(row, controls) | _test(tests.get(row.setting)) for row in rows]
    return pd.DataFrame(lines, columns=list(COLUMNS), dtype=object).astype(COLUMNS)  # names may be no valid text


COLUMNS = {
    "dataset": "object",
    "rate": "float64",
    "arch": "object",
    "selector": "object",
    "synth": "object",
    "labels": "object",
    "n": "int64",
    "varies": "object",
    "images": "int64",
    "bytes": "float64",
    "score": "float64",
    "std": "float64",
    "vs_random": "float64",
    "p": "float64",
    "p_holm": "float64",
    "better": "float64",
    "vs_selector": "float64",
    "vs_soft": "float64",
    "vs_full": "float64",
    "percent_of_full": "float64",
    "iterations": "int64",
    "protocol": "object",
}


def _test(test: Comparison | None) -> dict[str, float]:
    return {"p": test.p, "p_holm": test.corrected, "better": test.improvement} if test else {}


def _line(row: Row, controls: Controls) -> dict[str, Any]:
    return {
        "rate": row.setting.rate,
        "n": len(row.records),
        "varies": ", ".join(row.varies),
        "images": row.images,
        "bytes": row.bytes,
        "score": row.mean,
        "std": row.std,
        "vs_random": paired_difference(row, controls.random_real(row)),
        "vs_selector": paired_difference(row, controls.selector_real(row)),
        "vs_soft": paired_difference(row, controls.selector_real(row, "soft")),
        "vs_full": paired_difference(row, controls.full(row)),
        "percent_of_full": percent_of(row, controls.converged(row)),
        "iterations": row.setting.iterations,
        "protocol": row.setting.protocol[:8],
    }
