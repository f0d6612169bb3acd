"""Entropy, margin and EL2N: by hand, against scipy, and in their order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import special, stats
from selector_fakes import ColourTeacher, Photographs, blank_index, context, plain, random_images

from d3s2bench import IGNORE, Budget, ConfigError, ModelError, Selection
from d3s2bench_selectors.uncertainty import El2n, Entropy, Margin, mean_entropy, mean_error, mean_margin

ALL = pytest.mark.parametrize("selector", [Entropy, Margin, El2n])


def logits_of(*pixels: list[float]) -> torch.Tensor:
    """``(C, 1, W)``: logits whose softmax at pixel w is ``pixels[w]``."""
    return torch.tensor(pixels).log().T[:, None]


def choose(selector: Any, images: list[np.ndarray], keep: int, masks: Any = ()) -> Selection:
    chosen: Selection = selector.select(
        blank_index(len(images)),
        Budget(keep, len(images), keep / len(images)),
        context(images, ColourTeacher(), 0, masks),
    )
    return chosen


def test_scores_by_hand() -> None:
    logits = logits_of([0.5, 0.25, 0.25], [0.8, 0.1, 0.1])
    assert mean_entropy(logits).item() == pytest.approx((1.5 * np.log(2) + 0.8 * np.log(1.25) + 0.2 * np.log(10)) / 2)
    assert mean_margin(logits).item() == pytest.approx((0.25 + 0.7) / 2)
    # classes 1 and 0: (.5, -.75, .25) and (-.2, .1, .1)
    errors = np.sqrt(0.25 + 0.5625 + 0.0625), np.sqrt(0.04 + 0.01 + 0.01)
    assert mean_error(logits, np.array([[1, 0]], np.uint8)).item() == pytest.approx(np.mean(errors))
    assert mean_error(logits, np.array([[1, IGNORE]], np.uint8)).item() == pytest.approx(errors[0])
    assert mean_error(logits, np.array([[IGNORE, IGNORE]], np.uint8)).isnan()


def test_scores_of_a_certain_and_of_an_undecided_pixel() -> None:
    certain, undecided = torch.tensor([200.0, 0.0, 0.0])[:, None, None], torch.zeros(3, 1, 1)
    assert mean_entropy(certain).item() == 0 and mean_entropy(undecided).item() == pytest.approx(np.log(3))
    assert mean_margin(certain).item() == 1 and mean_margin(undecided).item() == 0
    right, wrong = np.array([[0]], np.uint8), np.array([[1]], np.uint8)
    assert mean_error(certain, right).item() == 0
    assert mean_error(certain, wrong).item() == pytest.approx(np.sqrt(2))


def test_a_margin_wants_two_classes() -> None:
    with pytest.raises(ModelError, match="compares the two likeliest classes, but the teacher knows one"):
        mean_margin(torch.zeros(1, 2, 2))
    assert mean_entropy(torch.zeros(1, 2, 2)).item() == 0


def test_selection_against_scipy() -> None:
    images = random_images(2, 60)  # of three sizes, so that batches mix the order
    p = [special.softmax(image / 255, axis=2) for image in images]
    onehot = [np.eye(3)[Photographs(images).mask(i)] for i in range(60)]
    ordered = [np.sort(each, axis=2) for each in p]
    entropy = np.array([stats.entropy(each, axis=2).mean() for each in p])
    margin = np.array([(each[..., 2] - each[..., 1]).mean() for each in ordered])
    error = np.array([np.linalg.norm(a - b, axis=2).mean() for a, b in zip(p, onehot, strict=True)])
    for selector, scores in ((Entropy(), -entropy), (Margin(), margin), (El2n(), -error)):
        chosen = choose(selector, images, 25)
        assert chosen.indices.tolist() == np.argsort(scores)[:25].tolist()
        assert chosen.scores == pytest.approx(np.abs(scores[chosen.indices]), abs=1e-6)


@ALL
def test_order(selector: Any) -> None:
    images = random_images(0, 20)
    high, low = choose(selector(order="high"), images, 20), choose(selector(order="low"), images, 20)
    assert high.indices.tolist() == low.indices.tolist()[::-1]
    assert high.scores is not None and (np.diff(high.scores) <= 0).all() and np.ptp(high.scores) > 0
    with pytest.raises(ConfigError, match=f"selector {selector.__name__.lower()}: order is 'up'"):
        selector(order="up")


def test_the_defaults_take_the_uncertain() -> None:
    images = [plain(255, 0), plain(255, 255), plain(128, 0)]  # margins: of e, of 1 to 1, of √e
    assert choose(Entropy(), images, 1).indices.tolist() == [2]
    assert choose(Margin(), images, 1).indices.tolist() == [1]
    wrong = [np.full((4, 4), 0, np.uint8), np.full((4, 4), 0, np.uint8), np.full((4, 4), 2, np.uint8)]
    assert choose(El2n(), images, 1, wrong).indices.tolist() == [2]


@ALL
def test_ties_go_to_the_lowest_index(selector: Any) -> None:
    assert choose(selector(), [plain(9, 3)] * 40, 30).indices.tolist() == list(range(30))


@pytest.mark.parametrize("order", ["high", "low"])
def test_an_image_without_labels_comes_last(order: str) -> None:
    images = random_images(1, 3)
    masks = [np.zeros(image.shape[:2], np.uint8) for image in images]
    masks[1][:] = IGNORE
    chosen = choose(El2n(order), images, 3, masks)
    assert chosen.indices[-1] == 1
    assert chosen.scores is not None and chosen.scores[-1] == 0
