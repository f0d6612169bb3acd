"""Records gathered into rows: one method under one protocol, with one number for each repetition."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from d3s2bench import Json
from d3s2bench_leaderboards.metrics import MIOU, Metric, seconds

MODELS = ("teacher", "generator")
STAGES = ("select", "synthesise", "train")


@dataclass(frozen=True)
class Part:
    """A name and what else tells it from others of that name, as JSON texts."""

    name: str
    traits: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, name: str, traits: Json) -> Part:
        return cls(name, tuple((key, json.dumps(traits[key], sort_keys=True)) for key in sorted(traits)))


@dataclass(frozen=True)
class Setting:
    """What repetitions share."""

    dataset: Part
    rate: float
    arch: Part
    protocol: str
    recipe: str
    """The protocol but for its iterations: what training budgets and a converged reference share."""
    iterations: int
    converged: bool
    selector: Part
    synth: Part
    labels: Part
    models: tuple[tuple[str, str], ...]
    """Teacher and generator by digest: methods that used different weights are different methods."""

    @classmethod
    def of(cls, record: Json) -> Setting:
        """Component versions are no part of it: a cell that is run again with new code replaces the old one, and a row
        whose repetitions are of different code is told (``Row.versions``)."""
        spec = record["spec"]
        data, evaluator, protocol = spec["dataset"], spec["evaluator"], spec["protocol"]
        options = _changed(evaluator)
        labels = evaluator["options"].get("labels", "hard")
        labels = labels if isinstance(labels, str) else json.dumps(labels, sort_keys=True)  # of an evaluator of others
        options.pop("labels", None)
        return cls(
            dataset=Part.of(data["name"], {"split": data["split"], "fingerprint": data["fingerprint"][:12]}),
            rate=spec["rate"],
            arch=Part.of(spec["arch"], {"evaluator": evaluator["name"]}),
            protocol=spec["protocol_hash"],
            recipe=json.dumps({k: v for k, v in protocol.items() if k != "iterations"}, sort_keys=True),
            iterations=protocol["iterations"],
            converged=protocol["iterations"] == protocol["converged_iterations"],
            selector=Part.of(spec["selector"]["name"], _changed(spec["selector"])),
            synth=Part.of(spec["synth"]["name"], _changed(spec["synth"])),
            labels=Part.of(labels, options),
            models=_models(record),
        )

    @property
    def method(self) -> str:
        return bare_method(self.selector, self.synth, self.labels)


def bare_method(selector: Part, synth: Part, labels: Part) -> str:
    """``selector+synth``, and ``+labels`` unless they are hard; without options."""
    parts = [selector.name, synth.name, labels.name]
    return "+".join(parts[:2] if labels.name == "hard" else parts)


@dataclass(frozen=True)
class Row:
    """A setting and its records by the number of the repetition, in ascending order."""

    setting: Setting
    records: Mapping[int, Json]
    metric: Metric = MIOU

    @cached_property
    def scores(self) -> dict[int, float]:
        """What the metric says of each repetition that it knows."""
        read = ((seed, self.metric.read(record)) for seed, record in self.records.items())
        return {seed: value for seed, value in read if value is not None}

    @cached_property
    def mean(self) -> float:
        """NaN where the metric knows no repetition."""
        return sum(self.scores.values()) / len(self.scores) if self.scores else math.nan

    @cached_property
    def std(self) -> float:
        return sample_std(list(self.scores.values()))

    @property
    def merit(self) -> float:
        """The mean as a number of which more is better; the least of all for what is no number."""
        return self.metric.sign * self.mean if math.isfinite(self.mean) else -math.inf

    @cached_property
    def images(self) -> int:
        images: int = next(iter(self.records.values()))["budget"]["images"]
        return images

    @cached_property
    def pixels_per_image(self) -> float:
        """0 where a record does not say it."""
        budget = next(iter(self.records.values()))["budget"]
        return float(budget["pixels"] / budget["images"]) if budget["pixels"] and budget["images"] else 0.0

    @property
    def synth_options(self) -> Json:
        """All of them, defaults among them."""
        options: Json = next(iter(self.records.values()))["spec"]["synth"]["options"]
        return options

    @property
    def varies(self) -> tuple[str, ...]:
        """The stages whose seed differs between the repetitions; one without a seed was computed once."""
        seeds = [record["provenance"]["seeds"] for record in self.records.values()]
        return tuple(stage for stage in STAGES if len({seed[stage] for seed in seeds}) > 1)

    @property
    def versions(self) -> set[tuple[str, ...]]:
        """Of selector, synthesizer and evaluator: more than one says that the code changed between repetitions."""
        specs = (record["spec"] for record in self.records.values())
        return {tuple(spec[part]["version"] for part in ("selector", "synth", "evaluator")) for spec in specs}

    @property
    def seconds(self) -> float | None:
        """Mean cost over the repetitions that were timed."""
        known = [spent for record in self.records.values() if (spent := seconds(record)) is not None]
        return sum(known) / len(known) if known else None

    @property
    def bytes(self) -> float | None:
        """Mean over the repetitions; None for a set that was not written to disk."""
        sizes = [record["budget"]["bytes"] for record in self.records.values()]
        return None if None in sizes else sum(sizes) / len(sizes)


def gather(records: Iterable[Json], metric: Metric = MIOU) -> list[Row]:
    """All rows, the best first within each dataset, rate, architecture and protocol, short trainings before long.

    Only records of status ok count; of two of the same cell and repetition, the one written last does.
    """
    cells: dict[Setting, dict[int, Json]] = defaultdict(dict)
    scored = (record for record in records if record["status"] == "ok")
    for record in sorted(scored, key=lambda r: (r["created"], r["id"])):
        cells[Setting.of(record)][record["spec"]["seed"]] = record
    return sorted((Row(setting, dict(sorted(cell.items())), metric) for setting, cell in cells.items()), key=_place)


def sample_std(values: Sequence[float]) -> float:
    """Over n − 1; NaN for fewer than two values."""
    if len(values) < 2:
        return math.nan
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) * (value - mean) for value in values) / (len(values) - 1))


def _place(row: Row) -> tuple[object, ...]:
    s = row.setting
    return s.dataset.name, s.rate, s.arch.name, s.iterations, s.protocol, -row.merit, repr(s)


def _changed(component: Json) -> dict[str, object]:
    """The options that tell a component from others of its name: those that are not at their defaults."""
    options = component["options"]
    return {name: options[name] for name in component.get("changed", options)}


def _models(record: Json) -> tuple[tuple[str, str], ...]:
    used = {kind: record["provenance"][kind] for kind in MODELS}
    return tuple((kind, json.dumps(model["sha256"][:12])) for kind, model in used.items() if model)
