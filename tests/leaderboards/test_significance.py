"""p values, ranks and intervals against enumeration, peer libraries and the published records."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_fakes import record
from scipy import stats

from d3s2bench import StoreError, scores
from d3s2bench.results.records import read_records
from d3s2bench_leaderboards import bootstrap
from d3s2bench_leaderboards.bootstrap import CountsFolder, difference_interval, margins, miou
from d3s2bench_leaderboards.comparisons import podium, with_random
from d3s2bench_leaderboards.controls import Controls, differences
from d3s2bench_leaderboards.rows import gather
from d3s2bench_leaderboards.significance import average_ranks, holm, improvement, noise_floor, resolution, sign_flip

STUDY = Path(__file__).parents[2] / "leaderboards" / "scenes"


@pytest.mark.parametrize(
    ("gaps", "p"),
    [
        ([1, 2, 3, 4, 5], 2 / 32),  # all of one sign
        ([1, 1, -1], 1.0),  # every assignment sums to 1 or 3
        ([3, 2, -1], 4 / 8),  # ±6 and ±4
        ([0.1, 0.2, -0.3], 1.0),  # sums to 0 but for rounding
        ([0, 0], 1.0),
        ([5], 1.0),
    ],
)
def test_sign_flip_by_hand(gaps: list[float], p: float) -> None:
    assert sign_flip(gaps) == p


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=8))
def test_sign_flip_enumerates_all_signs(thousandths: list[int]) -> None:
    sums = [0]
    for step in thousandths:
        sums = [total + sign * step for total in sums for sign in (1, -1)]
    p = sum(abs(total) >= abs(sums[0]) for total in sums) / len(sums)
    assert sign_flip([step / 1000 for step in thousandths]) == p


@pytest.mark.parametrize("n", [2, 5, 10])
def test_sign_flip_is_scipys(n: int) -> None:
    gaps = np.random.default_rng(n).normal(0.4, 1, n)
    peer = stats.permutation_test((gaps,), np.sum, permutation_type="samples", n_resamples=np.inf, vectorized=True)
    assert sign_flip(gaps.tolist()) == pytest.approx(peer.pvalue, abs=1e-12)


def test_sign_flip_of_many_is_close_to_the_exact_one() -> None:
    gaps = [9, -4, 7, 3, -2, 8, 1, -6, 5, 5, 4, -3, 2, 6, -1, 7, -5, 3, 2, -2]
    sums = Counter({0: 1})
    for gap in gaps:
        sums = sum((Counter({total + sign * gap: n for total, n in sums.items()}) for sign in (1, -1)), Counter())
    p = sum(n for total, n in sums.items() if abs(total) >= sum(gaps)) / 2**20
    assert sign_flip(gaps) == pytest.approx(p, rel=0.05)
    assert sign_flip([1.0] * 40) == resolution(40)


def test_sign_flip_without_numbers_says_nothing() -> None:
    assert all(math.isnan(sign_flip(gaps)) for gaps in ([], [math.nan, 1], [math.inf, 1], [1e308, 1e308]))


def test_resolution_is_reached_and_never_passed() -> None:
    assert [resolution(n) for n in (5, 10)] == [0.0625, 0.001953125]
    assert all(sign_flip([1.0 + k for k in range(n)]) == resolution(n) for n in range(1, 17))


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == [] and holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([0.01, math.nan, 0.04]) == pytest.approx([0.02, math.nan, 0.04], nan_ok=True)


def test_holm_is_statsmodels() -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    p = np.random.default_rng(0).random(50) ** 3
    assert holm(p.tolist()) == pytest.approx(multitest.multipletests(p, method="holm")[1])


def test_improvement_counts_pairs() -> None:
    a, b = [3.0, 5.0, 5.0], [4.0, 5.0]
    assert improvement(a, b) == (2 + 2 * 0.5) / 6
    assert improvement(a, b) == stats.mannwhitneyu(a, b).statistic / 6
    assert math.isnan(improvement([], [1.0])) and math.isnan(improvement([math.nan], [1.0]))


def test_average_ranks_are_of_complete_rows() -> None:
    means = pd.DataFrame({"x": [3.0, 1.0, 9.0, 3.0], "y": [1.0, 3.0, math.nan, 2.0]}, index=list("abcd"))
    assert average_ranks(means).to_dict() == pytest.approx(
        {"a": (1.5 + 3) / 2, "b": (3 + 1) / 2, "c": math.nan, "d": (1.5 + 2) / 2}, nan_ok=True
    )


def test_noise_floor_pools_what_varies_in_the_training_seed_alone() -> None:
    quiet = [record("balanced", miou=m, seed=s) for s, m in enumerate([10.0, 12.0])]
    loud = [record("dfss", miou=m, seed=s) for s, m in enumerate([10.0, 14.0, 18.0])]
    other = [record("random", miou=m, seed=s) for s, m in enumerate([10.0, 90.0])]
    assert noise_floor(gather(quiet + loud + other)) == pytest.approx(math.sqrt((1 * 2 + 2 * 16) / 3))
    assert math.isnan(noise_floor(gather(other)))


def test_noise_floor_leaves_the_full_train_set_out() -> None:
    quiet = [record("balanced", miou=m, seed=s) for s, m in enumerate([10.0, 12.0, 11.0])]
    full = [record("full", miou=m, seed=s) for s, m in enumerate([40.0, 50.0, 60.0])]
    assert noise_floor(gather(quiet + full)) == noise_floor(gather(quiet)) == 1


def method(name: str, *miou: float) -> list[dict[str, Any]]:
    return [record(name, miou=m, seed=s) for s, m in enumerate(miou)]


def test_podium_needs_repetitions_that_could_tell() -> None:
    few = podium(gather(method("a", *[9.0] * 5) + method("b", *[7.0] * 5)))
    assert not few.best and few.second is None and few.least_p == 0.0625
    close = [9.5, 8.4] * 5
    enough = podium(
        gather(method("a", *[9.0] * 10) + method("b", *close) + method("c", *[7.0] * 10) + method("d", 8.5))
    )
    assert {setting.selector.name for setting in enough.best} == {"a", "b"}  # d has one repetition: nothing is known
    assert enough.second is not None and enough.second.selector.name == "b" and enough.least_p is None


def test_what_cannot_be_tested_is_no_comparison() -> None:
    """c shares no repetition with the best: one comparison is left, of five."""
    apart = [record("c", miou=6.0, seed=s) for s in range(7, 9)]
    rows = gather([*method("a", *[9.0] * 5), *method("b", *[7.0] * 5), *apart])
    assert podium(rows).least_p == 0.0625


def test_what_holm_rejects_differs_though_it_has_few_repetitions() -> None:
    """The first of the two has p = 2/2^10, so that the second, 2/2^6, is corrected for itself alone."""
    rows = gather([*method("random", *[5.0] * 10), *method("a", *[6.0] * 10), *method("b", *[7.0] * 6)])
    tests = {test.row.setting.selector.name: test for test in with_random(rows, Controls(rows))}
    assert tests["b"].corrected == 0.03125 and tests["b"].different


def test_the_least_p_holds_though_some_have_more_repetitions() -> None:
    """Behind c with its 10, b with 6 of one sign is corrected for a and itself: 2 × 2/2^6. a, with 5, for itself."""
    few = [*method("random", *[5.0] * 10), *method("a", *[6.0] * 5), *method("b", *[7.0] * 6)]
    rows = gather([*few, *method("c", *[9.0] * 10)])
    tests = {test.row.setting.selector.name: test for test in with_random(rows, Controls(rows))}
    assert {name: (test.least, test.corrected) for name, test in tests.items()} == {
        "a": (0.0625, 0.0625),
        "b": (0.0625, 0.0625),
        "c": (3 * 2**-9, 3 * 2**-9),
    }


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(-3, 3), min_size=1, max_size=9), min_size=1, max_size=5))
def test_no_corrected_p_is_under_the_least(gaps: list[list[int]]) -> None:
    every = [method(f"m{k}", *(5.0 + gap for gap in each)) for k, each in enumerate(gaps)]
    rows = gather([*method("random", *[5.0] * 9), *(one for each in every for one in each)])
    assert all(test.corrected >= test.least for test in with_random(rows, Controls(rows)))


def test_nothing_is_bold_beside_a_best_with_one_repetition() -> None:
    rows = gather(method("a", 9.0) + method("b", *[7.0] * 10))
    assert not podium(rows).best and podium(rows).least_p == 1


def test_a_score_that_is_no_number_does_not_compete() -> None:
    rows = gather(method("a", *[9.0] * 10) + method("b", *[7.0] * 10) + method("c", *[math.nan] * 10))
    assert [setting.selector.name for setting in podium(rows).best] == ["a"]


def test_a_family_is_corrected_for_its_size() -> None:
    """With 6 repetitions one comparison reaches 0.03, two reach 0.06."""
    rows = gather([*method("random", *[5.0] * 6), *method("a", *[6.0] * 6)])
    assert [test.different for test in with_random(rows, Controls(rows))] == [True]
    rows = gather([*method("random", *[5.0] * 6), *method("a", *[6.0] * 6), *method("b", *[7.0] * 6)])
    assert [(test.corrected, test.enough) for test in with_random(rows, Controls(rows))] == [(0.0625, False)] * 2


def counts(repetitions: int, images: int, classes: int = 3, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 50, (repetitions, images, classes, classes))


def test_miou_of_margins_is_the_one_score() -> None:
    confusion = counts(4, 5)
    confusion[:, :, 1] = 0  # without ground truth, but predicted
    assert miou(margins(confusion).sum(axis=1)) == pytest.approx([scores(c)["miou"] for c in confusion.sum(axis=1)])
    assert math.isnan(miou(np.zeros((3, 4))))


def test_interval_over_test_images_is_scipys() -> None:
    a, b = counts(1, 40, seed=1), counts(1, 40, seed=2)

    def gap(drawn: Any) -> float:
        return scores(a[0, drawn].sum(axis=0))["miou"] - scores(b[0, drawn].sum(axis=0))["miou"]

    peer = stats.bootstrap((np.arange(40),), gap, n_resamples=2000, vectorized=False, method="percentile", rng=0)
    ours = difference_interval(margins(a), margins(b), resamples=2000)
    width = ours.high - ours.low
    assert abs(ours.low - peer.confidence_interval.low) < 0.1 * width
    assert abs(ours.high - peer.confidence_interval.high) < 0.1 * width


def test_interval_over_repetitions_is_scipys() -> None:
    """With one test image only the repetitions are drawn. The percentiles are those of Hesterberg 2015, § 3.3."""
    a, b = margins(counts(8, 1, seed=1)), margins(counts(8, 1, seed=2))
    gaps = miou(a[:, 0]) - miou(b[:, 0])
    level = 1 - 2 * stats.norm.cdf(-stats.t.ppf(0.975, 7) * math.sqrt(8 / 7))
    peer = stats.bootstrap((gaps,), np.mean, n_resamples=4000, confidence_level=level, method="percentile", rng=0)
    low, high = peer.confidence_interval
    ours = difference_interval(a, b, resamples=4000)
    assert (ours.low, ours.high) == pytest.approx((low, high), abs=0.08 * (high - low))


@pytest.mark.parametrize("n", [2, 3, 4, 5, 8, 10])
def test_interval_over_repetitions_is_as_wide_as_that_of_t(n: int) -> None:
    """Of two repetitions there are three resamples only."""
    a, b = margins(counts(n, 1, seed=1)), margins(counts(n, 1, seed=2))
    gaps = miou(a[:, 0]) - miou(b[:, 0])
    low, high = stats.ttest_1samp(gaps, 0).confidence_interval(0.95)
    ours = difference_interval(a, b, resamples=4000)
    assert ours.high - ours.low == pytest.approx(high - low, rel=0.12 if n > 2 else 0.3)
    assert ours.low < gaps.mean() < ours.high


def test_interval_over_both_is_that_of_two_loops() -> None:
    """Repetitions and images are drawn apart; all repetitions of a resample have the same images."""
    repetitions, images = 6, 12
    a, b = counts(repetitions, images, seed=1), counts(repetitions, images, seed=2)
    b[:, :, :, 0] += np.arange(images)[:, None] * 9  # some images are hard for b in every repetition

    def gap(r: int, drawn: Any) -> float:
        return scores(a[r, drawn].sum(axis=0))["miou"] - scores(b[r, drawn].sum(axis=0))["miou"]

    rng, found = np.random.default_rng(5), []
    for _ in range(1500):
        drawn = rng.integers(images, size=images)
        found.append(np.mean([gap(r, drawn) for r in rng.integers(repetitions, size=repetitions)]))
    centre = np.mean([gap(r, np.arange(images)) for r in range(repetitions)])
    stretch = stats.t.ppf(0.975, repetitions - 1) * math.sqrt(repetitions / (repetitions - 1)) / stats.norm.ppf(0.975)
    low, high = centre + stretch * (np.quantile(found, [0.025, 0.975]) - centre)
    ours = difference_interval(margins(a), margins(b), resamples=4000)
    assert (ours.low, ours.high) == pytest.approx((low, high), abs=0.08 * (high - low))


def test_neighbouring_images_are_drawn_together() -> None:
    """A video of still scenes, ten frames each, says no more than one frame of each does."""
    scenes = counts(1, 24, seed=1), counts(1, 24, seed=2)
    frames = [margins(np.repeat(scene, 10, axis=1)) for scene in scenes]
    honest = difference_interval(*map(margins, scenes))
    alone, together = (difference_interval(*frames, block=block) for block in (1, 20))
    assert alone.high - alone.low < 0.4 * (honest.high - honest.low)
    assert together.high - together.low == pytest.approx(honest.high - honest.low, rel=0.25)
    whole = difference_interval(*frames, block=240)
    a, b = (miou(each.sum(axis=1)).item() for each in frames)
    assert (whole.low, whole.high) == pytest.approx((a - b, a - b))


def test_interval_pairs_the_test_images() -> None:
    """Two methods with the same counts do not differ, whichever images are drawn."""
    a = margins(counts(3, 20))
    ours = difference_interval(a, a, resamples=50)
    assert (ours.low, ours.high) == (0, 0)


def test_interval_is_seeded_and_leaves_out_resamples_without_a_label(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = counts(2, 2, seed=1), counts(2, 2, seed=2)
    a[:, 1] = b[:, 1] = 0  # one image of two is ignored altogether
    first, second = (difference_interval(margins(a), margins(b), resamples=200) for _ in range(2))
    assert first == second and math.isfinite(first.low)
    with pytest.raises(StoreError, match="do not pair"):
        difference_interval(margins(a), margins(counts(2, 3)))
    monkeypatch.setattr(bootstrap, "MEMORY", 1)
    assert math.isfinite(difference_interval(margins(a), margins(b), resamples=20).low)


def test_interval_of_published_counts_holds_the_published_difference() -> None:
    rows = gather(
        record for record in read_records(STUDY) if (record["spec"]["rate"], record["spec"]["arch"]) == (0.01, "unet")
    )
    found = with_random(rows, Controls(rows))
    (test,) = (t for t in found if t.row.setting.synth.name == "guided" and 5 < t.mean < 6)
    found = CountsFolder(STUDY).interval(test.row, test.other, resamples=200)
    assert found.low < test.mean < found.high and found.low > 0
    assert (
        test.n == 10
        and test.p == resolution(10)
        and test.mean == pytest.approx(sum(differences(test.row, test.other)) / 10)
    )


def test_missing_counts_are_named(tmp_path: Path) -> None:
    rows = gather([*method("random", 1.0, 2.0), *method("a", 2.0, 3.0)])
    with pytest.raises(StoreError, match=r"counts\.npz.*missing"):
        CountsFolder(tmp_path).interval(rows[0], rows[1], resamples=10)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 100), min_size=2, max_size=12))
def test_mean_and_spread_are_numpys(values: list[float]) -> None:
    (row,) = gather([record(miou=value, seed=seed) for seed, value in enumerate(values)])
    assert row.mean == pytest.approx(np.mean(values)) and row.std == pytest.approx(np.std(values, ddof=1), abs=1e-9)


def test_ranks_are_scipys() -> None:
    means = np.random.default_rng(0).integers(0, 4, (6, 3)).astype(float)  # with ties
    peer = stats.rankdata(-means, axis=0).mean(axis=1)
    assert average_ranks(pd.DataFrame(means)).tolist() == pytest.approx(peer.tolist())


def test_noise_floor_is_the_residual_of_an_analysis_of_variance() -> None:
    linear_model = pytest.importorskip("statsmodels.api")
    groups = {"balanced": [5.0, 6.0, 9.0], "dfss": [1.0, 1.5], "k-center": [7.0, 7.5, 8.0, 9.5]}
    scores_of = [(k, value) for k, values in enumerate(groups.values()) for value in values]
    design = np.eye(3)[[k for k, _ in scores_of]]
    peer = linear_model.OLS([value for _, value in scores_of], design).fit()
    rows = gather([record(name, miou=v, seed=s) for name, values in groups.items() for s, v in enumerate(values)])
    assert noise_floor(rows) == pytest.approx(math.sqrt(peer.mse_resid))
