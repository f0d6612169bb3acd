"""The selectors that look at photographs through the teacher, with a teacher that can be computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from selector_fakes import ColourTeacher, Photographs, batchnorm_of, blank_index, context, plain, random_images

from d3s2bench import Budget, ConfigError, ModelError
from d3s2bench_selectors.dfss import Dfss
from d3s2bench_selectors.k_center import KCenter, k_center
from d3s2bench_selectors.teacher_features import per_image

POINTS = st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), min_size=1, max_size=40)


def test_k_center_on_a_line() -> None:
    # From 0: farthest is 10; then 4 (4 from 0, 6 from 10); then 1, 2 and 7, 8 compete: 7 is 3 from both its centres.
    chosen = k_center(np.array([[0.0], [1.0], [2.0], [4.0], [7.0], [10.0]]), 5, first=0)
    assert chosen.indices.tolist() == [0, 5, 3, 4, 2]
    assert chosen.scores == pytest.approx([10, 4, 3, 2, 1])


def test_k_center_reads_the_pooled_layer() -> None:
    images = [plain(0, 0), plain(20, 0), plain(200, 0), plain(0, 100)]
    for seed in range(5):
        first = int(np.random.default_rng(seed).integers(4))
        farthest = {0: 2, 1: 2, 2: 3, 3: 2}[first]
        chosen = KCenter().select(blank_index(4), Budget(2, 4, 0.5), context(images, ColourTeacher(), seed))
        assert chosen.indices.tolist() == [first, farthest]


def test_k_center_says_its_features() -> None:
    assert KCenter().features == "pooled last stage of the teacher"
    with pytest.raises(ConfigError, match="there is only 'pooled last stage of the teacher'"):
        KCenter("pixels")


def test_k_center_never_takes_one_of_equal_points_twice() -> None:
    assert sorted(k_center(np.zeros((5, 2)), 5, first=3).indices) == [0, 1, 2, 3, 4]


@given(POINTS, st.data())
def test_k_center_covers_at_most_twice_as_wide_as_the_best(points: list[tuple[int, int]], data: st.DataObject) -> None:
    features = np.array(points, np.float64)
    centres = data.draw(st.integers(1, len(points)))
    chosen = k_center(features, centres, data.draw(st.integers(0, len(points) - 1)))
    assert len(set(chosen.indices)) == centres
    distance = np.linalg.norm(features[:, None] - features[chosen.indices], axis=2)
    assert chosen.scores is not None
    assert chosen.scores[-1] == pytest.approx(distance.min(axis=1).max(), abs=1e-6)
    # the centres and the farthest point are all at least the radius apart: by the pigeonhole, no cover is below half
    between = distance[chosen.indices] + np.where(np.eye(centres), np.inf, 0)
    assert between.min() >= chosen.scores[-1] - 1e-6


def dfss_distance(image: np.ndarray, statistics: tuple[torch.Tensor, torch.Tensor], layer: str) -> float:
    """The formula, in numpy, for one image."""
    pixels = image.reshape(-1, 3).astype(np.float64) / 255
    feature = pixels if layer == "shallow" else pixels[:, :2] / 2
    mean, variance = (kept.numpy() for kept in statistics)
    return float(np.linalg.norm(feature.mean(0) - mean) + np.linalg.norm(feature.var(0) - variance))


@pytest.mark.parametrize("layers", [(), ("deep",)])
def test_dfss_by_its_formula(layers: tuple[str, ...]) -> None:
    images, statistics = random_images(0, 50), batchnorm_of(1)
    chosen = Dfss(layers).select(blank_index(50), Budget(20, 50, 0.4), context(images, ColourTeacher(statistics)))
    expected = [sum(dfss_distance(image, statistics[k], k) for k in layers or statistics) for image in images]
    order = np.argsort(expected)[:20]
    assert chosen.indices.tolist() == order.tolist()
    assert chosen.scores == pytest.approx(np.array(expected)[order], abs=1e-6)


def test_dfss_ties_go_to_the_lowest_index() -> None:
    chosen = Dfss().select(
        blank_index(40), Budget(30, 40, 0.75), context([plain(9, 9)] * 40, ColourTeacher(batchnorm_of(0)))
    )
    assert chosen.indices.tolist() == list(range(30))


def test_dfss_without_batchnorm() -> None:
    with pytest.raises(ModelError, match="no BatchNorm layer"):
        Dfss().select(blank_index(1), Budget(1, 1, 1.0), context([plain(0, 0)], ColourTeacher()))


def test_dfss_with_an_unknown_layer() -> None:
    teacher = ColourTeacher(batchnorm_of(0))
    with pytest.raises(ConfigError, match="no BatchNorm layer 'top': known: shallow, deep"):
        Dfss(("top",)).select(blank_index(1), Budget(1, 1, 1.0), context([plain(0, 0)], teacher))


def test_features_keep_their_order_and_batches_one_size() -> None:
    images, teacher, seen = random_images(3, 200), ColourTeacher(), []
    images += [plain(1, 2, (7 + i, 3)) for i in range(90)]  # all of different sizes: more than may wait
    given = context(images, teacher)
    given.progress = lambda done, total, note: seen.append((done, total))
    rows = per_image(Photographs(images), given, lambda features: features["deep"].mean((2, 3)))
    expected = [image[..., :2].reshape(-1, 2).mean(0) / 255 / 2 * 3 for image in images]
    assert rows == pytest.approx(np.array(expected), abs=1e-6)
    assert max(shape[0] for shape in teacher.shapes) == 16
    assert seen[-1] == (290, 290) and seen == sorted(seen)
