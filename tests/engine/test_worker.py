"""One worker process: answers, dies, is killed, ends with its parent."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_fakes import WENT_WRONG, environment, fake_config, planner_of

from d3s2bench import DatasetError, StageError
from d3s2bench.errors import WorkerDied
from d3s2bench.execution.inline import Inline, Workers
from d3s2bench.execution.runner import Order, execute
from d3s2bench.execution.tasks import task_of
from d3s2bench.execution.worker import KEEP_FREED_MEMORY, Worker, _gpu_answers, explain, thread_environment
from d3s2bench.interfaces import Site, Task
from d3s2bench.planning.plan import Node, Plan
from d3s2bench.storage.store import Store
from d3s2bench.workspace import Workspace

pytestmark = pytest.mark.usefixtures("fakes")


@pytest.fixture
def workspace(tiny: Path, tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "runs", {"tiny": str(tiny)})


@pytest.fixture
def worker(workspace: Workspace, tmp_path: Path) -> Iterator[Worker]:
    work = {"cwd": str(tmp_path), "workspace": workspace.to_json(), "threads": 1}
    worker = Worker(work, tmp_path / "logs" / "worker.log")
    yield worker
    worker.stop()


def planned(tiny: Path, out: Path, **given: object) -> Plan:
    return planner_of(fake_config(tiny, out, **given)).sets()


def nodes(plan: Plan) -> dict[str, Node]:
    return {node.stage: node for node in plan.nodes.values()}


def message(node: Node) -> dict[str, Any]:
    return {"stage": node.stage, "identity": node.identity, "run": node.run}


def silent(done: int, total: int, note: str) -> None:
    pass


def test_a_worker_makes_stage_after_stage(worker: Worker, tiny: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int, str]] = []
    plan = planned(tiny, tmp_path / "runs")
    for node in plan.nodes.values():
        worker.run(message(node), lambda *progress: told.append(progress))
    assert all(node.done(Store(tmp_path / "runs")) for node in plan.nodes.values())
    assert (20, 20, "masks") in told
    assert (4, 4, "images") in told


def test_a_failing_stage_is_one_line_and_the_worker_goes_on(worker: Worker, tiny: Path, tmp_path: Path) -> None:
    index, selection, _ = planned(tiny, tmp_path / "runs", selector="fails").nodes.values()
    worker.run(message(index), silent)
    with pytest.raises(StageError) as caught:
        worker.run(message(selection), silent)
    assert re.fullmatch(WENT_WRONG, str(caught.value))
    assert f"logs/{worker.log.name}" in str(caught.value)
    assert not isinstance(caught.value, WorkerDied)
    log = worker.log.read_text()
    assert "Traceback" in log
    assert "engine_fakes.py" in log
    worker.run(message(nodes(planned(tiny, tmp_path / "runs"))["selection"]), silent)


def test_a_component_that_exits_is_no_dead_worker(worker: Worker, tiny: Path, tmp_path: Path) -> None:
    index, selection, _ = planned(tiny, tmp_path / "runs", selector="quits").nodes.values()
    worker.run(message(index), silent)
    with pytest.raises(StageError, match=r"^SystemExit: 3 \(engine_fakes\.py:\d+, traceback in logs/"):
        worker.run(message(selection), silent)


def test_our_own_error_is_passed_on_as_it_is(worker: Worker, tiny: Path, tmp_path: Path) -> None:
    plan = planned(tiny, tmp_path / "runs", selector="greedy")
    worker.run(message(nodes(plan)["index"]), silent)
    with pytest.raises(StageError, match=r"^selector 'greedy' gave 5 images for a budget of 4$"):
        worker.run(message(nodes(plan)["selection"]), silent)


def test_a_bad_file_is_named(worker: Worker, tiny: Path, tmp_path: Path) -> None:
    plan = planned(tiny, tmp_path / "runs")
    (tiny / "annotations/train/004.png").write_bytes(b"")
    with pytest.raises(StageError, match=r"annotations/train/004\.png is corrupt or no image"):
        worker.run(message(nodes(plan)["index"]), silent)


def killed_plan(tiny: Path, tmp_path: Path, lives: int) -> tuple[Path, Plan]:
    file = tmp_path / "lives"
    file.write_text("\n".join(["x"] * lives))
    options = {"selector": {"killed": {"lives": str(file)}}}
    return file, planned(tiny, tmp_path / "runs", selector="killed", options=options)


def test_a_killed_worker_says_so_in_one_line(worker: Worker, tiny: Path, tmp_path: Path) -> None:
    _, plan = killed_plan(tiny, tmp_path, 1)
    worker.run(message(nodes(plan)["index"]), silent)
    with pytest.raises(WorkerDied) as caught:
        worker.run(message(nodes(plan)["selection"]), silent)
    log = str(worker.log)
    assert str(caught.value) == f"its worker process ended (exit status -9; out of memory?): see {log}"
    with pytest.raises(WorkerDied):
        worker.run(message(nodes(plan)["selection"]), silent)


@pytest.mark.parametrize(("lives", "left", "works"), [(1, 0, True), (3, 1, False)])
def test_a_killed_worker_is_tried_once_more(
    workspace: Workspace, tiny: Path, tmp_path: Path, lives: int, left: int, works: bool
) -> None:
    """By the run, which asks the pool once more."""
    file, plan = killed_plan(tiny, tmp_path, lives)
    outcome = execute(plan, workspace, Order(Inline(), 1, 1), lambda node: None)
    assert [("out of memory" in reason) for reason in outcome.failed.values()] == ([] if works else [True])
    assert len(file.read_text().split()) == left
    assert nodes(plan)["selection"].done(workspace.store) is works


@pytest.mark.parametrize("lost", [False, True])
def test_a_gpu_gives_back_what_a_stage_held_and_a_lost_one_is_known(
    monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    import torch

    assert _gpu_answers(), "nothing was asked of one"
    done: list[str] = []

    def synchronize() -> None:
        if lost:
            raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: done.append("emptied"))
    assert _gpu_answers() == (not lost) and done == ["emptied"] * (not lost)


@pytest.mark.parametrize(("device", "given", "count"), [("cpu", None, 8), ("cuda", None, 1), ("cuda", 3, 3)])
def test_stages_do_not_share_a_card_unless_they_are_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, given: int | None, count: int
) -> None:
    monkeypatch.setattr("d3s2bench.execution.resources.cores", lambda: 16)
    assert Inline().start(Site(tmp_path, 2, given, device)).count == count


@pytest.mark.parametrize(
    ("device", "count", "visible", "found", "seen"),
    [
        ("cuda", 3, None, 2, ["0", "1", "0"]),
        ("cuda", 2, "5,GPU-7a", 2, ["5", "GPU-7a"]),
        ("cuda", 2, "5,9", 1, ["5", "5"]),  # CUDA stops at the first that is not there
        ("cuda", 1, None, 2, [None]),  # a stage on several GPUs sees all
        ("cuda:1", 2, None, 2, [None, None]),
        ("cpu", 2, None, 2, [None, None]),
    ],
)
def test_workers_share_out_the_gpus(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    count: int,
    visible: str | None,
    found: int,
    seen: list[str | None],
) -> None:
    pool = pool_on(monkeypatch, tmp_path, device, count, visible, found)
    try:
        assert [seen_by(pool._borrow(BLANK)) for _ in range(count)] == [gpu or visible for gpu in seen]
    finally:
        pool.stop()


def test_who_takes_the_place_of_a_killed_worker_takes_its_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = pool_on(monkeypatch, tmp_path, "cuda", 3, None, 3)
    try:
        workers = [pool._borrow(BLANK) for _ in range(3)]
        workers[1].stop()
        assert seen_by(pool._borrow(BLANK)) == "1"
    finally:
        pool.stop()


BLANK = Task("key", "name", 1, True, {"cwd": ".", "threads": 1, "workspace": Workspace(Path("out")).to_json()})


def pool_on(
    monkeypatch: pytest.MonkeyPatch, folder: Path, device: str, count: int, visible: str | None, found: int
) -> Workers:
    """A pool on a machine where torch finds so many GPUs."""
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: found)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    else:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return Inline().start(Site(folder, 1, count, device))


def seen_by(worker: Worker) -> str | None:
    return environment_of(worker).get("CUDA_VISIBLE_DEVICES")


def environment_of(worker: Worker) -> dict[str, str]:
    file, deadline = Path(f"/proc/{worker.process.pid}/environ"), time.monotonic() + 5
    while not (content := file.read_text()) and time.monotonic() < deadline:
        time.sleep(0.01)  # empty until the process has started its program
    return dict(entry.split("=", 1) for entry in content.split("\0") if "=" in entry)


def test_a_stopped_pool_starts_nobody(workspace: Workspace, tiny: Path, tmp_path: Path) -> None:
    """After Ctrl-C the node at work is not tried again."""
    pool = Workers(tmp_path / "logs", 1)
    pool.stop()
    with pytest.raises(WorkerDied, match="the run was stopped"):
        pool._run(task_of(nodes(planned(tiny, tmp_path / "runs"))["index"], workspace, 1), silent)
    assert pool.all == []


PARENT = """
import sys, time
from pathlib import Path
from d3s2bench.execution.worker import Worker
from d3s2bench.workspace import Workspace
work = {"cwd": sys.argv[1], "workspace": Workspace(Path(sys.argv[1])).to_json(), "threads": 1}
workers = [Worker(work, Path(sys.argv[1]) / f"{i}.log") for i in range(2)]
print(*(worker.process.pid for worker in workers), flush=True)
time.sleep(60)
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_when_their_parent_dies(tmp_path: Path, end: signal.Signals) -> None:
    command = [sys.executable, "-P", "-c", PARENT, str(tmp_path)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())
    assert parent.stdout
    children = [int(pid) for pid in parent.stdout.readline().split()]
    assert all(map(alive, children))
    parent.send_signal(end)
    parent.wait()
    deadline = time.monotonic() + 10
    while any(map(alive, children)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, children))


def test_threads_and_memory_are_set_before_anything_is_imported(worker: Worker) -> None:
    assert (KEEP_FREED_MEMORY | thread_environment(1)).items() <= environment_of(worker).items()
    assert thread_environment(3)["OMP_NUM_THREADS"] == "3"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (DatasetError("x.png is corrupt"), "x.png is corrupt"),
        (DatasetError("two\nlines"), "two lines"),
        (DatasetError(), "no message"),
        (ValueError("two\n lines"), "ValueError: two  lines (--debug shows the traceback)"),
        (KeyError(), "KeyError: no message (--debug shows the traceback)"),
        (MemoryError(), "out of memory: use fewer --workers or a smaller batch"),
        (OSError(28, "No space left on device", "/data/x"), "/data/x: No space left on device: free space"),
        (OSError("strange"), "the output folder: strange: free space"),
        (RuntimeError("I/O error: full (os error 28)"), "the output folder: No space left on device: free space"),
    ],
)
def test_every_error_is_one_line(error: Exception, said: str) -> None:
    assert explain(error).startswith(said)
    assert "\n" not in explain(error)


def test_what_a_component_prints_is_no_answer(worker: Worker, tiny: Path, tmp_path: Path) -> None:
    """Libraries and their child processes print; the worker's stdout is for answers alone."""
    plan = planned(tiny, tmp_path / "runs", selector="loud")
    for node in plan.nodes.values():
        worker.run(message(node), silent)
    assert "from a child" in worker.log.read_text()
