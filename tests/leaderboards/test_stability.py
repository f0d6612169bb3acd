"""Ranks over training budgets, by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from record_fakes import CONVERGED, record

from d3s2bench_leaderboards.markdown import Markdown
from d3s2bench_leaderboards.rows import gather
from d3s2bench_leaderboards.stability import Stability, stability


def records(scores: Mapping[str, Mapping[int, Sequence[float]]], **more: Any) -> list[dict[str, Any]]:
    """Selector → iterations → mIoU of repetitions 0, 1, …"""
    return [
        record(selector, miou=miou, seed=seed, iterations=iterations, **more)
        for selector, budgets in scores.items()
        for iterations, scored in budgets.items()
        for seed, miou in enumerate(scored)
    ]


def only(records: list[dict[str, Any]]) -> Stability:
    (table,) = stability(gather(records))
    return table


def ranks(table: Stability) -> dict[str, list[int | None]]:
    """Selector → rank at each budget, in the order of the table."""
    return {
        next(iter(method.rows.values())).setting.selector.name: [method.ranks.get(b) for b in table.budgets]
        for method in table.methods
    }


THREE = {
    "a": {100: [30.0, 29.0], 300: [40.0, 38.0]},
    "b": {100: [20.0, 28.0], 300: [31.0, 39.0]},
    "c": {100: [19.0, 10.0], 300: [36.0, 37.0]},
}


def test_ranks_and_tau_by_hand() -> None:
    table = only(records(THREE))
    assert ranks(table) == {"a": [1, 1], "c": [3, 2], "b": [2, 3]}  # means 29.5 24 14.5 and 39 35 36.5
    (agreement,) = table.agreements
    assert (agreement.budgets, agreement.methods) == ((100, 300), 3)
    assert agreement.tau == pytest.approx(1 / 3)  # a > b and a > c stay, b > c turns
    assert agreement.by_repetition == pytest.approx((1 / 3, 1 / 3))  # repetition 1: a > c and b > c stay, a > b turns


def test_ties_are_those_of_tau_b() -> None:
    table = only(records({"a": {100: [1.0], 300: [1.0]}, "b": {100: [1.0], 300: [2.0]}, "c": {100: [2.0], 300: [3.0]}}))
    assert table.agreements[0].tau == pytest.approx(2 / (2 * 3) ** 0.5)  # two pairs agree, one is tied on one side
    assert ranks(table) == {"c": [1, 1], "b": [2, 2], "a": [2, 3]}


def test_only_repetitions_that_all_have_at_both_budgets_are_taken_one_by_one() -> None:
    fewer = {**THREE, "c": {100: [19.0, 10.0], 300: [36.0]}}
    assert len(only(records(fewer)).agreements[0].by_repetition) == 1


def test_full_is_shown_without_a_rank_and_the_converged_reference_makes_no_budget() -> None:
    full = records({"full": {100: [60.0], CONVERGED: [80.0]}})
    table = only(records(THREE) + full)
    assert table.budgets == (100, 300)
    assert ranks(table) == {"a": [1, 1], "c": [3, 2], "b": [2, 3], "full": [None, None]}
    assert table.methods[-1].rows[100].mean == 60.0


def test_a_method_that_lacks_a_budget_has_no_rank_but_counts_where_it_is() -> None:
    more = {**THREE, "d": {300: [99.0], 900: [99.0]}, "a": THREE["a"] | {900: [1.0]}, "b": THREE["b"] | {900: [2.0]}}
    table = only(records(more))
    assert ranks(table) == {"b": [2, 2, 1], "a": [1, 1, 2], "c": [None] * 3, "d": [None] * 3}
    assert [(a.budgets, a.methods) for a in table.agreements] == [((100, 300), 3), ((100, 900), 2), ((300, 900), 3)]


@pytest.mark.parametrize("other", [{"dataset": "camvid"}, {"arch": "deeplab"}, {"rate": 0.02}, {"lr": 0.1}])
def test_what_differs_in_more_than_iterations_is_another_table(other: dict[str, Any]) -> None:
    assert len(stability(gather(records(THREE) + records(THREE, **other)))) == 2
    apart = records({"a": {100: [1.0]}, "b": {100: [2.0]}}) + records({"a": {300: [1.0]}, "b": {300: [2.0]}}, **other)
    assert stability(gather(apart)) == []


def test_one_common_method_has_no_ranks() -> None:
    lone = records({"a": {100: [1.0], 300: [2.0]}, "b": {100: [1.0]}, "full": {100: [9.0], 300: [9.0]}})
    assert stability(gather(lone)) == []
    assert "Rank over training budgets" not in Markdown().render(lone)


def test_the_section() -> None:
    section = Markdown().render(records(THREE) + records({"full": {300: [60.0]}})).split("## Rank over")[1]
    caption, methods, taus = section.split("\n\n")[1:4]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in (methods + "\n" + taus).splitlines()]
    protocols = ", ".join(record(iterations=i)["spec"]["protocol_hash"][:8] for i in (100, 300))
    assert caption == f"On scenes, 1 %, unet, protocols {protocols}:"
    assert cells[0] == ["selector", "synth", "labels", "100", "300"]
    assert cells[2] == ["a", "real", "hard", "29.50 ± 0.71 (1)", "39.00 ± 1.41 (1)"]
    assert cells[5] == ["full", "real", "hard", "", "60.00"]
    assert cells[6] == ["iterations", "methods", "τ of the means", "τ of a repetition", "n"]
    assert cells[8] == ["100 and 300", "3", "0.33", "0.33 ± 0.00", "2"]
