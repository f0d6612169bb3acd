"""The table's numbers, by hand: means, spreads, paired differences and which control belongs to which row."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_fakes import CONVERGED, record

from d3s2bench.results.records import SCHEMA as SCHEMA_FILE
from d3s2bench_leaderboards.tables import comparison

SCHEMA = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))


def row(table: pd.DataFrame, selector: str, synth: str = "real", labels: str = "hard", **more: Any) -> Any:
    wanted = {"selector": selector, "synth": synth, "labels": labels} | more
    found = table[(table[list(wanted)] == pd.Series(wanted)).all(axis=1)]
    assert len(found) == 1, table
    return found.iloc[0]


@pytest.mark.parametrize("one", [record(evaluations=(2, 1)), record(miou=None), record("full", teacher="t")])
def test_the_records_of_these_tests_follow_the_schema(one: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(one)


@pytest.mark.parametrize("change", [{"extra": 1}, {"metrics": None}, {"reason": "why"}, {"status": "done"}, {"id": ""}])
def test_the_schema_refuses(change: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(SCHEMA).validate(record() | change)


def test_every_key_of_the_schema_says_what_it_is() -> None:
    def undescribed(node: Any, path: str) -> list[str]:
        if not isinstance(node, dict):
            return []
        own = [f"{path}/{k}" for k, v in node.get("properties", {}).items() if not {"description", "$ref"} & set(v)]
        return own + [
            found for key, value in node.items() if key != "if" for found in undescribed(value, f"{path}/{key}")
        ]

    assert undescribed(SCHEMA, "") == []
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_mean_spread_and_paired_differences() -> None:
    table = comparison(
        [record(miou=m, seed=s) for s, m in enumerate([10.0, 14.0, 12.0])]
        + [record("balanced", miou=m, seed=s) for s, m in [(0, 15.0), (2, 15.0)]]
        + [record("balanced", "guided", m, seed=s) for s, m in [(0, 21.0), (1, 20.0), (2, 19.0), (3, 16.0)]]
        + [record("full", miou=30.0, seed=0), record("full", miou=50.0, seed=4, iterations=CONVERGED)]
    )
    guided = row(table, "balanced", "guided")
    assert (guided.n, guided.images, guided.bytes, guided.rate) == (4, 20, 1_500_000, 0.01)
    assert guided.miou == pytest.approx(19.0)
    assert guided["std"] == pytest.approx((14 / 3) ** 0.5)  # squares 4, 1, 0, 9 over n − 1
    assert guided.vs_random == pytest.approx((11 + 6 + 7) / 3)  # repetitions 0, 1, 2
    assert guided.vs_selector == pytest.approx((6 + 4) / 2)  # repetitions 0, 2
    assert guided.vs_full == pytest.approx(-9)  # repetition 0
    assert guided.percent_of_full == pytest.approx(38)  # 19 of 50
    random = row(table, "random")
    assert random[["vs_random", "vs_selector"]].isna().all()
    assert random.vs_full == pytest.approx(-20)
    converged = table[(table.selector == "full") & (table.percent_of_full == 100)].iloc[0]
    assert converged[["std", "vs_full"]].isna().all()


@pytest.mark.parametrize("other", [{"iterations": 600}, {"dataset": "camvid"}, {"arch": "deeplab"}, {"rate": 0.02}])
def test_controls_of_another_column_are_not_used(other: dict[str, Any]) -> None:
    table = comparison([record(**other), record("balanced", **other), record("balanced", "guided", 25.0)])
    assert (
        table[["vs_random", "vs_selector", "vs_full", "percent_of_full"]]
        .loc[table.synth == "guided"]
        .isna()
        .all(axis=None)
    )


def test_full_serves_every_rate_and_the_converged_one_every_number_of_iterations() -> None:
    full = [record("full", miou=40.0), record("full", miou=50.0, iterations=CONVERGED)]
    table = comparison([*full, record(rate=0.02), record(rate=0.1), record(rate=0.1, iterations=600)])
    small = table[table.selector == "random"]
    assert small.percent_of_full.tolist() == [40.0] * 3
    assert sorted(small.vs_full.dropna()) == [-20.0, -20.0]


@pytest.mark.parametrize("turn", [1, -1])
def test_a_stratified_draw_is_a_method_and_no_control(turn: int) -> None:
    stratified = record("random", miou=22.0, options={"stratify": "presence"})
    table = comparison([record("random", miou=15.0), stratified, record("balanced", miou=20.0)][::turn])
    assert row(table, "balanced")["vs_random"] == 5
    assert table["vs_random"].sort_values().dropna().tolist() == [5, 7]


def test_a_record_that_does_not_tell_what_was_changed_may_still_be_the_control() -> None:
    plain = record("random", miou=15.0, options={"stratify": "none"})
    table = comparison([plain, record("balanced", miou=20.0)])
    assert row(table, "balanced")["vs_random"] == 5


def test_soft_labels_are_measured_against_hard_controls() -> None:
    table = comparison([record(miou=10.0), record(miou=13.0, labels="soft", teacher="t"), record("full", miou=40.0)])
    soft = row(table, "random", labels="soft")
    assert (soft.vs_random, soft.vs_selector, soft.vs_full) == (3.0, 3.0, -27.0)
    assert row(table, "random").isna().vs_random


def test_soft_labels_of_the_same_photographs_are_the_control_of_equal_information() -> None:
    table = comparison(
        [record("balanced", "guided", miou=m, seed=s, teacher="t", generator="g") for s, m in enumerate([20.0, 22.0])]
        + [record("balanced", miou=m, seed=s, labels="soft", teacher="t") for s, m in [(1, 25.0), (2, 99.0)]]
        + [record("balanced", miou=14.0, seed=1), record("random", miou=9.0, seed=1)]
    )
    assert row(table, "balanced", "guided").vs_soft == -3.0  # repetition 1
    assert row(table, "balanced").vs_soft == -11.0
    assert pd.isna(row(table, "balanced", labels="soft").vs_soft)
    assert pd.isna(row(table, "random").vs_soft)


def test_the_soft_control_has_the_same_teacher_and_temperature() -> None:
    guided = [record("balanced", "guided", 20.0, teacher="one", generator="g", temperature=t) for t in (1.0, 4.0)]
    soft = [record("balanced", miou=30.0 + t, labels="soft", teacher="one", temperature=t) for t in (1.0, 4.0)]
    other = [record("balanced", miou=50.0, labels="soft", teacher="two")]
    table = comparison([*guided, *soft, *other])
    assert dict(table[table.synth == "guided"][["labels", "vs_soft"]].itertuples(index=False)) == {
        "hard": -11.0,
        "hard(temperature=4.0)": -14.0,
    }
    assert comparison([guided[0], *other]).vs_soft.isna().all()


def test_varies_names_the_stages_whose_seed_differs() -> None:
    methods = [("random", "guided"), ("random", "real"), ("balanced", "guided"), ("balanced", "real")]
    table = comparison([record(*method, seed=s) for method in methods for s in (0, 1)] + [record("dfss", "guided")])
    assert [row(table, *method).varies for method in [*methods, ("dfss", "guided")]] == [
        "select, synthesise, train",
        "select, train",
        "synthesise, train",
        "train",
        "",
    ]


def test_budgets_ascend() -> None:
    table = comparison([record(miou=m, iterations=i) for m, i in [(3.0, 900), (2.0, 100), (1.0, 300)]])
    assert table.iterations.tolist() == [100, 300, 900]


def test_changed_options_stand_behind_the_name_and_pick_the_control() -> None:
    gammas = [{"gamma": 1.0, "min": 16}, {"gamma": 0.5, "min": 16}]
    table = comparison(
        [record("balanced", "real", miou, options=o) for o, miou in zip(gammas, (10.0, 11.0), strict=True)]
        + [record("balanced", "guided", 20.0, options=o) for o in gammas]
    )
    assert row(table, "balanced(gamma=1.0, min=16)", "guided").vs_selector == 10.0
    assert row(table, "balanced(gamma=0.5, min=16)", "guided").vs_selector == 9.0


def test_a_changed_option_is_told_when_there_is_no_other_row() -> None:
    assert comparison([record("balanced", options={"gamma": 2.0})]).selector.tolist() == ["balanced(gamma=2.0)"]


def test_an_option_that_older_records_lack_tells_rows_apart() -> None:
    table = comparison([record("balanced"), record("balanced", options={"gamma": 2})])
    assert sorted(table.selector) == ["balanced", "balanced(gamma=2)"]


def test_other_weights_make_another_row() -> None:
    table = comparison([record("dfss", miou=m, teacher=t) for t, m in (("one", 10.0), ("two", 20.0))])
    assert len(table) == 2 and table.n.tolist() == [1, 1]
    assert table.synth.str.match(r"real\(teacher=[0-9a-f]{12}\)").all()
    assert comparison([record("dfss", teacher="one"), record(teacher=None)]).synth.tolist() == ["real", "real"]


def test_of_two_records_of_one_cell_the_later_counts() -> None:
    old = record(miou=10.0, created="2026-01-01T00:00:00+00:00", version="0.1.0")
    new = record(miou=11.0, created="2026-01-02T00:00:00+00:00", version="0.2.0")
    for records in ([old, new], [new, old]):
        table = comparison(records)
        assert table.miou.tolist() == [11.0] and table.n.tolist() == [1]


def test_only_what_is_ok_counts() -> None:
    table = comparison([record(miou=10.0), record(miou=None, seed=1), record("dfss", miou=None)])
    assert table.n.tolist() == [1]


def test_best_first_within_a_column() -> None:
    names = {"random": 12.0, "dfss": 14.0, "balanced": 13.0}
    table = comparison([record(name, miou=m, rate=rate) for name, m in names.items() for rate in (0.1, 0.01)])
    assert table.selector.tolist() == ["dfss", "balanced", "random"] * 2
    assert table.rate.tolist() == [0.01] * 3 + [0.1] * 3


MIXED = [
    *(record(miou=20.0 + seed / 3, seed=seed) for seed in range(3)),
    *(record("balanced", "guided", 22.0 + seed / 7, seed, teacher="t") for seed in range(3)),
    record("balanced", miou=20.0),
    record("balanced", miou=20.0, options={"gamma": 2}),
    record("full", miou=50.0, iterations=CONVERGED),
    record("dfss", miou=None),
    record("dfss", miou=None, seed=1),
    record(miou=19.0, labels="soft"),
    *(record(name, miou=18.0 + k, iterations=600) for k, name in enumerate(("random", "balanced"))),
]


@settings(max_examples=30)
@given(st.permutations(MIXED), st.sampled_from(["markdown:Markdown", "csv:Csv"]))
def test_the_order_of_the_records_does_not_matter(shuffled: list[dict[str, Any]], target: str) -> None:
    from importlib import import_module

    module, name = target.split(":")
    renderer = getattr(import_module(f"d3s2bench_leaderboards.{module}"), name)()
    assert renderer.render(iter(shuffled)) == renderer.render(MIXED)
