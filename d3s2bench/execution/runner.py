"""Runs a plan: ready nodes go to free workers, a failed node fails its dependants alone, finished work is kept."""

from __future__ import annotations

import os
import queue
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from heapq import heappop, heappush
from pathlib import Path

from d3s2bench.errors import D3S2Error
from d3s2bench.execution.progress import Display, label
from d3s2bench.execution.resources import cores
from d3s2bench.execution.stages import write_failure
from d3s2bench.execution.worker import Worker, WorkerDied
from d3s2bench.planning.plan import Node, Plan
from d3s2bench.storage.locks import at_work
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
        with at_work(workspace.store), ThreadPoolExecutor(count) as callers, Display(len(todo)) as display:
            return _Loop(todo, workspace.out, pool, callers, display, on_record).run()
    finally:
        pool.stop()


class _Ready:
    """Which nodes may start, in the plan's order: each is looked at once for each node that it needs."""

    def __init__(self, todo: dict[str, Node]) -> None:
        self.nodes = list(todo.values())
        self.unmet = [{key for key in node.needs if key in todo} for node in self.nodes]
        self.dependants: defaultdict[str, list[int]] = defaultdict(list)
        for i, needs in enumerate(self.unmet):
            for key in needs:
                self.dependants[key].append(i)
        self.ready = [i for i, needs in enumerate(self.unmet) if not needs]  # sorted: a heap
        self.lost: set[int] = set()

    def take(self) -> Node | None:
        """The next node to start; None while all that are left wait for others."""
        return self.nodes[heappop(self.ready)] if self.ready else None

    def done(self, node: Node) -> None:
        for i in self.dependants[node.key]:
            self.unmet[i].discard(node.key)
            if not self.unmet[i]:
                heappush(self.ready, i)

    def lose(self, node: Node) -> Iterator[Node]:
        """All that can never start once this one has failed, in the plan's order."""
        after = list(self.dependants[node.key])  # sorted: a heap
        while after:
            i = heappop(after)
            if i not in self.lost:
                self.lost.add(i)
                yield self.nodes[i]
                for dependant in self.dependants[self.nodes[i].key]:
                    heappush(after, dependant)


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
        self.waiting, self.out, self.pool = _Ready(todo), out, pool
        self.callers, self.display, self.on_record = callers, display, on_record
        self.running: dict[Future[None], Node] = {}
        self.ended: queue.SimpleQueue[Future[None]] = queue.SimpleQueue()
        self.outcome = Outcome()

    def run(self) -> Outcome:
        try:
            self._start_ready()
            while self.running:
                future = self.ended.get()
                self._finish(self.running.pop(future), future)
                self._start_ready()
        except BaseException:
            self.pool.stop()  # callers end when their workers do
            raise
        return self.outcome

    def _start_ready(self) -> None:
        while len(self.running) < self.pool.count and (node := self.waiting.take()):
            self.display.began(node)
            future = self.callers.submit(self._call, node)
            self.running[future] = node
            future.add_done_callback(self.ended.put)

    def _call(self, node: Node) -> None:
        self.pool.run(node, lambda done, total, note: self.display.moved(node, done, total, note))

    def _finish(self, node: Node, future: Future[None]) -> None:
        error = future.exception()
        if error is not None and not isinstance(error, D3S2Error):
            raise error
        self.display.ended(node, f"failed: {error}" if error else None)
        if error:
            self._fail(node, error)
        else:
            self.waiting.done(node)
            if node.stage == "record":
                self.on_record(node)

    def _fail(self, node: Node, error: D3S2Error) -> None:
        """With all that follow it, for the same reason."""
        reason = self.outcome.failed[node.key] = f"{label(node)}: {error}"
        self._write_failure(node, "failed", str(error))
        for dependant in self.waiting.lose(node):
            self.outcome.skipped[dependant.key] = reason
            self.display.ended(dependant, "skipped")
            self._write_failure(dependant, "skipped", reason)

    def _write_failure(self, node: Node, status: str, reason: str) -> None:
        if node.stage == "record":
            write_failure(node, self.out, status, reason)
