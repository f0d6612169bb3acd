"""What a table can show of each record: scores, and what they cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from d3s2bench import ConfigError, Json, unknown_name

MADE = ("select", "synthesise", "train")
"""The stages that a method costs."""


@dataclass(frozen=True)
class Metric:
    """One number of a record, in ``unit``; None where the record does not have it."""

    name: str
    label: str
    read: Callable[[Json], float | None]
    unit: Literal["percent", "bytes", "seconds"] = "percent"

    @property
    def sign(self) -> int:
        """1 where more is better, -1 where less is."""
        return 1 if self.unit == "percent" else -1

    @property
    def inline(self) -> str:
        """The label and its unit, as a sentence has them."""
        return f"{self.label} in percent" if self.unit == "percent" else self.label


def seconds(record: Json) -> float | None:
    """Wall time of selection, synthesis and training; None without a training that was timed."""
    spent = [record["timings"][stage] for stage in MADE]
    known = [value for value in spent if value is not None and math.isfinite(value)]
    return sum(known) if spent[-1] is not None and known else None


def _score(key: str, label: str) -> Metric:
    return Metric(key, label, lambda record: record["metrics"][key])


MIOU = _score("miou", "mIoU")
METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        MIOU,
        _score("miou_head", "mIoU, head"),
        _score("miou_mid", "mIoU, mid"),
        _score("miou_tail", "mIoU, tail"),
        _score("pixel_accuracy", "pixel accuracy"),
        _score("mean_accuracy", "mean accuracy"),
        Metric("bytes", "bytes", lambda record: record["budget"]["bytes"], "bytes"),
        Metric("seconds", "seconds", seconds, "seconds"),
    )
}


def metric(name: str) -> Metric:
    """Raises ConfigError for a metric that there is not."""
    if name not in METRICS:
        error: ConfigError = unknown_name("metric", name, METRICS)
        raise error
    return METRICS[name]
