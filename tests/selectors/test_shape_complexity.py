"""Shape complexity: outlines by hand and by OpenCV, class balance by its sums."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from selector_fakes import context

from d3s2bench import Budget, ConfigError, MaskIndex, Selection
from d3s2bench_selectors.shape_complexity import ShapeComplexity, outline, shape_score

SQUARE = 2 / np.sqrt(np.pi)
"""The score of a square of any size: 4 s over the 2 √π s of a disc of area s²."""


def drawing(*rows: str) -> np.ndarray:
    """Digits are classes, dots are ignored."""
    return np.array([[255 if pixel == "." else int(pixel) for pixel in row] for row in rows], np.uint8)


def choose(masks: Sequence[np.ndarray], images: int, classes: int = 3, **options: Any) -> Selection:
    counts = np.array([np.bincount(mask.ravel(), minlength=256)[:classes] for mask in masks])
    index = MaskIndex(counts, np.array([mask.size for mask in masks]))
    budget = Budget(images, len(masks), images / len(masks))
    return ShapeComplexity(**options).select(index, budget, context([], masks=masks))


def shape(*rows: str) -> np.ndarray:
    return drawing(*rows) == 1


@pytest.mark.parametrize(
    ("region", "length", "area"),
    [
        (np.ones((5, 5), bool), 16, 16),
        (np.ones((2, 9), bool), 18, 8),
        (shape("00100", "01110", "11111", "01110", "00100"), 8 * np.sqrt(2), 8),
        (shape("11111", "10001", "10001", "11111"), 14, 12),  # its hole is filled
        (shape("11111", "10001", "10001", "11110"), 12 + np.sqrt(2), 11.5),  # closed at a corner
        (shape("1111", "1000", "1000"), 8 + np.sqrt(2), 0.5),  # the way back cuts the corner
        (np.ones((1, 6), bool), 10, 0),  # there and back
        (shape("100", "010"), 2 * np.sqrt(2), 0),
        (np.ones((1, 1), bool), 0, 0),
    ],
)
def test_outline_by_hand(region: np.ndarray, length: float, area: float) -> None:
    assert outline(region) == pytest.approx((length, area))


@settings(max_examples=200)
@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_outline_is_that_of_opencv(pixels: np.ndarray) -> None:
    cv2 = pytest.importorskip("cv2")
    labels, found = ndimage.label(pixels, np.ones((3, 3)))
    for number in range(1, found + 1):
        region = labels == number
        contours, _ = cv2.findContours(region.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        assert len(contours) == 1
        assert outline(region) == pytest.approx((cv2.arcLength(contours[0], True), cv2.contourArea(contours[0])))


def test_the_score_knows_neither_size_nor_slant_of_a_square() -> None:
    row, column = np.indices((41, 41)) - 20
    for region in (np.ones((4, 4), bool), np.ones((90, 90), bool), abs(row) + abs(column) <= 20):
        assert shape_score(region) == pytest.approx(SQUARE)
    assert 1 < shape_score(row**2 + column**2 <= 420) < 1.06 < SQUARE  # steps of a pixel and of √2 go round a disc
    assert shape_score(np.ones((4, 61), bool)) == pytest.approx(126 / (2 * np.sqrt(np.pi * 180)))
    assert shape_score(np.ones((1, 9), bool)) == 0


def test_by_hand() -> None:
    masks = [
        np.kron(drawing("1.2", "...", "1.2"), np.ones((5, 5), np.uint8)),
        np.kron(drawing("1..", "...", "..."), np.ones((5, 5), np.uint8)),
        np.kron(drawing("2..", "...", "2.2"), np.ones((5, 5), np.uint8)),
        np.full((15, 15), 255, np.uint8),
    ]
    chosen = choose(masks, 4)
    # All components are squares. Class 1 has three, class 2 five; class 0 and the ignored have none.
    assert chosen.indices.tolist() == [0, 2, 1, 3]
    assert chosen.scores == pytest.approx([2 / 3 + 2 / 5, 3 / 5, 1 / 3, 0])


def test_class_scores_are_sums_over_components() -> None:
    mask = np.kron(drawing("001", "010", "022"), np.ones((6, 6), np.uint8))
    twelve = shape_score(np.kron([[1, 1, 0], [1, 0, 1], [1, 0, 0]], np.ones((6, 6))) == 1)
    assert ShapeComplexity(connectivity=4).by_class(mask, 3)[1] == pytest.approx(2 * SQUARE)
    joined = shape_score(np.kron([[0, 1], [1, 0]], np.ones((6, 6))) == 1)
    assert ShapeComplexity().by_class(mask, 3).tolist() == pytest.approx(
        [twelve, joined, shape_score(np.ones((6, 12), bool))]
    )


def test_specks_are_left_out() -> None:
    speck, large = np.zeros((9, 9), np.uint8), np.zeros((9, 9), np.uint8)
    speck[2:5, 2:6], large[2:6, 2:6] = 1, 1  # 12 and 16 pixels
    assert ShapeComplexity().by_class(speck, 2)[1] == 0 < ShapeComplexity().by_class(large, 2)[1]
    assert ShapeComplexity(min_area=12).by_class(speck, 2)[1] > 0


@given(st.integers(0, 1000), st.integers(1, 12))
def test_every_class_weighs_the_same(seed: int, images: int) -> None:
    draw = np.random.default_rng(seed)
    masks = [np.kron(draw.choice([0, 1, 2, 255], (4, 5)), np.ones((4, 4))).astype(np.uint8) for _ in range(images)]
    chosen = choose(masks, images)
    assert chosen.scores is not None and (np.diff(chosen.scores) <= 0).all()
    assert chosen.scores.sum() == pytest.approx(len(set(np.unique(masks)) - {255}))


def test_ties_go_to_the_lowest_index() -> None:
    assert choose([np.zeros((9, 9), np.uint8)] * 5, 3).indices.tolist() == [0, 1, 2]


@pytest.mark.parametrize("wrong", [{"connectivity": 6}, {"min_area": 0}])
def test_wrong_options(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="selector shape-complexity"):
        ShapeComplexity(**wrong)
