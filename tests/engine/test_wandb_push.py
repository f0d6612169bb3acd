"""Pushing a folder to W&B: the runs that live logging makes, made again from the files alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_fakes import provenance, spec
from test_wandb_log import Read, logged, offline, record  # noqa: F401

from d3s2bench import ConfigError, Counts, StageError
from d3s2bench.files import digest
from d3s2bench.results.records import new_record, write_counts, write_record
from d3s2bench.wandb_log import log_record, push
from d3s2bench.workspace import Workspace

pytestmark = pytest.mark.usefixtures("offline")


def fingerprint(tiny: Path, out: Path, holdout: str | None = None) -> str:
    holdouts = {"tiny": holdout} if holdout else {}
    return Workspace(out, {"tiny": str(tiny)}, holdouts=holdouts).dataset("tiny").fingerprint


@pytest.fixture
def written(record: dict[str, Any], tiny: Path, tmp_path: Path) -> Path:  # noqa: F811
    """A run folder with one scored record, its set, and a record that failed."""
    record["spec"]["dataset"]["fingerprint"] = fingerprint(tiny, tmp_path)
    write_record(tmp_path / "runs", record)
    failed = new_record("cd" * 32, spec(seed=1), None, provenance())
    write_record(tmp_path / "runs", failed | {"status": "failed", "reason": "it broke"})
    return tmp_path / "runs"


def told(read: Read) -> dict[str, Any]:
    """All that a run tells, times and names of its files apart."""
    run = read.run
    table = json.loads(next(read.folder.rglob("*.table.json")).read_text())
    noise = ("_runtime", "_timestamp", "_wandb", "_wandb/runtime", "_wandb.runtime")
    return {
        "run": (run.run_id, run.display_name, run.run_group, run.job_type, list(run.tags), run.project),
        "config": {k: v for k, v in read.config.items() if k != "_wandb"},
        "history": {k: v for k, v in read.history.items() if k not in noise and "path" not in k},
        "table": table["data"],
        "media": [Path(name).name.split("_")[0] for name in read.media],
        "artifacts": [
            (a.name, a.type, a.metadata, sorted((e.path, e.digest) for e in a.manifest.contents))
            for a in read.artifacts
            if a.type == "distilled-set"
        ],
    }


def test_it_makes_the_run_that_live_logging_makes(
    record: dict[str, Any],  # noqa: F811
    written: Path,
    tiny: Path,
    tmp_path: Path,
) -> None:
    pushed = push(written, {"tiny": str(tiny)}, "offline")
    assert (pushed.records, pushed.sets, pushed.unknown) == (1, 1, set())  # the failed one has no number
    made = told(Read(written))
    for folder in (written / "wandb").iterdir():
        folder.rename(tmp_path / folder.name)
    assert logged(record, tiny, written).problem is None
    assert told(Read(written)) == made
    assert made["run"][:4] == (digest(record["id"])[:16], "first+noisy #0", "tiny-0.2-flat", "evaluate")
    assert made["history"]["miou"] == record["metrics"]["miou"]
    assert made["media"] == ["samples"]
    assert len(made["artifacts"]) == 1


def test_pushing_twice_is_the_same_run_with_one_step(written: Path, tiny: Path, tmp_path: Path) -> None:
    seen = []
    for name in ("first", "second"):
        push(written, {"tiny": str(tiny)}, "offline")
        read = Read(written)
        assert read.history["_step"] == 0
        assert len([r for r in read.records if r.WhichOneof("record_type") == "history"]) == 1
        seen.append(told(read))
        (written / "wandb").rename(tmp_path / name)
    assert seen[0] == seen[1]


def test_a_run_that_is_there_is_updated_not_continued(
    record: dict[str, Any],  # noqa: F811
    written: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What W&B gives for a run that it resumes: a first step above 0."""
    run = Resumed()
    monkeypatch.setattr("wandb.init", lambda **given: run.began(given))
    log_record(record, written, "online", None)
    assert run.given["resume"] == "allow"
    assert run.given["id"] == digest(record["id"])[:16]
    assert run.summary["miou"] == record["metrics"]["miou"]
    assert run.finished


class Resumed:
    """A run that has been logged before; it has no ``log``, so logging a step fails."""

    starting_step = 1

    def __init__(self) -> None:
        self.given: dict[str, Any] = {}
        self.summary: dict[str, Any] = {}
        self.finished = False

    def began(self, given: dict[str, Any]) -> Resumed:
        self.given = given
        return self

    def finish(self) -> None:
        self.finished = True


def rewrite(written: Path, record: dict[str, Any], **dataset: Any) -> None:  # noqa: F811
    record["spec"]["dataset"] |= dataset
    write_record(written, record)


@pytest.mark.parametrize("case", ["not allowed", "no place", "other files"])
def test_sets_that_may_not_be_passed_on_stay_here(
    record: dict[str, Any],  # noqa: F811
    written: Path,
    tiny: Path,
    tmp_path: Path,
    case: str,
) -> None:
    if case == "not allowed":
        (tiny / "classes.json").write_text('{"classes": ["a", "b", "c", "d"], "redistributable": false}')
        rewrite(written, record, fingerprint=fingerprint(tiny, tmp_path))
    if case == "other files":  # of a dataset that has the same name
        rewrite(written, record, fingerprint="0" * 64)
    pushed = push(written, {} if case == "no place" else {"tiny": str(tiny)}, "offline")
    assert (pushed.records, pushed.sets) == (1, 0)
    assert pushed.unknown == (set() if case == "not allowed" else {"tiny"})
    read = Read(written)
    assert read.history["miou"] > 0
    assert read.media == []
    assert [a for a in read.artifacts if a.type == "distilled-set"] == []


def test_the_set_of_a_held_out_split_goes_like_that_of_the_whole(
    record: dict[str, Any],  # noqa: F811
    written: Path,
    tiny: Path,
    tmp_path: Path,
) -> None:
    held_out = fingerprint(tiny, tmp_path, "*1")
    assert held_out != record["spec"]["dataset"]["fingerprint"]
    rewrite(written, record, fingerprint=held_out, options={"holdout": "*1"})
    assert push(written, {"tiny": str(tiny)}, "offline").sets == 1


def test_without_wandb_it_says_how_to(written: Path) -> None:
    with pytest.raises(ConfigError, match="set WANDB_API_KEY or WANDB_MODE, or give --wandb offline"):
        push(written, {})


def test_a_wandb_that_fails_is_one_line(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    again = new_record("ef" * 32, spec(seed=2), None, provenance()) | {"status": "ok", "reason": None}
    write_counts(written, again, Counts(np.ones((1, 3, 3), np.int64)), np.array([0.5, 0.3, 0.2]))
    write_record(written, again)
    calls: list[str] = []

    def init(**given: Any) -> Resumed:
        calls.append(given["id"])
        if len(calls) == 2:
            raise ConnectionError("no\nnetwork")
        return Resumed()

    monkeypatch.setattr("wandb.init", init)
    with pytest.raises(StageError, match=r"W&B failed after 1 records \(ConnectionError: no network\): push again"):
        push(written, {}, "online")
