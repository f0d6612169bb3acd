"""The runner: a failing node fails its dependants alone, and each says why."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from engine_fakes import WENT_WRONG, fake_config, planner_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from d3s2bench import StageError
from d3s2bench.errors import WorkerDied
from d3s2bench.execution import stages
from d3s2bench.execution.events import Began, Ended, Event, Failed, InTurn, Moved, Planned, Recorded
from d3s2bench.execution.inline import Inline
from d3s2bench.execution.runner import Order, Outcome, execute
from d3s2bench.interfaces import Site, Task
from d3s2bench.planning.plan import Node, Plan
from d3s2bench.results.records import new_record, read_record, record_file, write_record
from d3s2bench.storage.locks import live_runs
from d3s2bench.upkeep.status import read_status
from d3s2bench.workspace import Workspace

# --- real processes --------------------------------------------------------------------------------------------------


def run(tiny: Path, out: Path, **given: Any) -> tuple[Plan, Outcome, list[str]]:
    config = fake_config(tiny, out, **given)
    planner = planner_of(config)
    plan, scored = planner.matrix(), []
    outcome = execute(plan, planner.workspace, Order(Inline(), 1, 2), lambda node: scored.append(node.key))
    return plan, outcome, scored


def record_of(plan: Plan, out: Path, selector: str) -> dict[str, Any]:
    (key,) = [k for k in plan.records if plan.nodes[k].run["spec"]["selector"]["name"] == selector]
    return read_record(record_file(out, key))


@pytest.mark.usefixtures("fakes")
def test_a_failing_node_fails_its_dependants_alone(tiny: Path, tmp_path: Path, capsys: Any) -> None:
    plan, outcome, scored = run(tiny, tmp_path / "runs", selector=["fails", "first"])
    (reason,) = outcome.failed.values()
    assert re.fullmatch(f"select fails #0: {WENT_WRONG}", reason)
    assert set(outcome.skipped.values()) == {reason}
    assert len(outcome.skipped) == 2  # its set and its record
    failed, good = (record_of(plan, tmp_path / "runs", name) for name in ("fails", "first"))
    assert (failed["status"], failed["reason"], failed["metrics"]) == ("skipped", reason, None)
    assert good["status"] == "ok"
    assert scored == [key for key in plan.records if key.startswith(good["id"])]
    told = capsys.readouterr().err
    assert "Traceback" not in told
    assert "RuntimeError: it went wrong" in told

    again = run(tiny, tmp_path / "runs", selector=["fails", "first"])
    assert again[2] == []  # what was scored is not scored again; what failed is tried again
    assert list(again[1].failed.values()) == [reason]


@pytest.mark.usefixtures("fakes")
def test_workers_and_their_number_change_no_result(tiny: Path, tmp_path: Path) -> None:
    numbers = []
    for count in (1, 3):
        config = fake_config(tiny, tmp_path / str(count), selector=["first", "random"], synth="noisy", seed=[0, 1])
        planner = planner_of(config)
        plan = planner.matrix()
        assert execute(plan, planner.workspace, Order(Inline(), 1, count), lambda node: None) == Outcome()
        records = [read_record(record_file(tmp_path / str(count), key)) for key in plan.records]
        numbers.append([(r["id"], r["metrics"], r["confusion"]["sha256"], r["provenance"]["seeds"]) for r in records])
    assert numbers[0] == numbers[1]


# --- the order, without processes ------------------------------------------------------------------------------------


class Pool:
    """An executor that works in this process: remembers the order, fails and loses those it is told to."""

    def __init__(self, count: int, fails: set[str], lost: dict[str, int]) -> None:
        self.count, self.fails, self.lost, self.retries = count, fails, dict(lost), 2
        self.order: list[str] = []
        self.batches: list[int] = []
        self.done: set[str] = set()
        self.stopped = 0

    def start(self, site: Site) -> Pool:
        self.site, self.callers = site, ThreadPoolExecutor(self.count)
        return self

    def submit(self, tasks: Sequence[Task], progress: Callable[[str, int, int, str], None]) -> list[Future[None]]:
        self.batches.append(len(tasks))
        return [self.callers.submit(self.run, task, progress) for task in tasks]

    def run(self, task: Task, progress: Callable[[str, int, int, str], None]) -> None:
        name = str(task.work["node"]["identity"]["name"])
        assert self.done.issuperset(task.work["node"]["run"]["after"]), "a node ran before what it needs"
        self.order.append(name)
        progress(task.key, 1, 2, "steps")
        if self.lost.get(name, 0) > 0:
            self.lost[name] -= 1
            raise WorkerDied("its machine is lost")
        if name in self.fails:
            raise StageError("broken")
        self.done.add(task.key)

    def stop(self) -> None:
        self.stopped += 1
        self.callers.shutdown()


@dataclass
class Executed:
    """What a graph gave: names of nodes that failed and were skipped, with their reasons; all events."""

    pool: Pool
    failed: dict[str, str]
    skipped: dict[str, str]
    events: list[Event]
    workspace: Workspace

    def __iter__(self) -> Iterator[Any]:
        return iter((self.pool, self.failed, self.skipped))


@pytest.fixture
def executed(tmp_path: Path) -> Callable[..., Executed]:
    """Executes a graph given as name → names of what it needs."""

    def go(graph: dict[str, list[str]], fails: set[str], count: int = 2, **lost: int) -> Executed:
        workspace, plan, keys, events = Workspace(tmp_path), Plan(), dict[str, str](), list[Event]()
        workspace.store.prepare()
        for name, needs in graph.items():
            before = tuple(keys[need] for need in needs)
            keys[name] = plan.add(Node("index", {"name": name}, {"after": before}, before)).key
        pool = Pool(count, fails, lost)
        outcome = execute(plan, workspace, Order(pool, 1, count), lambda node: None, events.append)
        names = {key: name for name, key in keys.items()}
        failed, skipped = ({names[k]: v for k, v in part.items()} for part in (outcome.failed, outcome.skipped))
        assert pool.stopped == 1
        return Executed(pool, failed, skipped, events, workspace)

    return go


def test_every_node_runs_once_after_what_it_needs(executed: Any) -> None:
    pool, failed, skipped = executed({"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"], "e": []}, set())
    assert sorted(pool.order) == ["a", "b", "c", "d", "e"]
    assert failed == skipped == {}


def test_all_that_follow_a_failure_are_skipped_for_its_reason(executed: Any) -> None:
    pool, failed, skipped = executed({"a": [], "b": [], "c": ["a"], "d": ["c", "b"], "e": ["b"]}, {"a"})
    assert sorted(pool.order) == ["a", "b", "e"]
    assert failed == {"a": "index masks: broken"}
    assert skipped == {"c": "index masks: broken", "d": "index masks: broken"}


@pytest.mark.parametrize("count", [1, 4])
def test_a_failure_under_a_large_matrix_is_no_recursion(executed: Any, count: int) -> None:
    graph = {"root": []} | {f"n{i}": ["root"] for i in range(3000)} | {"other": []}
    pool, failed, skipped = executed(graph, {"root"}, count)
    assert sorted(pool.order) == ["other", "root"]
    assert (len(failed), len(skipped)) == (1, 3000)


def test_finished_nodes_are_not_run(executed: Any, tmp_path: Path) -> None:
    first = executed({"a": [], "b": ["a"]}, set())
    for key in [Node("index", {"name": name}, {}).key for name in "ab"]:
        first.workspace.store.produce("index", key, lambda folder: {})
    second = executed({"a": [], "b": ["a"], "c": []}, set())
    assert second.pool.order == ["c"]


def test_an_unexpected_error_stops_the_run_and_the_workers(executed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pool, "run", lambda *_: (_ for _ in ()).throw(ZeroDivisionError("bug")))
    with pytest.raises(ZeroDivisionError):
        executed({"a": [], "b": ["a"]}, set())


# --- beside another run ----------------------------------------------------------------------------------------------


class Broken(Pool):
    def run(self, task: Task, progress: Callable[[str, int, int, str], None]) -> None:
        raise StageError("broken")


@pytest.mark.usefixtures("fakes")
@pytest.mark.parametrize("there", [None, "failed"])
def test_a_failure_is_not_written_over_what_another_run_writes(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: str | None
) -> None:
    """The other run holds the cell's lock, and its record comes at the moment in which this one writes its own."""
    planner = planner_of(fake_config(tiny, tmp_path))
    plan, store = planner.matrix(), planner.workspace.store
    (key,) = plan.records

    def theirs(*given: Any) -> dict[str, Any]:
        record = new_record(*given)
        write_record(tmp_path, record | {"status": "skipped", "reason": "of the other run"})
        return record

    if there:
        theirs(key, plan.nodes[key].run["spec"], None, stages._provenance_of_failure(plan.nodes[key].run))
    else:
        monkeypatch.setattr(stages, "new_record", theirs)
    with store.lock("record", key):
        execute(plan, planner.workspace, Order(Broken(1, set(), {})), lambda node: None)
    assert read_record(record_file(tmp_path, key))["reason"] == "of the other run"


@pytest.mark.usefixtures("fakes")
def test_a_failure_beside_another_run_has_a_record(tiny: Path, tmp_path: Path) -> None:
    planner = planner_of(fake_config(tiny, tmp_path))
    plan = planner.matrix()
    (key,) = plan.records
    with planner.workspace.store.lock("record", key):
        execute(plan, planner.workspace, Order(Broken(1, set(), {})), lambda node: None)
    assert read_record(record_file(tmp_path, key))["reason"].endswith("broken")


# --- many nodes ------------------------------------------------------------------------------------------------------


def large_matrix(cells: int) -> dict[str, list[str]]:
    """An index, selections of ten cells each, and a record that needs both."""
    graph: dict[str, list[str]] = {"index": []}
    for i in range(cells):
        graph.setdefault(f"s{i // 10}", ["index"])
        graph[f"r{i}"] = ["index", f"s{i // 10}"]
    return graph


@pytest.mark.parametrize("count", [1, 8])
def test_ten_thousand_nodes_take_ten_times_as_long_as_a_thousand(executed: Any, count: int) -> None:
    """Were each node looked for among all, it would be a hundred times. The machine may be busy with others."""

    def seconds(cells: int) -> float:
        start = time.process_time()
        pool, failed, skipped = executed(large_matrix(cells), set(), count)
        assert len(pool.order) == len(set(pool.order)) == 1 + cells // 10 + cells
        assert failed == skipped == {}
        return time.process_time() - start

    assert min(seconds(9000) for _ in range(2)) < 30 * min(seconds(900) for _ in range(3))


def test_nodes_start_in_the_plans_order(executed: Any) -> None:
    graph = {"a": [], "late": ["a"], "b": [], "c": ["b"], "d": [], "e": ["late", "a", "late"]}
    pool, _, _ = executed(graph, set(), 1)
    assert pool.order == list(graph)


def test_the_reason_of_a_node_after_two_failures_is_that_of_the_first(executed: Any) -> None:
    graph = {"a": [], "b": [], "c": ["b"], "d": ["a"], "both": ["d", "c"], "other": []}
    pool, failed, skipped = executed(graph, {"a", "b"}, 1)
    assert pool.order == ["a", "b", "other"]
    assert set(failed) == {"a", "b"}
    assert list(skipped.items()) == [(name, "index masks: broken") for name in ("d", "both", "c")]


@given(
    needs=st.lists(st.sets(st.integers(0, 11)), min_size=1, max_size=12),
    fails=st.sets(st.integers(0, 11)),
    count=st.integers(1, 3),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_graph_runs_what_it_can(executed: Any, needs: list[set[int]], fails: set[int], count: int) -> None:
    graph = {str(i): [str(j) for j in sorted(found) if j < i] for i, found in enumerate(needs)}
    lost: set[str] = set()
    for name, before in graph.items():  # in order: what it needs is decided
        if lost.intersection(before) or int(name) in fails:
            lost.add(name)
    pool, failed, skipped = executed(graph, {str(i) for i in fails}, count)
    started = {name for name, before in graph.items() if not lost.intersection(before)}
    assert sorted(pool.order) == sorted(started)
    assert set(failed) == started & lost
    assert set(skipped) == graph.keys() - started


def test_a_run_says_that_it_lives(executed: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr(Pool, "run", lambda pool, *_: seen.append(live_runs(Workspace(pool.site.out).store)))
    executed({"a": []}, set())
    assert seen == [[f"{socket.gethostname()}-{os.getpid()}"]]
    assert live_runs(Workspace(tmp_path).store) == []


# --- retries, batches, events ----------------------------------------------------------------------------------------


def test_a_lost_node_is_tried_again_and_its_dependants_wait(executed: Any) -> None:
    pool, failed, skipped = executed({"a": [], "b": ["a"]}, set(), a=2)
    assert pool.order == ["a", "a", "a", "b"]
    assert failed == skipped == {}


def test_a_node_that_is_always_lost_fails(executed: Any) -> None:
    pool, failed, skipped = executed({"a": [], "b": ["a"], "c": []}, set(), 1, a=9)
    assert pool.order == ["a", "c", "a", "a"] or pool.order == ["a", "a", "a", "c"]
    assert failed == {"a": "index masks: its machine is lost"}
    assert set(skipped) == {"b"}


def test_nodes_that_are_ready_together_are_submitted_together(executed: Any) -> None:
    pool, _, _ = executed({"a": []} | {f"n{i}": ["a"] for i in range(5)}, set(), 4)
    assert pool.batches[:2] == [1, 4]


def test_the_events_of_a_run_in_order(executed: Any) -> None:
    graph = {"bad": [], "after": ["bad"], "good": [], "lost": ["good"]}
    found = executed(graph, {"bad"}, 1, lost=1)
    names = {node.key: node.identity["name"] for node in (Node("index", {"name": n}, {}) for n in graph)}
    told = [(event.name, names.get(getattr(event, "key", ""))) for event in found.events]
    assert told == [
        ("plan", None),
        *[("began", "bad"), ("progress", "bad"), ("failed", "bad"), ("failed", "after")],
        *[("began", "good"), ("progress", "good"), ("ended", "good")],
        *[("began", "lost"), ("progress", "lost"), ("progress", "lost"), ("ended", "lost")],
    ]
    assert found.events[0] == Planned({"index": (4, 4)}, 4)
    failed, skipped = (event for event in found.events if isinstance(event, Failed))
    assert (failed.reason, failed.skipped) == ("broken", False)
    assert (skipped.reason, skipped.skipped) == ("index masks: broken", True)


def test_nothing_is_told_of_a_stage_after_its_end() -> None:
    told: list[Event] = []
    tell = InTurn(told.append)
    for event in (Began("index", "k", "x"), Ended("index", "k", "x", 1.0), Moved("index", "k", "x", 1, 2, "late")):
        tell(event)
    assert [event.name for event in told] == ["began", "ended"]


@pytest.mark.usefixtures("fakes")
def test_a_record_is_told_with_its_file(tiny: Path, tmp_path: Path) -> None:
    planner = planner_of(fake_config(tiny, tmp_path / "runs"))
    plan, told = planner.matrix(), list[Event]()
    execute(plan, planner.workspace, Order(Inline()), lambda node: None, told.append)
    (record,) = [event for event in told if isinstance(event, Recorded)]
    assert read_record(Path(record.file))["id"] == record.id
    assert [event.name for event in told][-2:] == ["ended", "record"]


def test_what_is_left_can_be_read_beside_the_run(executed: Any, tmp_path: Path) -> None:
    executed({"a": [], "b": ["a"], "c": []}, set())
    assert read_status(tmp_path).left == {"index": 3}  # the pool has made no artefact
    Workspace(tmp_path).store.produce("index", Node("index", {"name": "a"}, {}).key, lambda folder: {})
    assert read_status(tmp_path).left == {"index": 2}
