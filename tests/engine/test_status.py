"""Where a run is, told from its files by someone beside it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer
from engine_fakes import environment, provenance, spec
from small_run import small_run
from typer.testing import CliRunner

from d3s2bench import StoreError
from d3s2bench.cli.status import status as status_command
from d3s2bench.results.records import new_record, write_record
from d3s2bench.upkeep.status import read_status

WORK = """
import sys, time
from pathlib import Path
from d3s2bench.storage.locks import at_work
from d3s2bench.storage.store import Store
store, key = Store(Path(sys.argv[1])), sys.argv[2]
def make(folder):
    (folder / "scratch").mkdir(exist_ok=True)
    (folder / "scratch" / "samples.jsonl").write_text("{}\\n{}\\n{}\\n")
    (store.out / f"{key}.began").touch()
    time.sleep(60)
with at_work(store):
    store.produce("distilled", key, make)
"""


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def working(out: Path) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Starts a process that works on a distilled set of that key until it is killed."""
    started: list[subprocess.Popen[bytes]] = []

    def start(key: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", "-c", WORK, str(out), key]
        started.append(subprocess.Popen(command, env=environment()))
        deadline = time.monotonic() + 20
        while not (out / f"{key}.began").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return started[-1]

    yield start
    for process in started:
        process.send_signal(signal.SIGKILL)
        process.wait()


def said(*arguments: object) -> tuple[int, str]:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(status_command)
    result = CliRunner().invoke(app, [str(word) for word in arguments], catch_exceptions=False)
    return result.exit_code, result.output


def fail_cells(out: Path, count: int, status: str, reason: str) -> None:
    for i in range(count):
        failed = new_record(f"{status[0]}{i:02d}" + "0" * 61, spec(seed=i), None, provenance())
        write_record(out, failed | {"status": status, "reason": reason})


def test_records_and_stages_are_counted(monkeypatch: pytest.MonkeyPatch, tiny: Path, out: Path) -> None:
    small_run(monkeypatch, tiny, out, selector=["first", "random"], seed=[0, 1])
    fail_cells(out, 1, "failed", "out of memory")
    fail_cells(out, 2, "skipped", "its selection failed")
    (out / "records" / "torn.json").write_text("{")
    found = read_status(out)
    assert found.records == {"ok": 4, "failed": 1, "skipped": 2, "unreadable": 1}
    assert found.reasons["its selection failed"] == 2
    assert found.finished == {"index": 1, "selection": 3, "distilled": 3}  # first is the same in both repetitions
    assert (found.work, found.runs) == ([], [])
    code, text = said(out)
    assert code == 0
    assert "records: 4 ok, 1 failed, 2 skipped, 1 unreadable\n  2 × its selection failed\n" in text


def test_what_is_at_work_and_what_was_given_up(
    working: Callable[[str], subprocess.Popen[bytes]], out: Path, tmp_path: Path
) -> None:
    (out / "store" / "record" / f"{'9' * 64}.partial").mkdir(parents=True)
    dead, alive = working("d" * 64), working("a" * 64)
    dead.send_signal(signal.SIGKILL)
    dead.wait()
    found = read_status(out)
    assert [(w.artefact.key[0], w.held, w.images) for w in found.work] == [
        ("a", True, 3),
        ("d", False, 3),
        ("9", False, None),
    ]
    assert [name.rpartition("-")[2] for name in found.runs] == [str(alive.pid)]
    rows = [line.split() for line in said(out)[1].splitlines()]
    assert ["distilled", "0", "1", "1"] in rows
    assert ["record", "0", "0", "1"] in rows
    assert alive.poll() is None  # nobody was disturbed


def test_looking_leaves_no_trace(working: Callable[[str], object], out: Path) -> None:
    (out / "store" / "record" / f"{'9' * 64}.partial").mkdir(parents=True)
    working("a" * 64)
    before = {file: file.stat().st_mtime_ns for file in out.rglob("*")}
    read_status(out)
    assert {file: file.stat().st_mtime_ns for file in out.rglob("*")} == before


def test_it_is_repeated_until_stopped(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (out / "store").mkdir(parents=True)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", sleep)
    code, text = said(out, "--watch", "7")
    assert (code, slept) == (0, [7, 7, 7])
    assert text.count("runs at work: none") == 3


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"holds no store: give the --out folder of a run"):
        read_status(tmp_path)
