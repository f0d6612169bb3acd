"""What rows are called: the name of each part, followed by its changed options and what else tells it apart."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from d3s2bench_leaderboards.rows import Part, Row, Setting
from d3s2bench_leaderboards.view import METHOD

NAMED = ("dataset", "arch", "selector", "synth", "labels")
Names = Mapping[Setting, dict[str, str]]


def names(rows: Sequence[Row]) -> Names:
    """For each row's setting: dataset, architecture, selector, synthesizer and labels as texts."""
    texts = {part: _texts(part, rows) for part in NAMED}
    return {row.setting: {part: texts[part][k] for part in NAMED} for k, row in enumerate(rows)}


def _texts(part: str, rows: Sequence[Row]) -> list[str]:
    parts: list[Part] = [getattr(row.setting, part) for row in rows]
    # changed options are always told: a method's name alone means the defaults
    telling = [_told(p.traits) for p in parts] if part in METHOD else _telling(parts)
    if part == "synth":
        telling = [own + models for own, models in zip(telling, _telling(map(_weights, rows)), strict=True)]
    return [f"{p.name}({', '.join(told)})" if told else p.name for p, told in zip(parts, telling, strict=True)]


def _weights(row: Row) -> Part:
    s = row.setting
    return Part(f"{s.selector.name}/{s.synth.name}/{s.labels.name}", s.models)


def _telling(parts: Iterable[Part]) -> list[list[str]]:
    """For each part those of its traits in which parts of its name differ, or which some of them lack."""
    parts = list(parts)
    seen: dict[str, list[tuple[tuple[str, str], ...]]] = defaultdict(list)
    for part in parts:
        seen[part.name].append(part.traits)
    shared = {name: set.intersection(*map(set, traits)) for name, traits in seen.items()}
    return [_told(trait for trait in part.traits if trait not in shared[part.name]) for part in parts]


def _told(traits: Iterable[tuple[str, str]]) -> list[str]:
    return [f"{name}={_plain(value)}" for name, value in traits]


def _plain(value: str) -> str:
    """A JSON text without the quotes of a string."""
    loaded = json.loads(value)
    return loaded if isinstance(loaded, str) else value


def with_labels(method: str, labels: str) -> str:
    """``selector + synth``; labels that are not hard stand behind a comma."""
    return method if labels == "hard" else f"{method}, {labels} labels"
