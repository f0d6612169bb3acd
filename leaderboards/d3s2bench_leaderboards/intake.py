"""Records as they come in: whatever no table could show truthfully is refused, and what many share is kept once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from d3s2bench import Json, StoreError

LARGEST = 2**53
"""Larger whole numbers are not exact as floating point, nor in a spreadsheet or a browser."""
SHARED = ("dataset", "selector", "synth", "evaluator", "protocol")


def intake(records: Iterable[Json]) -> list[Json]:
    """The records, each once.

    Raises:
        StoreError: two different records of one id, a rate that is no number, a number too large for any table, a set
            of nobody knows how many images.
    """
    seen: dict[str, Json] = {}
    shared: dict[str, Any] = {}
    for record in records:
        _check(record)
        one = _thinned(record, shared)
        if (first := seen.setdefault(record["id"], one)) is not one and first != one:
            raise StoreError(f"two different records have the id {record['id']}: remove the file of one")
    return list(seen.values())


def _check(record: Json) -> None:
    if math.isnan(record["spec"]["rate"]):
        raise StoreError(f"record {record['id']}: rate is no number: remove its file")
    if record["status"] == "ok" and record["budget"]["images"] is None:
        raise StoreError(f"record {record['id']}: it does not say how many images its set has: remove its file")
    for name, number in _whole_numbers(record):
        if number is not None and number > LARGEST:
            raise StoreError(f"record {record['id']}: {name} is over 2^53: no table can show it, remove its file")


def _whole_numbers(record: Json) -> Iterator[tuple[str, int | None]]:
    spec = record["spec"]
    yield "seed", spec["seed"]
    yield from ((name, spec["protocol"][name]) for name in ("iterations", "converged_iterations"))
    yield from record["budget"].items()


def _thinned(record: Json, shared: dict[str, Any]) -> Json:
    """A copy whose larger parts are those of earlier records, where they are equal: 100,000 records fit into memory."""

    def same(part: Any) -> Any:
        return shared.setdefault(repr(part), part)

    spec = {key: same(part) if key in SHARED else part for key, part in record["spec"].items()}
    provenance = {key: same(part) if isinstance(part, dict) else part for key, part in record["provenance"].items()}
    return {**record, "spec": spec, "versions": same(record["versions"]), "provenance": provenance}
