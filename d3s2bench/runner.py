"""Runs a plan: ready nodes go to free workers, a failed node fails its dependants alone, finished work is kept."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from d3s2bench.errors import D3S2Error
from d3s2bench.plan import Node, Plan
from d3s2bench.progress import Display, label
from d3s2bench.resources import cores
from d3s2bench.stages import write_failure
from d3s2bench.worker import Worker, WorkerDied
from d3s2bench.workspace import Workspace


@dataclass
class Outcome:
    """Which nodes failed, and why: key → reason."""

    failed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


class Workers:
    """A pool of worker processes, each started when first needed and replaced when it dies."""

    def __init__(self, workspace: Workspace, threads: int, count: int) -> None:
        self.workspace, self.threads, self.count = workspace, threads, count
        self.idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        self.all: list[Worker] = []
        self.lock = threading.Lock()
        self.stopped = False

    def run(self, node: Node, progress: Callable[[int, int, str], None]) -> None:
        """Tries a node again once when its worker was killed: what it had done is kept in the store."""
        try:
            self._run_once(node, progress)
        except WorkerDied:
            if self.stopped:
                raise
            self._run_once(node, progress)

    def _run_once(self, node: Node, progress: Callable[[int, int, str], None]) -> None:
        worker = self._borrow()
        try:
            worker.run(node, progress)
        except WorkerDied:
            raise
        except D3S2Error:
            self.idle.put(worker)
            raise
        self.idle.put(worker)

    def _borrow(self) -> Worker:
        try:
            return self.idle.get_nowait()
        except queue.Empty:
            with self.lock:
                if self.stopped:
                    raise WorkerDied("the run was stopped") from None
                log = self.workspace.out / "logs" / f"worker-{os.getpid()}-{len(self.all)}.log"
                self.all.append(Worker(self.workspace, self.threads, log))
                return self.all[-1]

    def stop(self) -> None:
        """Ends all workers for good: whoever waits for one gets WorkerDied."""
        with self.lock:
            self.stopped = True
            for worker in self.all:
                worker.stop()


def execute(
    plan: Plan, workspace: Workspace, threads: int, workers: int | None, on_record: Callable[[Node], None]
) -> Outcome:
    """Runs all that is missing. Ctrl-C ends the workers and leaves a store that the next run goes on with."""
    todo = plan.remaining(workspace.store)
    if not todo:
        return Outcome()
    count = min(workers or max(1, cores() // threads), len(todo))
    pool = Workers(workspace, threads, count)
    try:
        with ThreadPoolExecutor(count) as callers, Display(len(todo)) as display:
            return _Loop(todo, workspace.out, pool, callers, display, on_record).run()
    finally:
        pool.stop()


class _Loop:
    def __init__(
        self,
        todo: dict[str, Node],
        out: Path,
        pool: Workers,
        callers: ThreadPoolExecutor,
        display: Display,
        on_record: Callable[[Node], None],
    ) -> None:
        self.waiting, self.out, self.pool = dict(todo), out, pool
        self.callers, self.display, self.on_record = callers, display, on_record
        self.running: dict[Future[None], Node] = {}
        self.outcome = Outcome()

    def run(self) -> Outcome:
        try:
            while self.waiting or self.running:
                self._start_ready()
                for future in wait(self.running, return_when=FIRST_COMPLETED).done:
                    self._finish(self.running.pop(future), future)
        except BaseException:
            self.pool.stop()  # callers end when their workers do
            raise
        return self.outcome

    def _start_ready(self) -> None:
        lost = self.outcome.failed | self.outcome.skipped
        unfinished = set(self.waiting) | {node.key for node in self.running.values()}
        for node in list(self.waiting.values()):  # in the plan's order: what a node needs comes before it
            if reason := next((lost[key] for key in node.needs if key in lost), None):
                self._skip(self.waiting.pop(node.key), reason)
                lost[node.key] = reason
            elif len(self.running) < self.pool.count and not unfinished.intersection(node.needs):
                self.display.began(self.waiting.pop(node.key))
                self.running[self.callers.submit(self._call, node)] = node

    def _call(self, node: Node) -> None:
        self.pool.run(node, lambda done, total, note: self.display.moved(node, done, total, note))

    def _finish(self, node: Node, future: Future[None]) -> None:
        error = future.exception()
        if error is not None and not isinstance(error, D3S2Error):
            raise error
        self.display.ended(node, f"failed: {error}" if error else None)
        if error:
            self.outcome.failed[node.key] = f"{label(node)}: {error}"
            self._write_failure(node, "failed", str(error))
        elif node.stage == "record":
            self.on_record(node)

    def _skip(self, node: Node, reason: str) -> None:
        self.outcome.skipped[node.key] = reason
        self.display.ended(node, "skipped")
        self._write_failure(node, "skipped", reason)

    def _write_failure(self, node: Node, status: str, reason: str) -> None:
        if node.stage == "record":
            write_failure(node, self.out, status, reason)
