"""What the rest of a plan will take, from what past stages of the same store took.

A stage is measured against those of its kind: the same component with the same options, on the same data and device;
where there is none, the same component with any. Training counts in iterations and synthesis in the rate; the median of
past stages per unit is what one more will take. What was never measured is said to be unknown.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from d3s2bench.errors import StoreError
from d3s2bench.files import digest, read_json
from d3s2bench.planning.plan import STAGES, Node, Plan
from d3s2bench.storage.store import Store
from d3s2bench.upkeep.inventory import artefacts
from d3s2bench.values import Json


@dataclass(frozen=True)
class Estimate:
    """One stage of what is left of a plan."""

    stage: str
    nodes: int
    seconds: float
    """Of all nodes that something like them was measured for, one after the other."""
    bytes: float
    """Disk that those take."""
    unknown: int
    """Nodes that nothing like them was measured for."""


@dataclass(frozen=True)
class _Cost:
    """What a stage takes."""

    share: float
    """Seconds per unit of work."""
    fixed: float
    """Seconds besides."""
    bytes: float
    """Of its folder; of a distilled set per unit of work."""


def estimate(plan: Plan, store: Store) -> list[Estimate]:
    """By stage, those with nothing left to do apart. With n workers it takes the n-th part of the seconds at best."""
    left = plan.remaining(store)
    past = _past(store) if left else {}
    return [
        _of_stage(stage, nodes, past) for stage in STAGES if (nodes := [n for n in left.values() if n.stage == stage])
    ]


def _of_stage(stage: str, nodes: list[Node], past: dict[str, _Cost]) -> Estimate:
    found = [(_units(stage, node.identity, node.run), cost) for node in nodes if (cost := _cost(node, past))]
    seconds = sum(cost.fixed + cost.share * units for units, cost in found)
    size = sum(cost.bytes * (units if stage == "distilled" else 1) for units, cost in found)
    return Estimate(stage, len(nodes), seconds, size, len(nodes) - len(found))


def _cost(node: Node, past: dict[str, _Cost]) -> _Cost | None:
    return next((past[kind] for kind in _kinds(node.stage, node.identity) if kind in past), None)


# --- what was measured -----------------------------------------------------------------------------------------------


def _past(store: Store) -> dict[str, _Cost]:
    """Kind → the median of what stages of that kind took."""
    past: defaultdict[str, list[_Cost]] = defaultdict(list)
    for kinds, cost in [*_past_artefacts(store), *_past_records(store.out / "records")]:
        for kind in kinds:
            past[kind].append(cost)
    return {kind: _median(costs) for kind, costs in past.items()}


def _median(costs: list[_Cost]) -> _Cost:
    return _Cost(*(median(getattr(cost, part) for cost in costs) for part in ("share", "fixed", "bytes")))


def _past_artefacts(store: Store) -> Iterator[tuple[list[str], _Cost]]:
    for artefact in artefacts(store):
        seconds = artefact.info.get("seconds")
        if seconds is not None and artefact.identity:
            units = _units(artefact.stage, artefact.identity, artefact.info)
            size = artefact.bytes / (units if artefact.stage == "distilled" else 1)
            yield _kinds(artefact.stage, artefact.identity), _Cost(seconds / units, 0, size)


def _past_records(folder: Path) -> Iterator[tuple[list[str], _Cost]]:
    sizes = _sizes(folder)
    for file in sorted(folder.glob("*.json")):
        try:
            record = read_json(file)
            spec, took, status = record["spec"], record["timings"], record["status"]
            if status == "ok" and None not in (took["train"], took["evaluate"]):
                identity = {**spec, "dataset": spec["dataset"]["fingerprint"]}
                cost = _Cost(took["train"] / _units("record", identity, {}), took["evaluate"], sizes[file.stem])
                yield _kinds("record", identity), cost
        except (StoreError, KeyError, TypeError):  # 'store verify' is there to find it
            continue


def _sizes(folder: Path) -> Counter[str]:
    """Name → bytes of a record with its counts."""
    sizes: Counter[str] = Counter()
    for file in folder.glob("[!.]*.*"):
        sizes[file.stem] += file.stat().st_size
    return sizes


# --- kinds -----------------------------------------------------------------------------------------------------------

OWN = {
    "selection": "selector",
    "distilled": "synth",
    "teacher": "evaluator",
    "generator": "generator",
    "record": "evaluator",
}
"""Stage → the component that does its work."""


def _kinds(stage: str, identity: Json) -> list[str]:
    """The narrow kind and the wide one: a stage is compared with the first that was measured."""
    component, arch = identity.get(OWN.get(stage, ""), {}), identity.get("arch")
    wide: list[Any] = [stage, component.get("name"), arch]
    size = identity.get("protocol", {}).get("size")
    narrow = [*wide, component.get("options"), identity.get("dataset"), identity.get("device"), size]
    return [digest(narrow), digest(wide)]


def _units(stage: str, identity: Json, about: Json) -> float:
    """How much work a stage is; ``about`` is what a node is to run, or what an artefact says of itself."""
    if stage in ("teacher", "record"):
        return float(identity["protocol"].get("iterations", 1))
    return float(about["rate"]) if stage == "distilled" else 1.0
