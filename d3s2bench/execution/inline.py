"""The executor ``inline``: worker processes on this machine."""

from __future__ import annotations

import os
import queue
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from d3s2bench.errors import D3S2Error, WorkerDied
from d3s2bench.execution.resources import gpus, places
from d3s2bench.execution.worker import Worker
from d3s2bench.interfaces import Site, Task


@dataclass(frozen=True)
class Inline:
    """Worker processes on this machine, as many as there are cores for, one on another device than ``cpu``; ``retries``
    of a stage whose process died. With ``--device cuda`` and several workers each sees one GPU, in turn."""

    retries: int = 1

    def start(self, site: Site) -> Workers:
        count = site.workers or places(site.threads, site.device)
        divided = gpus() if site.device == "cuda" and count > 1 else []
        return Workers(site.out / "logs", count, self.retries, divided)


class Workers:
    """A pool of worker processes, each started when first needed and replaced when it dies; ``gpus`` are divided among
    them."""

    def __init__(self, logs: Path, count: int, retries: int = 1, gpus: Sequence[str] = ()) -> None:
        self.logs, self.count, self.retries, self.gpus = logs, count, retries, gpus
        self.callers = ThreadPoolExecutor(count)
        self.idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        self.all: list[Worker] = []
        self.lock = threading.Lock()
        self.stopped = False

    def submit(self, tasks: Sequence[Task], progress: Callable[[str, int, int, str], None]) -> list[Future[None]]:
        return [self.callers.submit(self._run, task, partial(progress, task.key)) for task in tasks]

    def _run(self, task: Task, progress: Callable[[int, int, str], None]) -> None:
        worker = self._borrow(task)
        try:
            worker.run(task.work["node"], progress)
        except WorkerDied:
            raise
        except D3S2Error:
            self.idle.put(worker)
            raise
        self.idle.put(worker)

    def _borrow(self, task: Task) -> Worker:
        try:
            return self.idle.get_nowait()
        except queue.Empty:
            with self.lock:
                if self.stopped:
                    raise WorkerDied("the run was stopped") from None
                log = self.logs / f"worker-{os.getpid()}-{len(self.all)}.log"
                self.all.append(Worker(task.work, log, self._free_gpu()))
                return self.all[-1]

    def _free_gpu(self) -> str | None:
        """The one with the fewest processes at work."""
        taken = Counter(worker.gpu for worker in self.all if worker.alive)
        return min(self.gpus, key=lambda gpu: taken[gpu], default=None)

    def stop(self) -> None:
        """Ends all workers for good: whoever waits for one gets WorkerDied."""
        with self.lock:
            self.stopped = True
            for worker in self.all:
                worker.stop()
        self.callers.shutdown(cancel_futures=True)
