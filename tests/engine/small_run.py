"""A finished run of the fakes on the tiny dataset, made in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import engine_fakes
import pytest
from engine_fakes import fake_config, planner_of, use_fakes

from d3s2bench.execution.stages import run_stage
from d3s2bench.planning.plan import Plan
from d3s2bench.results.records import read_record, record_file
from d3s2bench.storage.store import Store
from d3s2bench.upkeep.inventory import Artefact, artefacts


def small_run(monkeypatch: pytest.MonkeyPatch, tiny: Path, out: Path, **given: Any) -> Plan:
    """All stages of the plan of a configuration, one after the other; the same folder may take several."""
    use_fakes(monkeypatch)
    monkeypatch.setattr(engine_fakes.Majority, "load_teacher", lambda *_: None, raising=False)
    planner = planner_of(fake_config(tiny, out, train_missing=True, teacher_arch="flat", **given))
    plan = planner.matrix()
    for node in plan.nodes.values():
        run_stage(node, planner.workspace, lambda *_: None)
    return plan


def record_of(plan: Plan, out: Path) -> tuple[Path, dict[str, Any]]:
    """The file and the content of the plan's only record."""
    (key,) = plan.records
    return record_file(out, key), read_record(record_file(out, key))


def by_stage(out: Path) -> dict[str, list[Artefact]]:
    found: dict[str, list[Artefact]] = {}
    for artefact in artefacts(Store(out)):
        found.setdefault(artefact.stage, []).append(artefact)
    return found
