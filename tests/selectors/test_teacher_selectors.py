"""The selectors that look at photographs through the teacher, with a teacher that can be computed by hand."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from selector_fakes import ColourTeacher, Photographs, batchnorm_of, blank_index, context, plain, random_images

from d3s2bench import Budget, BudgetError, ConfigError, ModelError, Selection
from d3s2bench_selectors.dfss import Dfss, diverse
from d3s2bench_selectors.herding import Herding, herding
from d3s2bench_selectors.k_center import KCenter, k_center
from d3s2bench_selectors.teacher_features import per_image
from d3s2bench_selectors.uncertainty import El2n, Entropy, Margin

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


@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_k_center_is_the_plain_one_in_either_precision(precision: type[np.floating]) -> None:
    features = np.random.default_rng(5).normal(100, 1, (300, 20)).astype(precision)
    chosen = k_center(features, 40, first=7)
    distance = np.linalg.norm(features[:, None].astype(np.float64) - features, axis=2)
    indices, radii = [7], []
    for _ in range(40):
        nearest = distance[:, indices].min(axis=1)
        indices.append(int(nearest.argmax()))
        radii.append(nearest.max())
    assert chosen.indices.tolist() == indices[:40]
    assert chosen.scores == pytest.approx(radii, rel=1e-5)


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


@pytest.mark.parametrize("choose", [lambda features: k_center(features, 5, first=0), lambda f: herding(f, 5)])
def test_memory_stays_at_the_size_of_the_features(choose: Callable[[np.ndarray], Selection]) -> None:
    features = np.random.default_rng(0).normal(size=(5000, 64))
    tracemalloc.start()
    choose(features)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * features.nbytes < 5000**2


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


def test_dfss_diversity_by_hand() -> None:
    # d: 0 1 2 4 on 0…1 is 0 .25 .5 1. Distances from image 0: 0 1 8 10, of which 10 is the largest: 0 .1 .8 1.
    # Weight 1: costs .25 − .1, .5 − .8, 1 − 1 -> image 2. Then image 1 is .1 from 0 and .7 from 2: .15;
    # image 3 is .2 from 2: .8 -> image 1. Weight 0.1: .24, .42, .9 -> in the order of d.
    d, features = np.array([10.0, 11, 12, 14]), np.array([[5.0], [6], [13], [15]])
    assert diverse(d, features, 4, 1.0).tolist() == [0, 2, 1, 3]
    assert diverse(d, features, 4, 0.1).tolist() == [0, 1, 2, 3]
    assert diverse(d, features, 4, 1e9).tolist() == k_center(features, 4, first=0).indices.tolist() == [0, 3, 2, 1]


def test_dfss_diversity_reads_the_pooled_layer_and_leaves_the_first_choice() -> None:
    statistics = {"shallow": (torch.zeros(3), torch.zeros(3))}
    images = [plain(9, 9), plain(10, 9), plain(11, 9), plain(0, 200)]  # d grows with brightness
    given = context(images, ColourTeacher(statistics))
    assert Dfss().select(blank_index(4), Budget(2, 4, 0.5), given).indices.tolist() == [0, 1]
    chosen = Dfss(diversity=2.0).select(blank_index(4), Budget(2, 4, 0.5), given)
    assert chosen.indices.tolist() == [0, 3]
    assert chosen.scores == pytest.approx([np.hypot(9, 9) / 255, 200 / 255], abs=1e-6)


@given(st.integers(0, 1000), st.floats(0.01, 1e6))
def test_dfss_diversity_takes_each_once_even_where_all_are_alike(seed: int, weight: float) -> None:
    draw = np.random.default_rng(seed)
    d, features = draw.integers(0, 3, 20) / 2, draw.integers(0, 2, (20, 2)) / 2
    assert sorted(diverse(d, features, 20, weight)) == list(range(20))
    assert diverse(np.ones(20), np.ones((20, 2)), 20, weight).tolist() == list(range(20))


@pytest.mark.parametrize("wrong", [-1.0, float("nan"), float("inf")])
def test_dfss_with_a_wrong_diversity(wrong: float) -> None:
    with pytest.raises(ConfigError, match="selector dfss: diversity is"):
        Dfss(diversity=wrong)


def test_dfss_without_batchnorm() -> None:
    with pytest.raises(ModelError, match="the teacher offers no BatchNorm statistics"):
        Dfss().select(blank_index(1), Budget(1, 1, 1.0), context([plain(0, 0)], ColourTeacher()))


def test_dfss_with_an_unknown_layer() -> None:
    teacher = ColourTeacher(batchnorm_of(0))
    with pytest.raises(ConfigError, match="no BatchNorm layer 'top': known: shallow, deep"):
        Dfss(("top",)).select(blank_index(1), Budget(1, 1, 1.0), context([plain(0, 0)], teacher))


@pytest.mark.parametrize("selector", [KCenter, Herding, Dfss])
def test_features_that_are_no_numbers_are_told(selector: Any) -> None:
    class Broken(ColourTeacher):
        def features(self, images: torch.Tensor, tap: str = "activation") -> Any:
            logits, features = super().features(images, tap)
            return logits, {name: torch.where(feature > 0.5, torch.nan, feature) for name, feature in features.items()}

    given = context([plain(9, 9), plain(30, 9), plain(255, 9), plain(3, 9)], Broken(batchnorm_of(0)))
    with pytest.raises(ModelError, match="the teacher's features of image 2 are no numbers"):
        selector().select(blank_index(4), Budget(2, 4, 0.5), given)


@pytest.mark.parametrize("selector", [Entropy, Margin, El2n])
def test_logits_that_are_no_numbers_are_told(selector: Any) -> None:
    class Broken(ColourTeacher):
        def features(self, images: torch.Tensor, tap: str = "activation") -> Any:
            logits, features = super().features(images, tap)
            return torch.where(images[:, :1] > 0.5, torch.nan, logits), features

    given = context([plain(9, 9), plain(30, 9), plain(255, 9), plain(3, 9)], Broken(batchnorm_of(0)))
    with pytest.raises(ModelError, match="the teacher's logits of image 2 are no numbers"):
        selector().select(blank_index(4), Budget(2, 4, 0.5), given)


@pytest.mark.parametrize("selector", [KCenter, Herding, Dfss, Entropy, Margin, El2n])
def test_more_images_than_there_are(selector: Any) -> None:
    teacher = ColourTeacher(batchnorm_of(0))
    with pytest.raises(BudgetError, match="a budget of 3 images, but the split has 2"):
        selector().select(blank_index(2), Budget(3, 2, 1.0), context([plain(0, 0)] * 2, teacher))
    assert teacher.shapes == []  # before any photograph is read


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
