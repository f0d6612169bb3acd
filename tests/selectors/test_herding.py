"""Herding: by hand, against a plain loop over its definition, and for what it is good for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from selector_fakes import ColourTeacher, blank_index, context, plain

from d3s2bench import Budget
from d3s2bench_selectors.herding import Herding, herding

POINTS = st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), min_size=1, max_size=30)


def by_definition(features: np.ndarray, images: int) -> list[tuple[float, int]]:
    """The distance of both means after each step, and its image: the docstring's argmin, one image at a time."""
    mean = features.mean(axis=0)
    chosen: list[int] = []
    steps: list[tuple[float, int]] = []
    for _ in range(images):
        unused = [i for i in range(len(features)) if i not in chosen]
        apart = [(float(np.linalg.norm(mean - features[[*chosen, i]].mean(axis=0))), i) for i in unused]
        best = min(apart)
        chosen.append(best[1])
        steps.append(best)
    return steps


def test_by_hand() -> None:
    # The mean is 4. Nearest: 5. Then (5 + x)/2 for 0, 1, 2, 12: 2.5, 3, 3.5, 8.5 -> 2. Then (7 + x)/3: 2.33, 2.67,
    # 6.33 -> 1 (1.33 away). Then (8 + x)/4: 2, 5 -> 12. DeepCore's argmax begins with 12.
    chosen = herding(np.array([[0.0], [1.0], [2.0], [5.0], [12.0]]), 5)
    assert chosen.indices.tolist() == [3, 2, 1, 4, 0]
    assert chosen.scores == pytest.approx([1, 0.5, 4 / 3, 1, 0], abs=1e-12)


@given(POINTS, st.data())
def test_each_step_is_the_argmin(points: list[tuple[int, int]], data: st.DataObject) -> None:
    features = np.array(points, np.float64)
    images = data.draw(st.integers(1, len(points)))
    chosen = herding(features, images)
    assert len(set(chosen.indices)) == images
    assert chosen.scores is not None
    for k in range(images):  # along the path that was taken: equal distances may part two greedy runs for good
        taken = chosen.indices[:k].tolist()
        unused = [i for i in range(len(points)) if i not in taken]
        apart = [np.linalg.norm(features.mean(axis=0) - features[[*taken, i]].mean(axis=0)) for i in unused]
        assert chosen.scores[k] == pytest.approx(min(apart), abs=1e-5)


def test_is_the_plain_one_without_ties() -> None:
    features = np.random.default_rng(0).normal(5, 1, (60, 8))
    expected = by_definition(features, 30)
    chosen = herding(features, 30)
    assert chosen.indices.tolist() == [i for _, i in expected]
    assert chosen.scores == pytest.approx([apart for apart, _ in expected], abs=1e-9)


def test_ties_go_to_the_lowest_index() -> None:
    assert herding(np.array([[1.0], [-1.0], [1.0], [-1.0]]), 4).indices.tolist() == [0, 1, 2, 3]


def test_comes_nearer_to_the_mean_than_random() -> None:
    draw = np.random.default_rng(1)
    features = draw.gamma(1.0, size=(2000, 16))
    chosen = herding(features, 40)
    at_random = [features[draw.choice(2000, 40, replace=False)].mean(axis=0) for _ in range(100)]
    assert chosen.scores is not None
    assert chosen.scores[-1] < 0.2 * min(np.linalg.norm(features.mean(axis=0) - mean) for mean in at_random)


def test_reads_the_pooled_layer() -> None:
    images = [plain(0, 0), plain(40, 0), plain(50, 0), plain(150, 0)]  # the mean is 60
    chosen = Herding().select(blank_index(4), Budget(2, 4, 0.5), context(images, ColourTeacher()))
    assert chosen.indices.tolist() == [2, 1]  # 50; then 45, 25 and 100 of two
    assert Herding().needs == ("teacher",)
