"""Stages on other machines: what runs there, and how the driver hears of it.

All machines see the store under the same path. Their file system must have locks (``flock``) that hold across machines
and are freed when a machine dies: NFS from version 4 (its server frees them when the lease of a dead client ends, after
a minute or two), CephFS, GPFS, Lustre mounted with ``flock``. A stage that is tried again waits for that lock, so that
a process that lives on behind a broken network never works beside its successor.

The work itself is done by the same worker process as with ``inline``, a child of the one that the executor started
there, with its threads set before torch is imported: so results do not depend on the executor. Progress comes back
through small files, since the folder is there anyway.
"""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

from d3s2bench.errors import ConfigError, D3S2Error, StageError, StoreError, WorkerDied
from d3s2bench.execution.worker import Worker
from d3s2bench.files import read_json, write_json
from d3s2bench.interfaces import Site, Task
from d3s2bench.storage.store import require_locks
from d3s2bench.values import Json

INTERVAL = 1.0
"""Seconds between two looks at the progress of all tasks."""

# --- there -----------------------------------------------------------------------------------------------------------

_KEPT: dict[str, Worker] = {}
"""This process's worker, kept for the next task of the same run."""


def run_task(work: Json) -> dict[str, Any]:
    """Works on a task's ``work`` on the machine where it is called, whose Python has the same packages.

    Returns ``error``: None or one line, and ``lost``: whether its process died, so that the task is worth another try.
    """
    try:
        logs = _logs(work)
        _worker(work, logs).run(work["node"], _Told(logs / work["progress"] if "progress" in work else None))
    except WorkerDied as error:
        _forget()
        return {"error": str(error), "lost": True}
    except D3S2Error as error:
        return {"error": str(error), "lost": False}
    return {"error": None, "lost": False}


def _logs(work: Json) -> Path:
    """Raises StageError where this machine does not see the driver's folders, StoreError where these have no locks."""
    logs = Path(work["cwd"], work["workspace"]["out"], "logs")
    for place in (Path(work["cwd"]), logs / work.get("marker", "")):
        if not place.exists():
            where = f"{place} of the run is not to be seen on {socket.gethostname()}"
            raise StageError(f"{where}: give an --out, and start in a folder, that all machines share")
    require_locks(logs)
    return logs


def _worker(work: Json, logs: Path) -> Worker:
    key = f"{work['workspace']} {work['threads']} {work['cwd']} {os.environ.get('CUDA_VISIBLE_DEVICES')}"
    if key not in _KEPT:
        _forget()
        _KEPT[key] = Worker(work, logs / f"worker-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}.log")
    return _KEPT[key]


@atexit.register
def _forget() -> None:
    for worker in _KEPT.values():
        worker.stop()
        with suppress(OSError):
            if not worker.log.stat().st_size:  # one for each job is many
                worker.log.unlink()
    _KEPT.clear()


class _Told:
    """Writes progress to a file once per interval, and the last step."""

    def __init__(self, file: Path | None) -> None:
        self.file, self.last = file, 0.0

    def __call__(self, done: int, total: int, note: str) -> None:
        if self.file and (time.monotonic() - self.last > INTERVAL or done == total):
            self.last = time.monotonic()
            with suppress(OSError):  # a picture of the work, not the work
                write_json(self.file, [done, total, note])


# --- here ------------------------------------------------------------------------------------------------------------


def check_device(site: Site) -> None:
    """Which of its GPUs a stage gets is for the other machine to say. Raises ConfigError."""
    if site.device not in ("cpu", "cuda"):
        raise ConfigError(f"--device {site.device} names a device of this machine: other executors take cpu or cuda")


class Followed:
    """The driver's side of tasks on other machines: marks the folder as the run's, and looks at their progress."""

    def __init__(self, site: Site) -> None:
        self.folder = site.out / "logs" / f"run-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.folder.mkdir(parents=True)
        self.heard: dict[str, tuple[Callable[[str, int, int, str], None], Any]] = {}
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def follow(self, task: Task, progress: Callable[[str, int, int, str], None]) -> dict[str, Any]:
        """The work of a task that is followed from now on."""
        self.heard[task.key] = (progress, None)
        told = {"marker": self.folder.name, "progress": f"{self.folder.name}/{task.key}.json"}
        return {**task.work, **told}

    def leave(self, key: str) -> None:
        self.heard.pop(key, None)
        with suppress(OSError):
            (self.folder / f"{key}.json").unlink()

    def stop(self) -> None:
        self.stopped.set()
        self.thread.join()
        shutil.rmtree(self.folder, ignore_errors=True)  # a task that is being stopped may still write into it

    def _watch(self) -> None:
        while not self.stopped.wait(INTERVAL):
            for key, (progress, before) in list(self.heard.items()):
                with suppress(StoreError):  # nothing told yet
                    told = read_json(self.folder / f"{key}.json")
                    if told != before and key in self.heard:
                        self.heard[key] = (progress, told)
                        progress(key, *told)


def end(made: Future[None], problem: Callable[[], D3S2Error | None]) -> None:
    """Ends a task's future with its problem or without one. Never raises: for a future that does not end, the run would
    wait for ever."""
    try:
        found = problem()
    except Exception as error:  # an answer of another version, a file that is not to be read
        what = " ".join(f"{type(error).__name__}: {error}".split())
        found = StageError(f"its answer cannot be read ({what}): run the same command again")
    if found:
        made.set_exception(found)
    else:
        made.set_result(None)


def error_of(answer: Json) -> D3S2Error | None:
    """What :func:`run_task` has answered, as the error that a pool's future raises."""
    if answer["error"] is None:
        return None
    return WorkerDied(answer["error"]) if answer["lost"] else StageError(answer["error"])
