"""Where a run is, from its files alone: it can be asked beside the run, or after it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from d3s2bench.errors import StoreError
from d3s2bench.files import read_json
from d3s2bench.sets.distilled import JOURNAL
from d3s2bench.storage.locks import is_held, live_runs, lock_file
from d3s2bench.storage.store import Store
from d3s2bench.upkeep.inventory import Artefact, artefacts, open_store, partial_artefacts

STATUSES = ("ok", "failed", "skipped", "unreadable")


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

    def count(self, stage: str, held: bool) -> int:
        """Unfinished folders of a stage, with or without a process that works on them."""
        return sum(work.artefact.stage == stage and work.held == held for work in self.work)


def read_status(out: Path) -> Status:
    """Raises StoreError when the folder is not that of a run."""
    store = open_store(out)
    found = [_record(file) for file in sorted((out / "records").glob("*.json"))]
    return Status(
        Counter(record["status"] for record in found),
        Counter(record["reason"] for record in found if record["status"] != "ok"),
        Counter(artefact.stage for artefact in artefacts(store)),
        [_work(store, artefact) for artefact in partial_artefacts(store)],
        live_runs(store),
    )


def _record(file: Path) -> dict[str, Any]:
    """Status and reason alone: a look at a running run does not check every count."""
    try:
        record = read_json(file)
        return {"status": record["status"], "reason": record["reason"]}
    except (StoreError, KeyError, TypeError):
        return {"status": "unreadable", "reason": "no valid record: see 'd3s2bench store verify'"}


def _work(store: Store, artefact: Artefact) -> Work:
    return Work(artefact, is_held(lock_file(store, artefact.stage, artefact.key)))
