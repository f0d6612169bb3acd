"""Label complexity and class balance: by hand, and against scipy's entropy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import entropy
from selector_fakes import context, index_of

from d3s2bench import Budget, Context, MaskIndex, Selection
from d3s2bench_selectors.class_balance import ClassBalance
from d3s2bench_selectors.label_complexity import LabelComplexity

NO_IMAGES: Context = context([])
COUNTS = st.tuples(st.integers(1, 30), st.integers(1, 5)).flatmap(
    lambda shape: arrays(np.int64, shape, elements=st.sampled_from([0, 0, 1, 3, 50, 900]))
)


def choose(selector: LabelComplexity | ClassBalance, index: MaskIndex, images: int) -> Selection:
    return selector.select(index, Budget(images, len(index), images / len(index)), NO_IMAGES)


def test_label_complexity_by_hand() -> None:
    index = index_of([[0, 0, 0], [8, 0, 0], [2, 1, 1], [3, 3, 0], [0, 5, 0], [7, 7, 7]], ignored=4)
    chosen = choose(LabelComplexity(), index, 6)
    # log 3, then 1/2·log 2 + 2·1/4·log 4 = 1.5 log 2, then log 2; one class: 0, by index; no label: last
    assert chosen.indices.tolist() == [5, 2, 3, 1, 4, 0]
    assert chosen.scores == pytest.approx([np.log(3), 1.5 * np.log(2), np.log(2), 0, 0, 0])


@given(COUNTS)
def test_label_complexity_is_the_entropy_of_each_mask(counts: np.ndarray) -> None:
    chosen = choose(LabelComplexity(), index_of(counts, ignored=1), len(counts))
    assert chosen.scores is not None and (np.diff(chosen.scores) <= 1e-12).all()
    labelled = counts[chosen.indices].any(axis=1)
    assert chosen.scores[labelled] == pytest.approx(entropy(counts[chosen.indices][labelled], axis=1), abs=1e-12)
    assert (chosen.scores[~labelled] == 0).all()


def test_equal_mixtures_are_tied_whatever_their_classes() -> None:
    counts = np.array([[1, 2, 3, 0], [3, 0, 2, 1], [0, 20, 10, 30], [100, 200, 300, 0]])
    assert choose(LabelComplexity(), index_of(counts), 4).indices.tolist() == [0, 1, 2, 3]


def test_class_balance_by_hand() -> None:
    index = index_of([[0, 0], [40, 0], [0, 10], [5, 5], [10, 0]], ignored=9)
    chosen = choose(ClassBalance(), index, 5)
    # 1: 5 + 5 is even. 2: 15 + 5 and 5 + 15 are tied, 45 + 5 is worse: the lowest of the two, mask 2.
    # 3: 15 + 15 is even again. 4: mask 1 is the last with labels: 55 + 15.
    assert chosen.indices.tolist() == [3, 2, 4, 1, 0]
    even, quarter, last = np.log(2), entropy([5, 15]), entropy([55, 15])
    assert chosen.scores == pytest.approx([even, quarter, even, last, last])


@given(COUNTS, st.data())
def test_each_step_of_class_balance_is_the_best_there_is(counts: np.ndarray, data: st.DataObject) -> None:
    images = data.draw(st.integers(1, len(counts)))
    chosen = choose(ClassBalance(), index_of(counts, ignored=1), images)
    assert chosen.scores is not None
    unused = counts.any(axis=1)
    labelled, so_far = int(unused.sum()), np.zeros(counts.shape[1])
    for i, score in zip(chosen.indices[:labelled], chosen.scores[:labelled], strict=True):
        assert unused[i] and abs(score - entropy(so_far + counts[unused], axis=1).max()) < 1e-9
        so_far += counts[i]
        unused[i] = False
        assert abs(score - entropy(so_far)) < 1e-9
    assert not counts[chosen.indices[labelled:]].any()


def test_class_balance_without_any_label() -> None:
    chosen = choose(ClassBalance(), index_of(np.zeros((4, 2)), ignored=5), 3)
    assert chosen.indices.tolist() == [0, 1, 2] and chosen.scores.tolist() == [0, 0, 0]


def test_class_balance_is_more_even_than_random() -> None:
    draw = np.random.default_rng(0)
    counts = draw.integers(1, 1000, (500, 8)) * (draw.random((500, 8)) < 0.8 / np.arange(1, 9))
    balanced = choose(ClassBalance(), index_of(counts), 25)
    at_random = [
        entropy(counts[np.random.default_rng(s).choice(500, 25, replace=False)].sum(axis=0)) for s in range(50)
    ]
    assert balanced.scores[-1] > 0.99 * np.log(8) > max(at_random)
