"""What is left of a plan is estimated from what was measured: answers by hand, and a plan that is half done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from engine_fakes import fake_config, planner_of, provenance, spec
from small_run import small_run

from d3s2bench.files import write_json
from d3s2bench.planning import estimate as module
from d3s2bench.planning.estimate import Estimate, estimate
from d3s2bench.planning.plan import Node, Plan
from d3s2bench.results.records import new_record
from d3s2bench.storage.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "runs")
    made.prepare()
    return made


def component(name: str, **options: int) -> dict[str, Any]:
    return {"name": name, "options": options, "version": "1.0"}


def distilled(synth: dict[str, Any], seed: int, rate: float) -> Node:
    return Node("distilled", {"dataset": "d", "synth": synth, "seed": seed}, {"rate": rate})


def measured(store: Store, node: Node, seconds: float, size: int) -> None:
    """An artefact that took so long, with so many bytes besides its description."""

    def make(folder: Path) -> dict[str, Any]:
        (folder / "content").write_bytes(b"x" * size)
        return {"identity": node.identity, "seconds": seconds, **node.run}

    store.produce(node.stage, node.key, make)


def plan_of(*nodes: Node) -> Plan:
    plan = Plan()
    for node in nodes:
        plan.add(node)
    return plan


def test_a_set_takes_the_median_of_its_kind_in_proportion_to_its_rate(store: Store) -> None:
    for seed, (rate, seconds) in enumerate([(0.01, 10), (0.01, 12), (0.02, 100)]):  # 1000, 1200, 5000 per unit of rate
        measured(store, distilled(component("guided", steps=8), seed, rate), seconds, 100_000)
    measured(store, distilled(component("real"), 0, 0.01), 1, 100)
    (found,) = estimate(plan_of(distilled(component("guided", steps=8), 9, 0.05)), store)
    assert (found.stage, found.nodes, found.unknown) == ("distilled", 1, 0)
    assert found.seconds == pytest.approx(1200 * 0.05)
    assert found.bytes == pytest.approx(0.05 * 100_000 / 0.01, rel=0.01)  # its description weighs a little, too


def test_other_options_count_where_the_same_were_never_measured(store: Store) -> None:
    measured(store, distilled(component("guided", steps=8), 0, 0.01), 10, 0)
    measured(store, distilled(component("guided", steps=50), 0, 0.01), 70, 0)
    ask = [distilled(component("guided", steps=steps), 1, 0.01) for steps in (8, 50, 20)]
    assert [estimate(plan_of(node), store)[0].seconds for node in ask] == pytest.approx([10, 70, 40])


def test_what_was_never_measured_is_unknown_not_free(store: Store) -> None:
    measured(store, distilled(component("real"), 0, 0.01), 1, 0)
    (found,) = estimate(plan_of(distilled(component("guided"), 0, 0.01), distilled(component("real"), 1, 0.01)), store)
    assert (found.nodes, found.unknown) == (2, 1)
    assert found.seconds == pytest.approx(1)


def test_training_counts_in_iterations_and_scoring_once(store: Store) -> None:
    for seed, train in enumerate((20.0, 40.0, 30.0)):
        record = new_record(f"{seed}" * 64, spec(seed=seed), None, provenance()) | {"status": "ok"}
        record["timings"] |= {"train": train, "evaluate": 4.0 + seed}
        write_json(store.out / "records" / f"{record['id']}.json", record)
    failed = new_record("f" * 64, spec(), None, provenance()) | {"status": "failed"}
    write_json(store.out / "records" / f"{failed['id']}.json", failed)
    (store.out / "records" / "torn.json").write_text("{")
    identity = {part: spec()[part] for part in ("evaluator", "arch")} | {"dataset": "0" * 64}
    long, deep = ({**identity, "protocol": {"iterations": 50}, "arch": arch} for arch in ("flat", "deep"))
    (found,) = estimate(plan_of(Node("record", long, {}), Node("record", deep, {})), store)
    assert (found.nodes, found.unknown) == (2, 1)  # the other architecture was never trained
    assert found.seconds == pytest.approx(50 * 30 / 5 + 5)


def test_many_records_and_nodes_are_gone_through_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(20):
        record = new_record(f"{seed:064d}"[::-1], spec(seed=seed), None, provenance()) | {"status": "ok"}
        record["timings"] |= {"train": 20.0, "evaluate": 4.0}
        write_json(store.out / "records" / f"{record['id']}.json", record)
        (store.out / "records" / f"{record['id']}.npz").write_bytes(b"x" * 1000)
    identity = {part: spec()[part] for part in ("evaluator", "arch")} | {"dataset": "0" * 64}
    nodes = [Node("record", {**identity, "protocol": {"iterations": 5}, "seed": seed}, {}) for seed in range(50)]
    medians, listed, median, glob = [], [], module.median, Path.glob
    monkeypatch.setattr(module, "median", lambda given: medians.append(1) or median(given))
    monkeypatch.setattr(Path, "glob", lambda *given, **more: listed.append(given) or glob(*given, **more))
    (found,) = estimate(plan_of(*nodes), store)
    assert found.seconds == pytest.approx(50 * 24)
    one = (store.out / "records" / f"{0:016d}.json").stat().st_size + 1000
    assert found.bytes == pytest.approx(50 * one, rel=0.01)
    assert len(medians) == 6  # three of the narrow kind and three of the wide one
    assert len(listed) < 10


def test_a_plan_that_is_half_done(monkeypatch: pytest.MonkeyPatch, tiny: Path, store: Store) -> None:
    """Real stages: all of the second repetition is known from the first, and nothing is left when it is done."""
    small_run(monkeypatch, tiny, store.out, synth="taught")
    config = fake_config(tiny, store.out, synth="taught", seed=[0, 1], train_missing=True, teacher_arch="flat")
    found = estimate(planner_of(config).matrix(), store)
    assert [(e.stage, e.nodes, e.unknown) for e in found] == [("distilled", 1, 0), ("record", 1, 0)]
    assert all(e.seconds > 0 and e.bytes > 0 for e in found)
    small_run(monkeypatch, tiny, store.out, synth="taught", seed=[0, 1])
    assert estimate(planner_of(config).matrix(), store) == []


def test_an_empty_store_knows_nothing(store: Store) -> None:
    assert estimate(plan_of(distilled(component("real"), 0, 0.01)), store) == [Estimate("distilled", 1, 0, 0, 1)]
