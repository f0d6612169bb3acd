"""The measures of distilled sets beside the mIoU: means over different sets, by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
from record_fakes import digest, record

from d3s2bench_leaderboards.markdown import Markdown
from d3s2bench_leaderboards.quality import qualities
from d3s2bench_leaderboards.rows import gather


def measured(seed: int, key: str, judge_miou: float, diversity: float | None = 1.0, **given: Any) -> dict[str, Any]:
    quality = {"key": digest(key), "judge_accuracy": 80.0, "judge_miou": judge_miou, "feature_distance": 0.25}
    return record("balanced", "guided", 30.0 + seed, seed, **given) | {"quality": quality | {"diversity": diversity}}


def test_mean_and_spread_over_the_sets() -> None:
    (found,) = qualities(gather([measured(0, "a", 40.0), measured(1, "b", 44.0), record("balanced", "guided", 5.0, 2)]))
    assert found.measures["judge_miou"] == pytest.approx((42.0, math.sqrt(8)))
    assert found.row.mean == pytest.approx((30 + 31 + 5) / 3)
    assert math.isnan(found.measures["nearest_rmse_min"][0])


def test_a_set_that_all_repetitions_share_counts_once() -> None:
    (found,) = qualities(gather([measured(seed, "same", 40.0) for seed in range(3)]))
    assert found.measures["judge_miou"][0] == 40.0
    assert math.isnan(found.measures["judge_miou"][1])


def test_what_is_not_known_is_no_zero() -> None:
    (found,) = qualities(gather([measured(0, "a", 40.0, None), measured(1, "b", 40.0, 0.5)]))
    assert found.measures["diversity"][0] == 0.5


def test_the_nearest_of_all_is_the_least_over_all_sets() -> None:
    near = [(0, "a", 8.0), (1, "b", 3.0), (2, "c", 5.0)]
    records = [measured(seed, key, 40.0) for seed, key, _ in near]
    for one, (*_, least) in zip(records, near, strict=True):
        one["quality"]["nearest_rmse_min"] = least
    (found,) = qualities(gather(records))
    assert found.measures["nearest_rmse_min"] == pytest.approx((3.0, math.nan), nan_ok=True)


def test_the_section_is_there_when_something_was_measured() -> None:
    table = Markdown().render([measured(0, "a", 40.0), record(miou=20.0)])
    section = table.split("## Quality of the distilled sets")[1]
    assert "| guided" in section
    assert "40.00" in section
    assert "random" not in section.split("judge: agreement")[0], "its sets were not measured"
    assert "Quality" not in Markdown().render([record(miou=20.0)])
