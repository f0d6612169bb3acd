"""Random selection: uniform, and in proportion to the classes where it is stratified."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from selector_fakes import context, index_of

from d3s2bench import Budget, ConfigError, MaskIndex
from d3s2bench_selectors.random import Random


def draw(index: MaskIndex, images: int, seed: int, stratify: str = "presence") -> list[int]:
    budget = Budget(images, len(index), images / len(index))
    return Random(stratify).select(index, budget, context([], seed=seed)).indices.tolist()


def test_unstratified_is_numpys_choice() -> None:
    index = index_of(np.eye(50))
    for seed in range(5):
        assert draw(index, 7, seed, "none") == np.random.default_rng(seed).choice(50, 7, replace=False).tolist()


@pytest.mark.parametrize("stratify", ["none", "presence"])
def test_every_image_is_as_likely_as_any_other_of_its_kind(stratify: str) -> None:
    index = index_of(np.repeat([[1, 0], [0, 1]], [4, 6], axis=0))
    hits = np.zeros(10)
    for seed in range(1000):
        hits[draw(index, 5, seed, stratify)] += 1
    assert abs(hits - 500).max() < 5 * np.sqrt(1000 * 0.5 * 0.5)


@given(st.integers(0, 2**32), st.permutations([0] * 40 + [1] * 20 + [2] * 10))
def test_one_class_each_gives_exact_proportions(seed: int, classes: list[int]) -> None:
    index = index_of(np.eye(3)[classes])
    assert np.bincount(np.array(classes)[draw(index, 14, seed)]).tolist() == [8, 4, 2]


def test_of_a_class_that_wishes_for_less_than_half_an_image_none_is_taken() -> None:
    index = index_of(np.eye(2)[[0] * 100 + [1] * 4])
    for seed in range(10):
        assert max(draw(index, 10, seed)) < 100  # 4 · 10 / 104 = 0.38
        assert max(draw(index, 20, seed)) >= 100  # 0.77


def test_images_without_a_label_fill_the_rest() -> None:
    index = index_of(np.repeat([[1], [0]], [10, 30], axis=0), ignored=1)
    for seed in range(5):
        assert sum(i < 10 for i in draw(index, 8, seed)) == 2


def test_frequencies_of_many_labels_stray_less_than_at_random() -> None:
    generator = np.random.default_rng(0)
    shows = generator.random((1000, 20)) < 0.6 / np.arange(1, 21)
    index, wanted = index_of(shows), shows.mean(axis=0)

    def strays(stratify: str) -> float:
        subsets = [draw(index, 50, seed, stratify) for seed in range(20)]
        return float(np.mean([abs(shows[subset].mean(axis=0) - wanted).mean() for subset in subsets]))

    assert strays("presence") < 0.5 * strays("none")


SHOWN = st.tuples(st.integers(1, 40), st.integers(1, 6)).flatmap(lambda shape: arrays(np.int64, shape))


@given(SHOWN, st.data())
def test_always_exactly_the_budget(counts: np.ndarray, data: st.DataObject) -> None:
    images = data.draw(st.integers(1, len(counts)))
    chosen = draw(index_of(counts % 2), images, data.draw(st.integers(0, 9)))
    assert len(chosen) == len(set(chosen)) == images
    assert set(chosen) <= set(range(len(counts)))


def test_unknown_strata() -> None:
    with pytest.raises(ConfigError, match="stratify is 'pixels': give one of none, presence"):
        Random("pixels")
