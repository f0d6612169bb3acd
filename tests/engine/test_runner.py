"""The runner: a failing node fails its dependants alone, and each says why."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engine_fakes import fake_config, planner_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from d3s2bench import StageError
from d3s2bench.execution.runner import Outcome, Workers, execute
from d3s2bench.planning.plan import Node, Plan
from d3s2bench.results.records import read_record, record_file
from d3s2bench.storage.locks import live_runs
from d3s2bench.workspace import Workspace

# --- real processes --------------------------------------------------------------------------------------------------


def run(tiny: Path, out: Path, **given: Any) -> tuple[Plan, Outcome, list[str]]:
    config = fake_config(tiny, out, **given)
    planner = planner_of(config)
    plan, scored = planner.matrix(), []
    outcome = execute(plan, planner.workspace, 1, 2, lambda node: scored.append(node.key))
    return plan, outcome, scored


def record_of(plan: Plan, out: Path, selector: str) -> dict[str, Any]:
    (key,) = [k for k in plan.records if plan.nodes[k].run["spec"]["selector"]["name"] == selector]
    return read_record(record_file(out, key))


@pytest.mark.usefixtures("fakes")
def test_a_failing_node_fails_its_dependants_alone(tiny: Path, tmp_path: Path, capsys: Any) -> None:
    plan, outcome, scored = run(tiny, tmp_path / "runs", selector=["fails", "first"])
    reason = "select fails #0: RuntimeError: it went wrong (traceback in the folder logs)"
    assert list(outcome.failed.values()) == [reason]
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
        assert execute(plan, planner.workspace, 1, count, lambda node: None) == Outcome()
        records = [read_record(record_file(tmp_path / str(count), key)) for key in plan.records]
        numbers.append([(r["id"], r["metrics"], r["confusion"]["sha256"], r["provenance"]["seeds"]) for r in records])
    assert numbers[0] == numbers[1]


# --- the order, without processes ------------------------------------------------------------------------------------


class Pool(Workers):
    """Runs nodes in this process: remembers the order, fails those it is told to."""

    order: list[str]
    fails: set[str]
    done: set[str]

    def run(self, node: Node, progress: Callable[[int, int, str], None]) -> None:
        assert self.done.issuperset(node.needs), "a node ran before what it needs"
        self.order.append(str(node.identity["name"]))
        if node.identity["name"] in self.fails:
            raise StageError("broken")
        self.done.add(node.key)


@pytest.fixture
def executed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., tuple[Pool, dict[str, str], dict[str, str]]]:
    """Executes a graph given as name → names of what it needs; returns names that failed and were skipped."""

    def go(graph: dict[str, list[str]], fails: set[str], count: int = 2) -> tuple[Pool, dict[str, str], dict[str, str]]:
        workspace, plan, keys = Workspace(tmp_path), Plan(), {}
        workspace.store.prepare()
        for name, needs in graph.items():
            node = plan.add(Node("index", {"name": name}, {}, tuple(keys[need] for need in needs)))
            keys[name] = node.key
        pool = Pool(workspace, 1, count)
        pool.order, pool.fails, pool.done = [], fails, set()
        monkeypatch.setattr("d3s2bench.execution.runner.Workers", lambda *_: pool)
        outcome = execute(plan, workspace, 1, count, lambda node: None)
        names = {key: name for name, key in keys.items()}
        failed, skipped = ({names[k]: v for k, v in part.items()} for part in (outcome.failed, outcome.skipped))
        return pool, failed, skipped

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
    first, _, _ = executed({"a": [], "b": ["a"]}, set())
    for key in [Node("index", {"name": name}, {}).key for name in "ab"]:
        first.workspace.store.produce("index", key, lambda folder: {})
    second, _, _ = executed({"a": [], "b": ["a"], "c": []}, set())
    assert second.order == ["c"]


def test_an_unexpected_error_stops_the_run_and_the_workers(executed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pool, "run", lambda *_: (_ for _ in ()).throw(ZeroDivisionError("bug")))
    with pytest.raises(ZeroDivisionError):
        executed({"a": [], "b": ["a"]}, set())


# --- many nodes ------------------------------------------------------------------------------------------------------


def large_matrix(cells: int) -> dict[str, list[str]]:
    """An index, selections of ten cells each, and a record that needs both."""
    graph: dict[str, list[str]] = {"index": []}
    for i in range(cells):
        graph.setdefault(f"s{i // 10}", ["index"])
        graph[f"r{i}"] = ["index", f"s{i // 10}"]
    return graph


@pytest.mark.parametrize("count", [1, 8])
def test_ten_thousand_nodes_are_no_work_for_the_runner(executed: Any, count: int) -> None:
    seconds = []
    while not seconds or (min(seconds) > 2 and len(seconds) < 3):  # the machine may be busy with others
        start = time.process_time()
        pool, failed, skipped = executed(large_matrix(9000), set(), count)
        seconds.append(time.process_time() - start)
        assert len(pool.order) == len(set(pool.order)) == 1 + 900 + 9000
        assert failed == skipped == {}
    assert min(seconds) < 2


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
    monkeypatch.setattr(Pool, "run", lambda pool, *_: seen.append(live_runs(pool.workspace.store)))
    executed({"a": []}, set())
    assert seen == [[f"{socket.gethostname()}-{os.getpid()}"]]
    assert live_runs(Workspace(tmp_path).store) == []
