"""A hundred kills of the driver, three drivers at a time on one store; kills of a driver whose worker is stopped, or
that is on Ray; Ctrl-C."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest
from executor_fakes import alive, at_work, command_line, family, install_watched, times
from test_kill import finished_work, piped

from d3s2bench.results.records import read_records
from d3s2bench.storage.store import Store
from d3s2bench.upkeep.inventory import artefacts
from d3s2bench.upkeep.verify import verify

MATRIX = ["--selector=watched", "--selector=random", "--seeds=8", "--set=evaluator.watched.seconds=0.1", "--workers=2"]


@pytest.fixture
def command(fakes: None, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A matrix of quick stages; the folder of the store comes last."""
    install_watched(monkeypatch, tmp_path / "site")
    return command_line(tiny, tmp_path / "runs", *MATRIX)


def heard(run: subprocess.Popen[str], events: int) -> None:
    """Waits until a run has told of so many events, or is over: however slow the machine, it has then come so far."""
    assert run.stdout
    for _ in range(events):
        run.stdout.readline()


def kill(run: subprocess.Popen[str]) -> bool:
    """Whether it was there to be killed."""
    alive = run.poll() is None
    run.kill()
    run.communicate()
    return alive


def table(run: subprocess.Popen[str]) -> str:
    said, errors = run.communicate()
    assert run.returncode == 0, errors
    return str(json.loads(said.splitlines()[-1])["table"])


def check_store(out: Path) -> None:
    """All that is finished can be read and says what it is."""
    assert all(artefact.identity for artefact in artefacts(Store(out)))
    if list(out.glob("records/*.json")):
        assert all(record["status"] == "ok" for record in read_records(out))


@pytest.mark.slow
def test_a_hundred_kills_of_three_drivers_on_one_store(command: list[str], tmp_path: Path) -> None:
    rng, out, kills, stores = random.Random(0), tmp_path / "runs", 0, 0
    expected = table(piped(command))
    shutil.rmtree(out)
    while kills < 100:
        before = finished_work(out)
        runs = [piped(command) for _ in range(3)]
        for run in runs:
            heard(run, 1)  # what it will do
        for run in runs:
            heard(run, rng.randrange(12))  # a stage has three or four
            time.sleep(rng.uniform(0, 0.3))
            kills += kill(run)
        after = finished_work(out)
        assert before.items() <= after.items(), "finished work was redone or lost"
        check_store(out)
        if len(list(out.glob("records/*.json"))) == 16:
            assert table(piped(command)) == expected
            assert all(check.problem is None for check in verify(out))
            shutil.rmtree(out)
            stores += 1
    assert stores, "no run came to its end between kills"
    assert table(piped(command)) == expected


def test_two_drivers_do_nothing_twice(command: list[str], tmp_path: Path) -> None:
    runs = [piped(command) for _ in range(2)]
    tables = {table(run) for run in runs}
    assert len(tables) == 1
    assert set(times(tmp_path / "runs", "began").values()) == {1}
    assert sum(times(tmp_path / "runs", "ended").values()) == 1 + 16  # one selection of all, and the records


def wait_for_work(run: subprocess.Popen[str], out: Path) -> int:
    """The process that works on a stage, as soon as one does."""
    while not (found := at_work(out)):
        assert run.poll() is None
        time.sleep(0.05)
    return found[0][0]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_stopped_worker_ends_with_its_driver(command: list[str], tmp_path: Path) -> None:
    """It cannot see that its parent is gone: the system ends it."""
    run = piped([*command, "--set=evaluator.watched.seconds=5"])
    worker = wait_for_work(run, tmp_path / "runs")
    os.kill(worker, signal.SIGSTOP)
    try:
        assert kill(run)
        deadline = time.monotonic() + 60
        while alive(worker):
            assert time.monotonic() < deadline, "it outlives its driver"
            time.sleep(0.05)
    finally:
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed")
@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_a_driver_that_ends_takes_its_ray_along(
    command: list[str], tmp_path: Path, how: signal.Signals, code: int
) -> None:
    """And the next run goes on, with another executor."""
    out = tmp_path / "runs"
    run = piped([*command, "--executor=ray", "--set=evaluator.watched.seconds=0.5"])
    wait_for_work(run, out)
    everyone = family(run.pid)
    run.send_signal(how)
    _, errors = run.communicate()
    assert run.returncode == code
    assert ("run the same command again" in errors) == (how == signal.SIGINT)
    assert "Traceback" not in errors
    deadline = time.monotonic() + 20
    while left := [pid for pid in everyone if alive(pid) and not is_agent(pid)]:
        assert time.monotonic() < deadline, [Path(f"/proc/{pid}/cmdline").read_text()[:300] for pid in left]
        time.sleep(0.2)
    before = finished_work(out)
    table(piped([*command, "--set=evaluator.watched.seconds=0.5"]))
    assert before.items() <= finished_work(out).items()


def is_agent(pid: int) -> bool:
    """Of Ray: such take a minute or two to notice that it is gone."""
    try:
        return "Agent" in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False
