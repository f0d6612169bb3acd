"""Where a run is, from its files alone: it can be asked beside the run, or after it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from d3s2bench.errors import StoreError
from d3s2bench.files import read_json, write_json
from d3s2bench.results.records import record_id
from d3s2bench.sets.distilled import JOURNAL
from d3s2bench.storage.locks import is_held, live_runs, lock_file
from d3s2bench.storage.store import Store
from d3s2bench.upkeep.inventory import Artefact, artefacts, open_store, partial_artefacts

STATUSES = ("ok", "failed", "skipped", "unreadable")
PLAN = "plan.json"
"""What the last run that found something to do had to do: stage → keys."""


@dataclass(frozen=True)
class Work:
    """A folder that is not finished: a process holds its lock, or its run is dead."""

    artefact: Artefact
    held: bool

    @property
    def images(self) -> int | None:
        """How many images of a set are written; None for other stages."""
        journal = self.artefact.folder / JOURNAL
        return len(journal.read_bytes().splitlines()) if journal.exists() else None


@dataclass(frozen=True)
class Status:
    """What a run folder holds at this moment."""

    records: Counter[str]
    """Status → records."""
    reasons: Counter[str]
    """Why cells failed, with how many records."""
    finished: Counter[str]
    """Stage → artefacts."""
    work: list[Work]
    runs: list[str]
    """``host-pid`` of the runs at work."""
    left: Counter[str] | None
    """Stage → what the last run has still to do, or had when it ended; None for a folder that says not."""

    def count(self, stage: str, held: bool) -> int:
        """Unfinished folders of a stage, with or without a process that works on them."""
        return sum(work.artefact.stage == stage and work.held == held for work in self.work)


def read_status(out: Path) -> Status:
    """Raises StoreError when the folder is not that of a run."""
    store = open_store(out)
    records = {file.stem: _record(file) for file in sorted((out / "records").glob("*.json"))}
    finished = artefacts(store)
    scored = {name for name, record in records.items() if record["status"] == "ok"}
    return Status(
        Counter(record["status"] for record in records.values()),
        Counter(record["reason"] for record in records.values() if record["status"] != "ok"),
        Counter(artefact.stage for artefact in finished),
        [_work(store, artefact) for artefact in partial_artefacts(store)],
        live_runs(store),
        _left(out, {artefact.key for artefact in finished}, scored),
    )


def write_plan(out: Path, todo: Iterable[tuple[str, str]]) -> None:
    """What a run is about to do, as (stage, key)."""
    stages: defaultdict[str, list[str]] = defaultdict(list)
    for stage, key in todo:
        stages[stage].append(key)
    write_json(out / PLAN, stages)


def _left(out: Path, finished: set[str], scored: set[str]) -> Counter[str] | None:
    try:
        plan: Mapping[str, list[str]] = read_json(out / PLAN)
    except StoreError:
        return None
    left = {
        stage: sum(key not in finished and record_id(key) not in scored for key in keys) for stage, keys in plan.items()
    }
    return Counter(left)


def _record(file: Path) -> dict[str, Any]:
    """Status and reason alone: a look at a running run does not check every count."""
    try:
        record = read_json(file)
        return {"status": record["status"], "reason": record["reason"]}
    except (StoreError, KeyError, TypeError):
        return {"status": "unreadable", "reason": "no valid record: see 'd3s2bench store verify'"}


def _work(store: Store, artefact: Artefact) -> Work:
    return Work(artefact, is_held(lock_file(store, artefact.stage, artefact.key)))
