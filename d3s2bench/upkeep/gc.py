"""Frees a store of what no record refers to, directly or through its set, its selection, its models or its quality."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import Timeout

from d3s2bench.errors import StoreError
from d3s2bench.files import digest
from d3s2bench.results.records import read_records
from d3s2bench.storage.locks import is_held, live_runs, lock_file
from d3s2bench.storage.store import Store
from d3s2bench.upkeep.inventory import Artefact, artefacts, models_by_hash, open_store, partial_artefacts
from d3s2bench.values import Json

REMOVED = ".removed"


def unreferenced(out: Path) -> list[Artefact]:
    """Finished artefacts that no record of the folder refers to.

    A record without a number refers to all that could serve its cell: the next run goes on from there. Where no cell
    has been scored yet, the next run goes on from all that there is.

    Raises:
        StoreError: no store, or a record that cannot be read and so might refer to anything.
    """
    found = artefacts(open_store(out))
    if not any((out / "records").glob("*.json")):
        return []
    kept = _closed(_named_by_records(out, found), found)
    return [artefact for artefact in found if artefact.key not in kept]


def abandoned(out: Path) -> list[Artefact]:
    """Partial folders that nobody works on: their runs are dead."""
    store = open_store(out)
    return [each for each in partial_artefacts(store) if not is_held(lock_file(store, each.stage, each.key))]


def remove(out: Path, found: Iterable[Artefact]) -> tuple[list[Artefact], list[Artefact]]:
    """Removes artefacts; returns those that are gone and those that another process held.

    Raises:
        StoreError: a run is at work here: what it has just made is in no record yet.
    """
    store = open_store(out)
    if runs := live_runs(store):
        raise StoreError(f"a run is at work in {out} ({', '.join(runs)}): wait until it has ended")
    for left in store.root.glob(f"*/.*{REMOVED}"):  # by a removal that was killed
        shutil.rmtree(left)
    gone: list[Artefact] = []
    held: list[Artefact] = []
    for artefact in found:
        (gone if _remove(store, artefact) else held).append(artefact)
    return gone, held


def _remove(store: Store, artefact: Artefact) -> bool:
    """Moves it out of sight in one step, so that no kill leaves half of it under its name."""
    try:
        with store.lock(artefact.stage, artefact.key).acquire(blocking=False):
            hidden = artefact.folder.with_name(f".{artefact.folder.name}{REMOVED}")
            artefact.folder.replace(hidden)
    except Timeout:
        return False
    shutil.rmtree(hidden)
    return True


# --- what records refer to -------------------------------------------------------------------------------------------


def _named_by_records(out: Path, found: list[Artefact]) -> set[str]:
    """Keys that the records name, and those that the records without a number could use."""
    models, named = models_by_hash(found), set()
    fingerprints, unscored = set(), {}
    for record in read_records(out):
        named |= _named(record, models)
        fingerprints.add(record["spec"]["dataset"]["fingerprint"])
        if record["status"] != "ok":
            cell = _Cell.of(record["spec"])
            unscored[digest(cell.to_json())] = cell
    origins = _Origins(found)
    named |= {each.key for each in found if each.stage == "index" and origins.dataset(each) in fingerprints}
    return named | {each.key for each in found if any(origins.may_serve(each, cell) for cell in unscored.values())}


def _named(record: Json, models: Mapping[str, Artefact]) -> set[str]:
    made, quality = record["provenance"], record.get("quality") or {}
    keys = {key for key in (made["distilled"], made["selection"], quality.get("key")) if key}
    hashes = [model["sha256"] for model in (made["teacher"], made["generator"], quality.get("judge")) if model]
    return keys | {models[sha256].key for sha256 in hashes if sha256 in models}


def _closed(named: set[str], found: list[Artefact]) -> set[str]:
    """These keys and all that they were made from."""
    inputs = {artefact.key: _inputs(artefact.identity) for artefact in found}
    kept: set[str] = set()
    waiting = list(named)
    while waiting:
        key = waiting.pop()
        if key not in kept:
            kept.add(key)
            waiting += inputs.get(key, ())
    return kept


def _inputs(identity: Json) -> list[str]:
    direct = [identity[stage] for stage in ("index", "selection", "distilled") if stage in identity]
    return [*direct, *(identity.get("models") or {}).values()]


@dataclass(frozen=True)
class _Cell:
    """What tells the sets of one cell from those of others, repetitions and rates apart."""

    dataset: str
    selector: Json
    synth: Json

    @classmethod
    def of(cls, spec: Json) -> _Cell:
        return cls(spec["dataset"]["fingerprint"], spec["selector"], spec["synth"])

    def to_json(self) -> list[Any]:
        return [self.dataset, self.selector, self.synth]


class _Origins:
    """Follows artefacts back to what they were made from."""

    def __init__(self, found: list[Artefact]) -> None:
        self.by_key = {artefact.key: artefact for artefact in found}

    def dataset(self, artefact: Artefact) -> str | None:
        """The fingerprint of its dataset; None where what it was made from is gone."""
        if "dataset" in artefact.identity:
            return str(artefact.identity["dataset"])
        before = (self.by_key.get(key) for key in _inputs(artefact.identity))
        return next((self.dataset(each) for each in before if each), None)

    def may_serve(self, artefact: Artefact, cell: _Cell) -> bool:
        """Whether a run of this cell could reuse the artefact: same dataset, and made by no other method."""
        measured = self.by_key.get(artefact.identity.get("distilled", ""), artefact)
        told = {**measured.info, **measured.identity}
        same = all(told.get(part) in (None, getattr(cell, part)) for part in ("selector", "synth"))
        return same and self.dataset(artefact) in (None, cell.dataset)
