"""Class-balanced selection: by hand, against a plain loop over its definition, and in its properties."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from selector_fakes import context, index_of

from d3s2bench import Budget, ConfigError, Context, MaskIndex, Selection
from d3s2bench_selectors import submodular
from d3s2bench_selectors.balanced import Balanced

NO_IMAGES: Context = context([])
PLAIN: dict[str, Any] = {"min_pixels": 1, "min_share": 0.0, "area_reference": 0.5}
SUBMODULAR: dict[str, Any] = PLAIN | {"rule": "submodular"}


def choose(index: MaskIndex, images: int, **options: Any) -> Selection:
    return Balanced(**options).select(index, Budget(images, len(index), images / len(index)), NO_IMAGES)


def test_by_hand() -> None:
    index = index_of([[100, 0, 0], [60, 40, 0], [90, 0, 10], [50, 50, 0], [20, 30, 50]])
    chosen = choose(index, 5, **PLAIN)
    # 1: all n = 0; shown by 5, 3, 2 masks -> class 2. Gains: mask 2: 1 + .2; mask 4: .4 + .6 + 1 -> mask 4.
    # 2: all n = 1 -> class 2 again, of which mask 2 is left; its gain is (1 + .2) / 2.
    # 3: n = 2, 1, 2 -> class 1. Mask 1: 1/3 + .8/2; mask 3: 1/3 + 1/2 -> mask 3.
    # 4: n = 3, 2, 2; class 2 is used up -> class 1: mask 1: 1/4 + .8/3.
    # 5: only class 0 is left: mask 0: 1/5.
    assert chosen.indices.tolist() == [4, 2, 3, 1, 0]
    assert chosen.scores == pytest.approx([2.0, 0.6, 1 / 3 + 1 / 2, 1 / 4 + 0.8 / 3, 1 / 5])


def test_ties_go_to_the_lowest_class_and_the_lowest_mask() -> None:
    index = index_of([[0, 9], [9, 0], [0, 9], [9, 0]])
    assert choose(index, 4, **PLAIN).indices.tolist() == [1, 0, 3, 2]


def test_counting_pixels_goes_on_with_the_class_of_small_area() -> None:
    # After masks 0 and 2 each class has been shown once, but class 1 by a tenth of the area.
    index = MaskIndex(np.array([[100, 0], [100, 0], [0, 10], [0, 10], [0, 10]]), np.full(5, 100))
    assert choose(index, 4, **PLAIN).indices.tolist() == [0, 2, 1, 3]
    assert choose(index, 4, **PLAIN, count_by="pixels").indices.tolist() == [0, 2, 3, 4]


def test_a_speck_does_not_show_a_class() -> None:
    index = MaskIndex(np.array([[990, 10], [900, 100]]), np.array([1000, 1000]))
    assert choose(index, 1, min_pixels=11, min_share=0.0).indices.tolist() == [1]
    assert choose(index, 1, min_pixels=1, min_share=0.05).indices.tolist() == [1]


def test_masks_that_show_nothing_come_last_and_those_with_most_labels_first() -> None:
    index = MaskIndex(np.array([[0, 0], [3, 0], [50, 0], [5, 0]]), np.full(4, 100))
    chosen = choose(index, 4, min_pixels=10)
    assert chosen.indices.tolist() == [2, 3, 1, 0]
    assert chosen.scores is not None and chosen.scores[1:].tolist() == [0, 0, 0]


def test_covers_more_classes_of_a_long_tail_than_random() -> None:
    draw = np.random.default_rng(0)
    shown = draw.random((2000, 40)) < 0.5 / np.arange(1, 41) ** 1.5
    index = index_of(shown * draw.integers(100, 1000, shown.shape), ignored=10)
    coverable = shown.any(axis=0).sum()
    assert shown[choose(index, 40, min_share=0.0).indices].any(axis=0).sum() == coverable
    at_random = [shown[np.random.default_rng(seed).choice(2000, 40, replace=False)].any(axis=0) for seed in range(20)]
    assert max(covered.sum() for covered in at_random) < coverable


@pytest.mark.parametrize(
    "wrong",
    [{"count_by": "masks"}, {"area_reference": 0.0}, {"gamma": -1.0}, {"rule": "greedy"}, {"concave": "square"}],
)
def test_wrong_options(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="selector balanced"):
        Balanced(**wrong)


def by_definition(index: MaskIndex, images: int, by_pixels: bool, gamma: float) -> list[int]:
    """The docstring's three steps, one mask and one class at a time."""
    classes, unused = range(index.num_classes), list(range(len(index)))
    shows = index.counts > 0
    area = index.counts / (0.5 * np.maximum(index.pixels, 1))[:, None]
    n = np.zeros(index.num_classes)
    chosen: list[int] = []
    while len(chosen) < images:
        coverable = [c for c in classes if any(shows[i, c] for i in unused)]
        if coverable:
            c = min(coverable, key=lambda c: (n[c], shows[:, c].sum(), c))
            gain = {i: (np.minimum(area[i], 1) * (1 + n) ** -gamma).sum() for i in unused if shows[i, c]}
            best = min(gain, key=lambda i: (-gain[i], i))
        else:
            best = unused[0]
        n += area[best] if by_pixels else shows[best]
        unused.remove(best)
        chosen.append(best)
    return chosen


COUNTS = st.tuples(st.integers(1, 90), st.integers(1, 6)).flatmap(
    lambda shape: arrays(np.int64, shape, elements=st.sampled_from([0, 0, 0, 1, 7, 50]))
)


@given(COUNTS, st.booleans(), st.sampled_from([0.0, 1.0, 2.5]), st.data())
def test_lazy_choice_is_the_plain_one(counts: np.ndarray, by_pixels: bool, gamma: float, data: st.DataObject) -> None:
    index = index_of(counts, ignored=3)
    images = data.draw(st.integers(1, len(index)))
    chosen = choose(index, images, **PLAIN, gamma=gamma, count_by="pixels" if by_pixels else "images")
    assert chosen.indices.tolist() == by_definition(index, images, by_pixels, gamma)


def test_gamma_says_how_much_less_a_class_counts_that_is_shown_already() -> None:
    """Mask 0 shows the rarest class, 0, best. Then class 1: mask 1 has .3 and .5 of class 0 again, mask 2 .4 and .2."""
    index = MaskIndex(np.array([[100, 0, 0], [50, 30, 0], [0, 40, 20], [0, 10, 10], [0, 0, 10]]), np.full(5, 100))
    plain = PLAIN | {"area_reference": 1.0}
    chosen = {gamma: choose(index, 2, **plain, gamma=gamma) for gamma in (0.0, 1.0, 2.0)}
    assert {gamma: each.indices.tolist() for gamma, each in chosen.items()} == {0.0: [0, 1], 1.0: [0, 2], 2.0: [0, 2]}
    assert chosen[0.0].scores == pytest.approx([1, 0.8]) and chosen[1.0].scores == pytest.approx([1, 0.6])


@pytest.mark.parametrize("count_by", ["images", "pixels"])
def test_lazy_choice_is_the_plain_one_over_many_blocks(count_by: str) -> None:
    draw = np.random.default_rng(4)
    index = index_of(draw.integers(0, 50, (600, 3)) * (draw.random((600, 3)) < 0.7), ignored=3)
    chosen = choose(index, 150, **PLAIN, count_by=count_by)
    assert chosen.indices.tolist() == by_definition(index, 150, count_by == "pixels", 1.0)


@given(st.integers(0, 1000))
def test_renaming_the_classes_changes_nothing_without_ties(seed: int) -> None:
    draw = np.random.default_rng(seed)
    shown = np.tril(np.ones((12, 6), bool), -3)  # class c is shown by 9 − c masks: no two classes are equally rare
    index = index_of(shown * draw.integers(1, 10**6, shown.shape), ignored=1)
    order = draw.permutation(6)
    renamed = MaskIndex(index.counts[:, order], index.pixels)
    assert choose(renamed, 12, **PLAIN).indices.tolist() == choose(index, 12, **PLAIN).indices.tolist()


def test_submodular_by_hand() -> None:
    index = index_of([[9, 0, 0], [9, 9, 0], [0, 9, 9], [9, 9, 0], [0, 0, 0], [0, 0, 0]], ignored=1)
    chosen = choose(index, 6, **SUBMODULAR)
    # Masks 1, 2 and 3 gain 2 and 1 is the first. Then n = 1, 1, 0: mask 2 gains 1 + (√2 − 1), mask 3 2 (√2 − 1).
    # n = 1, 2, 1: mask 0 gains √2 − 1, mask 3 √3 − √2 more. n = 2, 3, 1: mask 0 is left; the empty ones come last.
    assert chosen.indices.tolist() == [1, 2, 3, 0, 4, 5]
    two, three = np.sqrt(2), np.sqrt(3)
    assert chosen.scores == pytest.approx([2, two, three - 1, three - two, 0, 0])
    by_log = choose(index, 2, **SUBMODULAR, concave="log1p")
    assert by_log.scores == pytest.approx([2 * np.log(2), np.log(2) + np.log(3 / 2)])


def test_submodular_counts_pixels_in_units_of_the_reference_area() -> None:
    index = MaskIndex(np.array([[100, 0], [50, 8], [0, 72]]), np.full(3, 200))
    chosen = choose(index, 3, **SUBMODULAR, count_by="pixels")  # shares over a half: 1, 0; 0.5, 0.08; 0, 0.72
    assert chosen.indices.tolist() == [0, 2, 1]
    assert chosen.scores == pytest.approx([1, np.sqrt(0.72), np.sqrt(1.5) - 1 + np.sqrt(0.8) - np.sqrt(0.72)], abs=1e-8)


def plain_greedy(features: np.ndarray, concave: str, images: int) -> list[int]:
    """Every gain of every step; the first of the largest."""
    g = {"sqrt": np.sqrt, "log1p": np.log1p}[concave]
    reached, chosen = np.zeros(features.shape[1]), list[int]()
    for _ in range(images):
        gains = np.round((g(reached + features) - g(reached)).sum(axis=1), 9)
        gains[chosen] = -1
        chosen.append(int(gains.argmax()))
        reached = reached + features[chosen[-1]]
    return chosen


@given(COUNTS, st.sampled_from(["sqrt", "log1p"]), st.booleans(), st.sampled_from([(1, 1), (3, 2), (2048, 64)]))
def test_lazy_submodular_choice_is_the_plain_one(
    counts: np.ndarray, concave: str, by_pixels: bool, sizes: tuple[int, int]
) -> None:
    index = index_of(counts, ignored=3)
    features = counts / (0.5 * index.pixels)[:, None] if by_pixels else (counts > 0).astype(float)
    images = int((counts > 0).any(axis=1).sum())  # what shows no class is not chosen for its gain
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(submodular, "SHORTLIST", sizes[0])
        patch.setattr(submodular, "BLOCK", sizes[1])
        count_by = "pixels" if by_pixels else "images"
        chosen = choose(index, len(index), **SUBMODULAR, concave=concave, count_by=count_by)
    assert chosen.indices[:images].tolist() == plain_greedy(features, concave, images)


@pytest.mark.parametrize("concave", ["sqrt", "log1p"])
def test_lazy_submodular_choice_is_the_plain_one_beyond_the_shortlist(concave: str) -> None:
    shows = np.random.default_rng(7).random((6000, 12)) < 0.9 / np.arange(1, 13)
    chosen = choose(index_of(shows, ignored=1), 60, **SUBMODULAR, concave=concave)
    assert chosen.indices.tolist() == plain_greedy(shows, concave, 60)


@given(st.integers(0, 10**6), st.integers(1, 4), st.sampled_from(["sqrt", "log1p"]))
def test_submodular_reaches_its_share_of_the_best(seed: int, images: int, concave: str) -> None:
    shows = np.random.default_rng(seed).random((9, 5)) < 0.4
    g = {"sqrt": np.sqrt, "log1p": np.log1p}[concave]
    best = max(g(shows[list(some)].sum(axis=0)).sum() for some in combinations(range(9), images))
    chosen = choose(index_of(shows, ignored=1), images, **SUBMODULAR, concave=concave)
    assert chosen.scores is not None
    assert chosen.scores.sum() == pytest.approx(g(shows[chosen.indices].sum(axis=0)).sum())
    assert chosen.scores.sum() >= (1 - 1 / np.e) * best - 1e-6


@pytest.mark.slow  # the peer compiles itself first
@pytest.mark.parametrize(("ours", "theirs"), [("sqrt", "sqrt"), ("log1p", "log")])
def test_submodular_is_that_of_apricot(ours: str, theirs: str) -> None:
    apricot = pytest.importorskip("apricot")
    counts = np.random.default_rng(1).integers(1, 10**6, (300, 7)) * (np.random.default_rng(2).random((300, 7)) < 0.5)
    index = index_of(counts, ignored=1)
    features = counts / (0.5 * index.pixels)[:, None]
    peer = apricot.FeatureBasedSelection(40, concave_func=theirs, optimizer="lazy").fit(features)
    chosen = choose(index, 40, **SUBMODULAR, count_by="pixels", concave=ours)
    assert chosen.indices.tolist() == peer.ranking.tolist()
    assert chosen.scores == pytest.approx(peer.gains, abs=1e-8)
