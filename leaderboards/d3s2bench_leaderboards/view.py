"""What a table shows, along which axes and in which order: options that all formats share."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from d3s2bench import ConfigError, unknown_name
from d3s2bench_leaderboards.metrics import Metric, metric

if TYPE_CHECKING:
    from d3s2bench_leaderboards.controls import Controls
    from d3s2bench_leaderboards.rows import Row, Setting

METHOD = ("selector", "synth", "labels")
SETUP = ("dataset", "rate", "arch")
TRAINED = ("iterations", "protocol")
FACETS = (*SETUP, *METHOD, "method", *TRAINED)
NUMBERS = ("score", "std", "n", "delta", "percent", "bytes", "seconds")
CONDITION = re.compile(r"(?P<key>\w+)(?P<sign>!?=)(?P<values>.+)", re.DOTALL)


@dataclass(frozen=True)
class Lens:
    """Which records, and what of them. With its defaults all records and their mIoU."""

    metric: str = "miou"
    """miou, miou_head, miou_mid, miou_tail, pixel_accuracy, mean_accuracy, bytes or seconds."""
    where: tuple[str, ...] = ()
    """``KEY=VALUE`` or ``KEY!=VALUE`` of a facet or of ``method``, such as ``method=random+real,balanced+real+soft``;
    several values with commas, ``*`` for any text. All must hold. What is not shown still serves as a control."""

    @property
    def measure(self) -> Metric:
        """Raises ConfigError for a metric that there is not."""
        return metric(self.metric)

    @property
    def told(self) -> str:
        """A sentence on what is left out; empty for everything."""
        return f"Shown: {', '.join(self.where)}." if self.where else ""

    @property
    def nothing(self) -> str:
        """What is said where there is nothing to show."""
        return f"No finished record is of {', '.join(self.where)}." if self.where else "No record is finished."

    def filter(self) -> Callable[[Setting], bool]:
        """Whether a setting is shown. Raises ConfigError for a condition that cannot be read."""
        conditions = [_condition(text) for text in self.where]
        return lambda setting: all(holds(setting) for holds in conditions)

    def ordered(self, lines: Iterable[Sequence[Row]], controls: Controls) -> list[int]:
        """The numbers of the lines in the order in which they are shown."""
        return [k for k, _ in enumerate(lines)]


@dataclass(frozen=True)
class View(Lens):
    """A table. With its defaults every format has the layout that is its own."""

    rows: tuple[str, ...] = ()
    """Facets whose values are the rows: of dataset, rate, arch, selector, synth, labels."""
    columns: tuple[str, ...] = ()
    """Facets whose values are the columns. The protocol always is one: numbers of two protocols share no column."""
    sort: str = ""
    """A facet, or score, std, n, delta, percent, bytes, seconds; a minus before it turns the order round."""

    @property
    def pivots(self) -> bool:
        return bool(self.rows or self.columns)

    def ordered(self, lines: Iterable[Sequence[Row]], controls: Controls) -> list[int]:
        """By ``sort``; lines that do not know it come last. Raises ConfigError for a key that there is not."""
        found = list(lines)
        if not self.sort:
            return super().ordered(found, controls)
        key, sign = self.sort.removeprefix("-"), -1 if self.sort.startswith("-") else 1
        if key not in (*FACETS, *NUMBERS):
            raise unknown_name("key to sort by", key, (*FACETS, *NUMBERS))
        values: list[Any] = [_value(key, line, controls) for line in found]
        known = sorted((k for k, value in enumerate(values) if value is not None), key=values.__getitem__)
        blank = [k for k, value in enumerate(values) if value is None]
        return [*known[::sign], *blank]


def facet(setting: Setting, key: str) -> str | float:
    """What filters and orders go by: the name alone, without the options that tell parts of a name apart."""
    value = getattr(setting, key)
    return value if isinstance(value, str | int | float) else str(value.name)


def _condition(text: str) -> Callable[[Setting], bool]:
    found = CONDITION.fullmatch(text)
    if not found:
        raise ConfigError(f"condition '{text}' cannot be read: write KEY=VALUE, KEY=VALUE,VALUE or KEY!=VALUE")
    key, sign, wanted = found["key"], found["sign"], [value.strip() for value in found["values"].split(",")]
    if key not in FACETS:
        raise unknown_name("key of a condition", key, FACETS)
    if key == "rate":
        rates = [_rate(value) for value in wanted]
        return lambda setting: _at_rate(setting, rates, sign == "=")
    return lambda setting: any(_is(setting, key, value) for value in wanted) == (sign == "=")


def _at_rate(setting: Setting, rates: Sequence[float], wanted: bool) -> bool:
    """The full train set is the reference of every rate, of those that are not left out, too."""
    return setting.selector.name == "full" or any(math.isclose(setting.rate, rate) for rate in rates) == wanted


def _is(setting: Setting, key: str, wanted: str) -> bool:
    """A protocol goes by its first digits."""
    value = str(facet(setting, key))
    return value.startswith(wanted) if key == "protocol" else fnmatchcase(value, wanted)


def _rate(text: str) -> float:
    """``0.01`` or ``1%``."""
    try:
        return float(text.removesuffix("%")) / 100 if text.endswith("%") else float(text)
    except ValueError as error:
        raise ConfigError(f"rate '{text}' is no number: write rate=0.01 or rate=1%") from error


def _value(key: str, line: Sequence[Row], controls: Controls) -> str | float | None:
    """Of a line with several rows the mean, or the least facet."""
    if key in FACETS:
        facets: list[Any] = [facet(row.setting, key) for row in line]
        return min(facets, default=None)
    known = [value for row in line if (value := _number(key, row, controls)) is not None and math.isfinite(value)]
    return sum(known) / len(known) if known else None


def _number(key: str, row: Row, controls: Controls) -> float | None:
    from d3s2bench_leaderboards.controls import paired_difference, percent_of

    match key:
        case "score":
            return row.mean
        case "delta":
            return paired_difference(row, controls.random_real(row))
        case "percent":
            return percent_of(row, controls.converged(row))
        case "n":
            return len(row.records)
        case "seconds":
            return row.seconds
    value: float | None = getattr(row, key)
    return value
