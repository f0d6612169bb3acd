"""Records gathered into rows: one method under one protocol, with one mIoU for each repetition."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from d3s2bench import Json

MODELS = ("teacher", "generator")


@dataclass(frozen=True)
class Part:
    """A name and what else tells it from others of that name, as JSON texts."""

    name: str
    traits: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, name: str, traits: Json) -> Part:
        return cls(name, tuple((key, json.dumps(traits[key], sort_keys=True)) for key in sorted(traits)))


@dataclass(frozen=True)
class Row:
    """What repetitions share, and their records by number, ``repetitions``, in ascending order."""

    dataset: Part
    arch: Part
    selector: Part
    synth: Part
    labels: Part
    rate: float
    protocol: str
    recipe: str
    """The protocol but for its iterations: what a converged reference shares with the others."""
    converged: bool
    repetitions: Mapping[int, Json]

    @cached_property
    def images(self) -> int:
        images: int = next(iter(self.repetitions.values()))["budget"]["images"]
        return images

    @cached_property
    def bytes(self) -> float | None:
        """Mean over the repetitions that were written to disk."""
        return mean(r["budget"]["bytes"] for r in self.repetitions.values() if r["budget"]["bytes"] is not None)

    @cached_property
    def miou(self) -> dict[int, float]:
        return {seed: record["metrics"]["miou"] for seed, record in self.repetitions.items()}

    @cached_property
    def mean(self) -> float:
        return sum(self.miou.values()) / len(self.miou)

    @property
    def place(self) -> tuple[object, ...]:
        """Rows are sorted by this: best first within each dataset, rate, architecture and protocol."""
        column = (self.dataset.name, self.rate, self.arch.name, self.dataset, self.arch, self.protocol)
        return *map(str, column[:1]), *column[1:3], *map(repr, column[3:]), -self.mean, repr(self._method)

    @property
    def _method(self) -> tuple[Part, Part, Part]:
        return self.selector, self.synth, self.labels


def gather(records: Iterable[Json]) -> list[Row]:
    """All rows in their order. Only records of status ok count; of two of the same cell, the one written last does.

    A component's version is no part of a row: a cell that is run again with new code replaces the old one.
    """
    cells: dict[tuple[object, ...], dict[int, Json]] = defaultdict(dict)
    for record in sorted((r for r in records if r["status"] == "ok"), key=lambda r: (r["created"], r["id"])):
        cells[_identity(record)][record["spec"]["seed"]] = record
    rows = [Row(*identity, dict(sorted(cell.items()))) for identity, cell in cells.items()]  # type: ignore[arg-type]
    return sorted(rows, key=lambda row: row.place)


def _identity(record: Json) -> tuple[object, ...]:
    """The fields of a row but its repetitions."""
    spec = record["spec"]
    dataset, evaluator, protocol = spec["dataset"], spec["evaluator"], spec["protocol"]
    options = dict(evaluator["options"])
    labels = options.pop("labels", "hard")
    return (
        Part.of(dataset["name"], {"split": dataset["split"], "fingerprint": dataset["fingerprint"][:12]}),
        Part.of(spec["arch"], {"evaluator": evaluator["name"]}),
        Part.of(spec["selector"]["name"], spec["selector"]["options"]),
        Part.of(spec["synth"]["name"], spec["synth"]["options"] | _models(record)),
        Part.of(labels, options),
        spec["rate"],
        spec["protocol_hash"],
        json.dumps({key: value for key, value in protocol.items() if key != "iterations"}, sort_keys=True),
        protocol["iterations"] == protocol["converged_iterations"],
    )


def _models(record: Json) -> dict[str, str]:
    """Methods that used different weights are different methods."""
    used = {kind: record["provenance"].get(kind) for kind in MODELS}
    return {kind: model["sha256"][:12] for kind, model in used.items() if model}


def mean(values: Iterable[float]) -> float | None:
    present = list(values)
    return sum(present) / len(present) if present else None
