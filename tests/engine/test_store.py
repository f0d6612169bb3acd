"""The store: made once, whole or not there, shared by processes."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from engine_fakes import environment

from d3s2bench import StoreError
from d3s2bench.storage.store import Store, scratch

MAKE = """
import os, sys, time
from pathlib import Path
from d3s2bench.storage.store import Store
out, name, seconds = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
def make(folder):
    with (out / "made").open("a") as log:
        log.write(name)
    time.sleep(seconds)
    (folder / "result").write_text(name)
    return {"by": name}
Store(out).produce("stage", "key", make)
"""


DIES = """
import os, shutil, signal, sys
from pathlib import Path
from d3s2bench.storage.store import Store
shutil.rmtree = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)  # comes when all is made
def make(folder):
    (folder / "result").write_text("whole")
    return {"by": "the dead"}
Store(Path(sys.argv[1])).produce("stage", "key", make)
"""


def maker(out: Path, name: str, seconds: float) -> subprocess.Popen[bytes]:
    """A process that makes the artefact slowly."""
    return subprocess.Popen([sys.executable, "-P", "-c", MAKE, str(out), name, str(seconds)], env=environment())


def wait_for(file: Path) -> None:
    deadline = time.monotonic() + 20
    while not file.exists():
        assert time.monotonic() < deadline, f"{file} never came"
        time.sleep(0.01)


def once(folder: Path) -> dict[str, Any]:
    (folder / "result").write_text("x")
    return {"seconds": 1}


def test_an_artefact_is_made_once(tmp_path: Path) -> None:
    calls: list[Path] = []
    for _ in range(2):
        place = Store(tmp_path).produce("stage", "key", lambda folder: calls.append(folder) or {"a": 1})
    assert len(calls) == 1
    assert place == Store(tmp_path).path("stage", "key") == tmp_path / "store" / "stage" / "key"
    assert Store(tmp_path).info("stage", "key") == {"a": 1}
    assert not calls[0].exists()  # renamed


def test_it_is_not_there_before_it_is_whole(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def make(folder: Path) -> dict[str, Any]:
        assert not store.has("stage", "key")
        assert not store.path("stage", "key").exists()
        return {}

    store.produce("stage", "key", make)
    assert store.has("stage", "key")


def test_what_a_failed_make_had_done_is_kept(tmp_path: Path) -> None:
    def fail(folder: Path) -> dict[str, Any]:
        (scratch(folder) / "checkpoint").write_text("half")
        raise RuntimeError

    def go_on(folder: Path) -> dict[str, Any]:
        assert (scratch(folder) / "checkpoint").read_text() == "half"
        return {}

    store = Store(tmp_path)
    with pytest.raises(RuntimeError):
        store.produce("stage", "key", fail)
    assert not store.has("stage", "key")
    place = store.produce("stage", "key", go_on)
    assert [file.name for file in place.iterdir()] == ["artefact.json"]  # checkpoints are gone


def test_a_killed_make_is_gone_on_with(tmp_path: Path) -> None:
    Store(tmp_path).prepare()
    process = maker(tmp_path, "a", 60)
    wait_for(tmp_path / "made")
    process.send_signal(signal.SIGKILL)
    process.wait()
    start = time.monotonic()
    Store(tmp_path).produce("stage", "key", once)  # the lock of the dead is free
    assert time.monotonic() - start < 5
    assert Store(tmp_path).info("stage", "key") == {"seconds": 1}


def test_a_kill_between_made_and_named_loses_nothing(tmp_path: Path) -> None:
    Store(tmp_path).prepare()
    died = subprocess.run([sys.executable, "-P", "-c", DIES, str(tmp_path)], env=environment())
    assert died.returncode == -signal.SIGKILL
    assert not Store(tmp_path).has("stage", "key")
    place = Store(tmp_path).produce("stage", "key", lambda folder: pytest.fail("it was made"))
    assert (place / "result").read_text() == "whole"
    assert Store(tmp_path).info("stage", "key") == {"by": "the dead"}


def test_a_place_without_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where filelock would take files for locks, which outlive a killed process."""

    def missing(*_: Any) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", missing)
    with pytest.raises(StoreError, match=r"store on .* has no file locks \(Function not implemented\): give an --out"):
        Store(tmp_path).prepare()


def test_two_processes_make_it_once(tmp_path: Path) -> None:
    Store(tmp_path).prepare()
    both = [maker(tmp_path, name, 0.5) for name in "ab"]
    assert [process.wait() for process in both] == [0, 0]
    made = (tmp_path / "made").read_text()
    assert made in ("a", "b")
    assert (Store(tmp_path).path("stage", "key") / "result").read_text() == made


def test_keys_do_not_wait_for_each_other(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.produce("stage", "a", lambda folder: {"b": str(store.produce("stage", "b", once))})
    assert store.has("stage", "a")
    assert store.has("stage", "b")


@pytest.mark.parametrize("below", ["runs", "runs/deeper"])
def test_a_place_below_a_file_is_refused(tmp_path: Path, below: str) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(StoreError, match=r"cannot write to .*runs.*: give another --out") as caught:
        Store(tmp_path / below).prepare()
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_without_permission_is_refused(tmp_path: Path) -> None:
    Store(tmp_path).prepare()
    (tmp_path / "store").chmod(0o500)
    with pytest.raises(StoreError, match="no permission"):
        Store(tmp_path).prepare()


def test_what_is_not_there_or_torn_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(StoreError, match=r"cannot read .*artefact\.json"):
        store.info("stage", "key")
    (store.produce("stage", "key", once) / "artefact.json").write_text("{")
    with pytest.raises(StoreError, match="is no valid JSON"):
        store.info("stage", "key")


def test_the_description_is_readable_json(tmp_path: Path) -> None:
    place = Store(tmp_path).produce("stage", "key", once)
    assert json.loads((place / "artefact.json").read_text()) == {"seconds": 1}
