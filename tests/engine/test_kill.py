"""SIGKILL at random moments: the run resumes, nothing finished is redone, the final table is identical."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from test_run import TINY_RUN
from tiny_dataset import write_tiny_dataset

COMMAND = [sys.executable, "-P", "-c", "from d3s2bench.cli.app import main; main()", "run", "--train-missing"]


def started(place: Path, out: Path) -> subprocess.Popen[str]:
    options = ["--data-root", f"tiny={place / 'tiny'}", "--out", str(out), *TINY_RUN]
    return piped([*COMMAND, *options])


def piped(command: list[str]) -> subprocess.Popen[str]:
    """A process that hears Ctrl-C, also below a shell's background job, which does not."""
    hears = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=hears)


def finished_work(out: Path) -> dict[Path, int]:
    """Every finished artefact and record with the time it was written."""
    files = [*out.glob("store/*/*/artefact.json"), *out.glob("records/*.json")]
    return {file: file.stat().st_mtime_ns for file in files if not file.parent.name.endswith(".partial")}


def killed_run(place: Path, kills: int) -> str:
    """Kills a run ``kills`` times at random moments, then lets it finish; returns its table."""
    rng, out = random.Random(0), place / "killed"
    for _ in range(kills):
        before = finished_work(out)
        run = started(place, out)
        time.sleep(rng.uniform(0.3, 6))
        run.send_signal(signal.SIGKILL)
        run.wait()
        after = finished_work(out)
        assert before.items() <= after.items(), "finished work was redone or lost"
    table, errors = (last := started(place, out)).communicate()
    assert last.returncode == 0, errors
    return table


def check(place: Path, kills: int) -> None:
    write_tiny_dataset(place / "tiny")
    table, errors = (whole := started(place, place / "whole")).communicate()
    assert whole.returncode == 0, errors
    assert killed_run(place, kills) == table
    assert images_of(place / "whole") == images_of(place / "killed")


def images_of(out: Path) -> list[bytes]:
    return sorted(file.read_bytes() for file in out.glob("store/distilled/*/images/*.png"))


def test_three_kills(tmp_path: Path) -> None:
    check(tmp_path, 3)


@pytest.mark.slow
def test_twenty_kills(tmp_path: Path) -> None:
    check(tmp_path, 20)


def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    write_tiny_dataset(tmp_path / "tiny")
    run = started_at_work(tmp_path)
    assert workers_of(tmp_path)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    deadline = time.monotonic() + 60
    while workers_of(tmp_path):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def started_at_work(place: Path) -> subprocess.Popen[str]:
    """A run that works on a stage, however long a slow machine takes to come so far."""
    run = started(place, place / "out")
    while not list(place.glob("out/store/*/*.partial")):
        assert run.poll() is None
        time.sleep(0.02)
    return run


def workers_of(place: Path) -> list[int]:
    """Worker processes whose log lies below ``place``."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and str(place) in str((process / "fd" / "2").readlink()):
                found.append(int(process.name))
        except OSError:
            continue
    return found


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    write_tiny_dataset(tmp_path / "tiny")
    run = started_at_work(tmp_path)
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate()  # without a limit: what Ctrl-C does not end comes to its own end, with another code
    assert run.returncode == 130
    assert "run the same command again" in errors
    assert "Traceback" not in errors
