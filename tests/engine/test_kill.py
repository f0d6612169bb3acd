"""SIGKILL at random moments: the run resumes, nothing finished is redone, the final table is identical."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_run import TINY_RUN
from tiny_dataset import write_tiny_dataset

COMMAND = [sys.executable, "-P", "-c", "from d3s2bench.cli.app import main; main()", "run", "--train-missing"]


def started(place: Path, out: Path) -> subprocess.Popen[str]:
    options = ["--data-root", f"tiny={place / 'tiny'}", "--out", str(out), *TINY_RUN]
    return subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


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
    run = started(tmp_path, tmp_path / "out")
    time.sleep(4)
    run.send_signal(signal.SIGKILL)
    run.wait()
    deadline = time.monotonic() + 10
    while (alive := workers_of(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not alive


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
    run = started(tmp_path, tmp_path / "out")
    time.sleep(4)
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate(timeout=20)
    assert run.returncode == 130
    assert "run the same command again" in errors
    assert "Traceback" not in errors
