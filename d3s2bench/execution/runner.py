"""Runs a plan: ready nodes go to the executor, a failed node fails its dependants alone, finished work is kept."""

from __future__ import annotations

import queue
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from heapq import heappop, heappush

from filelock import Timeout

from d3s2bench.errors import D3S2Error, WorkerDied
from d3s2bench.execution.events import Began, Ended, Failed, InTurn, Moved, Planned, Recorded, Tell, untold
from d3s2bench.execution.progress import display, label
from d3s2bench.execution.stages import write_failure
from d3s2bench.execution.tasks import task_of
from d3s2bench.interfaces import Executor, Pool, Site
from d3s2bench.planning.plan import Node, Plan
from d3s2bench.results.records import record_file
from d3s2bench.storage.locks import at_work
from d3s2bench.upkeep.status import write_plan
from d3s2bench.workspace import Workspace


@dataclass
class Outcome:
    """Which nodes failed, and why: key → reason."""

    failed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Order:
    """How a plan is to be run; changes no result."""

    executor: Executor
    threads: int = 1
    """Numeric threads per stage, as the protocol has them."""
    workers: int | None = None
    """Stages at once; None = as many as the executor has room for."""


def execute(
    plan: Plan, workspace: Workspace, order: Order, on_record: Callable[[Node], None], tell: Tell = untold
) -> Outcome:
    """Runs all that is missing. Ctrl-C ends the work and leaves a store that the next run goes on with.

    ``tell`` hears of all that happens, from any thread.
    """
    todo = plan.remaining(workspace.store)
    tell(_planned(plan, todo))
    if not todo:
        return Outcome()
    write_plan(workspace.out, [(node.stage, node.key) for node in todo.values()])
    site = Site(workspace.out, order.threads, order.workers, workspace.device)
    with at_work(workspace.store), _started(order.executor, site) as pool, display(len(todo)) as shown:
        return _Loop(todo, workspace, order.threads, pool, InTurn(shown, tell), on_record).run()


@contextmanager
def _started(executor: Executor, site: Site) -> Iterator[Pool]:
    pool = executor.start(site)
    try:
        yield pool
    finally:
        pool.stop()


def _planned(plan: Plan, todo: dict[str, Node]) -> Planned:
    nodes, left = (Counter(node.stage for node in some.values()) for some in (plan.nodes, todo))
    return Planned({stage: (count, left[stage]) for stage, count in nodes.items()}, len(todo))


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
        workspace: Workspace,
        threads: int,
        pool: Pool,
        tell: Tell,
        on_record: Callable[[Node], None],
    ) -> None:
        self.waiting, self.workspace, self.threads, self.pool = _Ready(todo), workspace, threads, pool
        self.tell, self.on_record = tell, on_record
        self.nodes, self.began = todo, dict[str, float]()
        self.running: dict[Future[None], Node] = {}
        self.tries: Counter[str] = Counter()
        self.ended: queue.SimpleQueue[Future[None]] = queue.SimpleQueue()
        self.outcome = Outcome()

    def run(self) -> Outcome:
        self._start_ready()
        while self.running:
            future = self.ended.get()
            self._finish(self.running.pop(future), future)
            self._start_ready()
        return self.outcome

    def _start_ready(self) -> None:
        """All that there is room for, together: an executor may make one array of them."""
        nodes: list[Node] = []
        while len(self.running) + len(nodes) < self.pool.count and (node := self.waiting.take()):
            self.began[node.key] = time.monotonic()
            self.tell(Began(*_named(node)))
            nodes.append(node)
        self._submit(nodes)

    def _submit(self, nodes: list[Node]) -> None:
        tasks = [task_of(node, self.workspace, self.threads) for node in nodes]
        for node, future in zip(nodes, self.pool.submit(tasks, self._moved) if tasks else (), strict=True):
            self.running[future] = node
            future.add_done_callback(self.ended.put)

    def _moved(self, key: str, done: int, total: int, note: str) -> None:
        self.tell(Moved(*_named(self.nodes[key]), done, total, note))

    def _finish(self, node: Node, future: Future[None]) -> None:
        error = future.exception()
        if error is None:
            self._done(node)
        elif isinstance(error, WorkerDied) and self.tries[node.key] < self.pool.retries:
            self.tries[node.key] += 1
            self._submit([node])  # what it had done is kept in the store
        elif isinstance(error, D3S2Error):
            self._fail(node, error)
        else:
            raise error

    def _done(self, node: Node) -> None:
        self.waiting.done(node)
        self.tell(Ended(*_named(node), time.monotonic() - self.began[node.key]))
        if node.stage == "record":
            file = record_file(self.workspace.out, node.key)
            self.tell(Recorded(file.stem, str(file)))
            self.on_record(node)

    def _fail(self, node: Node, error: D3S2Error) -> None:
        """With all that follow it, for the same reason."""
        reason = self.outcome.failed[node.key] = f"{label(node)}: {error}"
        self.tell(Failed(*_named(node), str(error), skipped=False))
        self._write_failure(node, "failed", str(error))
        for dependant in self.waiting.lose(node):
            self.outcome.skipped[dependant.key] = reason
            self.tell(Failed(*_named(dependant), reason, skipped=True))
            self._write_failure(dependant, "skipped", reason)

    def _write_failure(self, node: Node, status: str, reason: str) -> None:
        """Under the cell's lock, so that no number that another run writes at this moment is written over."""
        if node.stage != "record":
            return
        try:
            with self.workspace.store.lock("record", node.key).acquire(blocking=False):
                write_failure(node, self.workspace.out, status, reason)
        except Timeout:  # another run is training it: what that one writes stays, now and later
            write_failure(node, self.workspace.out, status, reason, new=True)


def _named(node: Node) -> tuple[str, str, str]:
    return node.stage, node.key, label(node)
