"""The quality of the distilled sets behind each row, as far as it was measured, beside the mIoU they led to."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from d3s2bench_leaderboards.rows import Row, sample_std

LEAST = "nearest_rmse_min"
MEASURES = {
    "judge_accuracy": "judge: pixels",
    "judge_miou": "judge: mIoU",
    "feature_distance": "feature distance",
    "diversity": "diversity",
    "within_class_diversity": "within-class diversity",
    "nearest_rmse_mean": "nearest photograph",
    LEAST: "nearest of all",
}
"""Key in a record's ``quality`` → header."""


@dataclass(frozen=True)
class Quality:
    """A row and, for each measure, mean and sample standard deviation over its sets; NaN where not known.

    Of the least distance the least over all sets, without a spread.
    """

    row: Row
    measures: dict[str, tuple[float, float]]


def qualities(rows: Iterable[Row]) -> list[Quality]:
    """Of the rows with a measured set. A set that was computed once counts once."""
    measured = [(row, _sets(row)) for row in rows]
    return [Quality(row, {key: _moments(sets, key) for key in MEASURES}) for row, sets in measured if sets]


def _sets(row: Row) -> list[dict[str, float | None]]:
    found = [record.get("quality") for record in row.records.values()]
    return list({quality["key"]: quality for quality in found if quality}.values())


def _moments(sets: list[dict[str, float | None]], key: str) -> tuple[float, float]:
    values = [value for quality in sets if (value := quality.get(key)) is not None]
    if key == LEAST:
        return min(values, default=math.nan), math.nan
    return (sum(values) / len(values), sample_std(values)) if values else (math.nan, math.nan)
