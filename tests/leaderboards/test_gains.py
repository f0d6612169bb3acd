"""Where a gain comes from: by hand, by scipy's paired t test, and as the results were published."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_fakes import record
from scipy import stats

from d3s2bench.results.records import read_records
from d3s2bench_leaderboards.gains import PARTS, gains
from d3s2bench_leaderboards.markdown import Markdown
from d3s2bench_leaderboards.rows import gather

STUDY = Path(__file__).parents[2] / "leaderboards" / "scenes"
SCORES: dict[tuple[str, ...], list[float]] = {
    ("random", "real"): [10.0, 12.0, 14.0],
    ("random", "guided"): [11.0, 13.0, 18.0],
    ("balanced", "real"): [15.0, 15.0, 18.0],
    ("balanced", "layout"): [12.0, 14.0, 16.0],
    ("balanced", "guided"): [17.0, 20.0, 20.0],
    ("balanced", "real", "soft"): [21.0, 22.0, 26.0],
    ("balanced", "guided", "soft"): [22.0, 25.0, 28.0],
}
USED = {"real": {}, "layout": {"generator": "g"}, "guided": {"generator": "g", "teacher": "t"}}


def records(scores: dict[tuple[str, ...], Sequence[float]]) -> list[dict[str, Any]]:
    return [
        record(
            method[0],
            method[1],
            miou,
            seed,
            labels=labels,
            **USED[method[1]] | ({"teacher": "t"} if labels == "soft" else {}),
        )
        for method, scored in scores.items()
        for labels in [(*method, "hard")[2]]
        for seed, miou in enumerate(scored)
    ]


def parts(records: list[dict[str, Any]]) -> pd.DataFrame:
    return gains(gather(records))


def test_every_part_by_hand() -> None:
    table = parts(records(SCORES))
    (on_random,) = table[table.part == "on random masks"].to_dict("records")
    assert (
        on_random["mean"] == pytest.approx((1 + 1 + 4) / 3) and on_random["difference"] == "random+guided − random+real"
    )
    guided = table[(table.synth != "layout") & (table.selector != "random")].set_index("part")
    assert {part: line["mean"] for part, line in guided.iterrows()} == pytest.approx(
        {
            "selector": (5 + 3 + 4) / 3,
            "over layout": (5 + 6 + 4) / 3,
            "over the photographs": ((7 - 5) + (8 - 3) + (6 - 4)) / 3,
            "together": (7 + 8 + 6) / 3,
            "teacher alone": (6 + 7 + 8) / 3,
            "beyond the teacher": (-4 - 2 - 6) / 3,
            "beyond the teacher, soft labels": (1 + 3 + 2) / 3,
            "interaction": ((2 - 1) + (5 - 1) + (2 - 4)) / 3,
        }
    )
    assert guided["std"].loc["beyond the teacher"] == pytest.approx(2.0)
    assert guided.difference.loc["interaction"] == ("(balanced+guided − balanced+real) − (random+guided − random+real)")
    assert guided.difference.loc["teacher alone"] == "balanced+real soft − balanced+real"
    layout = table[table.synth == "layout"].set_index("part")["mean"]
    assert layout.loc["synthesizer"] == pytest.approx((-3 - 1 - 2) / 3)
    assert layout.loc["together"] == pytest.approx((2 + 2 + 2) / 3)
    assert "over layout" not in layout and "interaction" not in layout  # there is no random+layout


def test_the_interval_is_that_of_a_paired_t_test() -> None:
    line = parts(records(SCORES)).set_index(["part", "synth"]).loc[("together", "guided")]
    peer = stats.ttest_rel(SCORES["balanced", "guided"], SCORES["random", "real"]).confidence_interval(0.95)
    assert (line.low, line.high) == pytest.approx(tuple(peer))


def test_the_published_study() -> None:
    table = gains(gather(read_records(STUDY))).set_index(["rate", "arch", "part", "synth"])
    published = {  # docs/results.md
        (0.01, "unet", "selector", "real"): (5.22, 1.55),
        (0.01, "unet", "over layout", "guided"): (4.89, 0.66),
        (0.05, "unet", "over the photographs", "guided"): (-2.60, 0.41),
        (0.01, "deeplab", "over layout", "guided"): (3.52, 0.96),
        (0.01, "deeplab", "teacher alone", "real"): (6.45, 0.75),
    }
    for part, (mean, std) in published.items():
        line = table.loc[part]
        assert (line.n, round(line["mean"], 2), round(line["std"], 2)) == (10, mean, std)


@settings(max_examples=50)
@given(st.lists(st.tuples(*[st.floats(0, 100)] * 4), min_size=2, max_size=5))
def test_the_parts_sum_to_the_whole(scored: list[tuple[float, ...]]) -> None:
    methods = [("random", "real"), ("balanced", "real"), ("balanced", "layout"), ("balanced", "guided")]
    table = parts(records(dict(zip(methods, zip(*scored, strict=True), strict=True)))).set_index(["part", "synth"])
    steps = table.loc[[("selector", "real"), ("synthesizer", "layout"), ("over layout", "guided")], "mean"]
    assert steps.sum() == pytest.approx(table.loc[("together", "guided"), "mean"], abs=1e-9)


def test_selector_synthesizer_on_random_masks_and_interaction_sum_to_the_whole() -> None:
    """10, 14, 13 and 20: the selector 4, the synthesizer 3 on random masks, 3 more on chosen ones."""
    scored = {("random", "real"): 10.0, ("a", "real"): 14.0, ("random", "guided"): 13.0, ("a", "guided"): 20.0}
    found = parts(records({key: [score, score] for key, score in scored.items()})).set_index("part")["mean"]
    assert (found["selector"], found["on random masks"], found["interaction"], found["together"]) == (4, 3, 3, 10)


def test_only_common_repetitions_count_and_one_has_no_spread() -> None:
    table = parts(
        [record(miou=10.0, seed=s) for s in (0, 1, 2)]
        + [record("balanced", miou=m, seed=s) for s, m in [(1, 13.0), (2, 15.0), (7, 99.0)]]
        + [record("balanced", "guided", 20.0, seed=2)]
    ).set_index("part")
    assert (table.loc["selector", "n"], table.loc["selector", "mean"]) == (2, 4.0)
    assert (table.loc["together", "n"], table.loc["together", "mean"]) == (1, 10.0)
    assert table.loc["together", ["std", "low", "high"]].isna().all()
    assert parts([record(seed=0), record("balanced", seed=1)]).empty


def test_every_other_synthesizer_and_selector_has_its_own_split() -> None:
    scores = [("random", "real"), *((s, x) for s in ("balanced", "dfss") for x in ("real", "layout", "guided", "mine"))]
    table = parts([record(*method, miou=float(k + s), seed=s) for k, method in enumerate(scores) for s in (0, 1)])
    guidance = table[table.part == "over layout"]
    assert guidance[["selector", "synth"]].to_numpy().tolist() == [
        [selector, synth] for selector in ("balanced", "dfss") for synth in ("guided", "mine")
    ]
    for _, lines in table.groupby("selector"):
        assert lines.part.map(PARTS.index).is_monotonic_increasing


@pytest.mark.parametrize(
    "layout",
    [
        {"generator": "other", "synth_options": {"steps": 25}},
        {"generator": "g", "synth_options": {"steps": 50}},
        {"generator": "g", "synth_options": {"steps": 25}, "iterations": 600},
        {"generator": "g", "synth_options": {"steps": 25}, "rate": 0.02},
    ],
)
def test_guidance_is_measured_against_the_same_generator_and_sampling(layout: dict[str, Any]) -> None:
    options = {"steps": 25, "scale": 0.3}
    guided = record("balanced", "guided", 20.0, generator="g", teacher="t", synth_options=options)
    same = record("balanced", "layout", 15.0, generator="g", synth_options={"steps": 25})
    other = record("balanced", "layout", 11.0, **layout)
    assert parts([guided, other, same]).set_index("part").loc["over layout", "mean"] == 5.0
    assert "over layout" not in parts([guided, other]).part.tolist()


def test_what_another_teacher_gave_is_no_control() -> None:
    guided = [record("balanced", "guided", 20.0, teacher=t, generator="g") for t in ("one", "two")]
    soft = [record("balanced", miou=m, labels="soft", teacher=t) for t, m in [("one", 24.0), ("two", 26.0)]]
    beyond = parts([*guided, *soft])
    assert sorted(beyond[beyond.part == "beyond the teacher"]["mean"]) == [-6.0, -4.0]
    assert parts([guided[0], soft[1]]).empty


def test_the_section_needs_two_repetitions() -> None:
    once = [record(), record("balanced"), record("balanced", "guided")]
    assert "Where the gain comes from" not in Markdown().render(once)
    text = Markdown().render([*once, record(seed=1), record("balanced", miou=21.0, seed=1)])
    section = text.split("## Where the gain comes from\n\n")[1]
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.split("\n\n")[0].splitlines()[2:]
    ]
    assert [line[3:8] for line in lines] == [
        ["selector", "balanced+real − random+real", "2", "+0.50 ± 0.71", "-5.85 to +6.85"]  # 12.706 × 0.5
    ]
    assert "paired over n repetitions" in section and "choice of the test" in section
