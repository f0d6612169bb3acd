"""What a task does on another machine, called here: its worker is kept, and folders that are not shared are named."""

from __future__ import annotations

import errno
import re
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from engine_fakes import WENT_WRONG, fake_config, planner_of

from d3s2bench import StageError, WorkerDied, run_task
from d3s2bench.execution import remote
from d3s2bench.execution.remote import Followed, end, error_of
from d3s2bench.execution.tasks import task_of
from d3s2bench.interfaces import Site, Task

pytestmark = pytest.mark.usefixtures("fakes")


@pytest.fixture(autouse=True)
def no_worker_is_left() -> Iterator[None]:
    yield
    remote._forget()


def tasks(tiny: Path, out: Path, **given: Any) -> tuple[Task, Task]:
    """Indexing and selecting."""
    planner = planner_of(fake_config(tiny, out, **given))
    index, selection, _ = planner.sets().nodes.values()
    (out / "logs").mkdir()
    return task_of(index, planner.workspace, 1), task_of(selection, planner.workspace, 1)


def test_the_worker_is_kept_for_the_next_task_and_replaced_when_it_dies(tiny: Path, tmp_path: Path) -> None:
    lives = tmp_path / "lives"
    lives.write_text("x")
    options = {"selector": {"killed": {"lives": str(lives)}}}
    index, selection = tasks(tiny, tmp_path / "runs", selector="killed", options=options)
    assert run_task(index.work) == {"error": None, "lost": False}
    (first,) = remote._KEPT.values()
    assert isinstance(error_of(run_task(selection.work)), WorkerDied)
    assert remote._KEPT == {}
    assert error_of(run_task(selection.work)) is None
    (second,) = remote._KEPT.values()
    assert second is not first
    assert error_of(run_task(index.work)) is None
    assert list(remote._KEPT.values()) == [second]


def test_a_stage_that_fails_is_not_lost(tiny: Path, tmp_path: Path) -> None:
    index, selection = tasks(tiny, tmp_path / "runs", selector="fails")
    run_task(index.work)
    error = error_of(run_task(selection.work))
    assert type(error) is StageError
    assert re.fullmatch(WENT_WRONG, str(error))


def test_a_folder_that_is_not_shared_is_named(tiny: Path, tmp_path: Path) -> None:
    index, _ = tasks(tiny, tmp_path / "runs")
    elsewhere = {**index.work, "cwd": str(tmp_path / "nowhere")}
    other = {**index.work, "marker": "run-of-another-machine"}
    for work, place in ((elsewhere, "nowhere"), (other, "run-of-another-machine")):
        found = run_task(work)
        assert not found["lost"]
        assert f"{place} of the run is not to be seen on" in found["error"]
        assert found["error"].endswith("give an --out, and start in a folder, that all machines share")


def test_progress_comes_back_through_the_folder(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "INTERVAL", 0.01)
    told: list[tuple[str, int, int, str]] = []
    index, _ = tasks(tiny, tmp_path / "runs")
    followed = Followed(Site(tmp_path / "runs", 1, None, "cpu"))
    work = followed.follow(index, lambda *progress: told.append(progress))
    assert run_task(work)["error"] is None
    file = followed.folder / f"{index.key}.json"
    assert file.exists()
    deadline = time.monotonic() + 10
    while (index.key, 20, 20, "masks") not in told:
        assert time.monotonic() < deadline, told
        time.sleep(0.01)
    followed.leave(index.key)
    assert not file.exists()
    followed.stop()
    assert not followed.folder.exists()


def test_an_answer_that_cannot_be_read_ends_its_task() -> None:
    """A future that does not end is a run that waits for ever."""
    made: Future[None] = Future()
    end(made, lambda: error_of({}))
    assert isinstance(error := made.exception(0), StageError)
    assert str(error) == "its answer cannot be read (KeyError: 'error'): run the same command again"


def test_what_a_task_still_writes_does_not_spoil_the_end_of_a_run(tiny: Path, tmp_path: Path) -> None:
    tasks(tiny, tmp_path / "runs")
    followed = Followed(Site(tmp_path / "runs", 1, None, "cpu"))
    (followed.folder / "late").mkdir()
    (followed.folder / "late" / "progress.json").touch()
    followed.leave("a task whose file is gone")
    followed.stop()
    assert not followed.folder.exists()


def test_a_machine_that_mounts_the_folder_without_locks_is_named(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, _ = tasks(tiny, tmp_path / "runs")

    def missing(*_: Any) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", missing)
    answer = run_task(index.work)
    assert "has no file locks (Function not implemented)" in answer["error"]
    assert not answer["lost"]
