"""One worker process: reads a node per line on stdin, answers in JSON lines on stdout, dies with its parent.

No pickle and no fork: a worker is a fresh interpreter whose numeric threads are set before torch is imported.
"""

from __future__ import annotations

import gc
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from d3s2bench.errors import D3S2Error, StageError, StoreError, WorkerDied
from d3s2bench.execution.stages import called_in, run_stage
from d3s2bench.execution.tasks import node_of
from d3s2bench.frames import home_of, last_frame
from d3s2bench.planning.plan import Node
from d3s2bench.values import Json
from d3s2bench.workspace import Workspace

KEEP_FREED_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**32)}
"""glibc gives large tensors back to the system as soon as they are freed, and the next step has to fault their pages in
again: some 8 % of the time of a small network's training, for 8 % more memory. One's own values win."""


class Worker:
    """The parent's handle of one worker process, for the ``work`` of a task and of others of the same run.

    It sees the one ``gpu``, or, without, all that this process sees.
    """

    def __init__(self, work: Json, log: Path, gpu: str | None = None) -> None:
        self.log, self.gpu = log, gpu
        log.parent.mkdir(parents=True, exist_ok=True)
        # a group of its own, so that Ctrl-C reaches the parent alone, which then ends its workers; in the parent's
        # session, so that the system also ends one that is stopped when the parent dies (setpgid(2): orphaned groups)
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "d3s2bench.execution.worker", log.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log.open("w"),
            env=KEEP_FREED_MEMORY | os.environ | thread_environment(work["threads"]) | _seen(gpu),
            cwd=work["cwd"],
            text=True,
            process_group=0,
        )
        self._send(work["workspace"])

    def run(self, node: Json, progress: Callable[[int, int, str], None]) -> None:
        """Works on ``work["node"]`` of a task. Raises StageError with the worker's own message, or WorkerDied."""
        self._send(node)
        assert self.process.stdout
        for line in self.process.stdout:
            if not line.endswith("\n"):
                break  # torn: it died while it wrote
            answer = json.loads(line)
            if "progress" in answer:
                progress(*answer["progress"])
            elif answer["error"] is None:
                return
            else:
                raise StageError(answer["error"])
        code = self.process.wait()
        raise WorkerDied(f"its worker process ended (exit status {code}; out of memory?): see {self.log}")

    def _send(self, message: Json) -> None:
        assert self.process.stdin
        try:
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError as error:
            raise WorkerDied(f"its worker process did not start: see {self.log}") from error

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def _seen(gpu: str | None) -> dict[str, str]:
    return {"CUDA_VISIBLE_DEVICES": gpu} if gpu else {}


def thread_environment(threads: int) -> dict[str, str]:
    """What must be set before torch is imported: a spinning OpenMP beside a busy neighbour is 20-40 times slower."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {name: str(threads) for name in names} | {"OMP_WAIT_POLICY": "PASSIVE"}


def main(log: str) -> None:
    """The worker's loop; its stdout is kept for answers, whatever a library prints goes to the file ``log``."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for asked in (signal.SIGTTIN, signal.SIGTTOU):  # a library that asks the terminal gets an error, and is not stopped
        signal.signal(asked, signal.SIG_IGN)
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    workspace = Workspace.from_json(json.loads(lines.get()))
    while True:
        node = node_of(json.loads(lines.get()))
        _answer(answers, _attempt(node, workspace, _Reporter(answers), log))
        gc.collect()  # a train split in a reference cycle is large, and the collector does not see how large
        gc.freeze()  # what is left stays: modules and models, which the next collection need not look at
        if not _gpu_answers():
            os._exit(1)  # whatever came next would fail, too


def _gpu_answers() -> bool:
    """Gives back what the last stage held of a GPU; False after an error there that only a new process gets over."""
    cuda = sys.modules.get("torch.cuda")
    if cuda is None or not cuda.is_initialized():
        return True
    try:
        cuda.synchronize()
        cuda.empty_cache()
    except RuntimeError:
        return False
    return True


def _listen(lines: queue.SimpleQueue[str]) -> None:
    # Not sys.stdin: it would be locked while it waits, and a process that is forked meanwhile closes it first of all.
    for line in os.fdopen(os.dup(0), encoding="utf-8"):
        lines.put(line)
    os._exit(0)  # the parent is gone


def _attempt(node: Node, workspace: Workspace, progress: Callable[[int, int, str], None], log: str) -> dict[str, Any]:
    try:
        run_stage(node, workspace, progress)
    except (Exception, SystemExit) as error:  # recorded as the reason of the cell; the worker goes on
        with suppress(OSError):  # the log may lie on a full disk
            traceback.print_exc()  # its stderr is the log
        places = filter(None, [_own_line(error, node, workspace), f"traceback in logs/{log}"])
        return {"error": explain(error, ", ".join(places), str(workspace.out))}
    return {"error": None}


def _own_line(error: BaseException, node: Node, workspace: Workspace) -> str | None:
    """The last line of the component's own code that a bug came through."""
    called = called_in(node)
    if called is None or isinstance(error, D3S2Error):  # one of ours says itself what to do, and is no bug
        return None
    return last_frame(error, home_of(workspace.registry.load(*called)))


def explain(error: BaseException, more: str = "--debug shows the traceback", out: str = "the output folder") -> str:
    """One line that says what went wrong and what to do; ``more`` says where to look after a bug."""
    if code := re.search(r"\(os error (\d+)\)", str(error)):  # how Rust libraries (safetensors) wrap one
        error = OSError(int(code[1]), os.strerror(int(code[1])))
    if isinstance(error, OSError):
        error = explain_os(error, out)
    if isinstance(error, MemoryError):
        return "out of memory: use fewer --workers or a smaller batch"
    text = " ".join(str(error).splitlines()) or "no message"
    return text if isinstance(error, D3S2Error) else f"{type(error).__name__}: {text} ({more})"


def explain_os(error: OSError, out: str) -> StoreError:
    """A full disk or a missing permission, in words."""
    where = error.filename or out
    return StoreError(f"{where}: {error.strerror or error}: free space or permissions there, or give another --out")


class _Reporter:
    """Sends progress at most five times a second."""

    def __init__(self, stream: IO[str]) -> None:
        self.stream, self.last = stream, 0.0

    def __call__(self, done: int, total: int, note: str = "") -> None:
        if time.monotonic() - self.last > 0.2 or done == total:
            self.last = time.monotonic()
            _answer(self.stream, {"progress": [done, total, note]})


def _answer(stream: IO[str], message: Json) -> None:
    stream.write(json.dumps(message) + "\n")
    stream.flush()


if __name__ == "__main__":
    main(sys.argv[1])
