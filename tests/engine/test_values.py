"""Budgets, class shares, totals."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from d3s2bench import Budget, BudgetError, Counts, MaskIndex, Sample, Selection


@pytest.mark.parametrize(
    ("rate", "total", "images"),
    [(0.01, 1464, 15), (0.01, 20210, 202), (0.01, 50, 1), (0.5, 3, 2), (1.0, 7, 7), (0.0025, 200, 1)],
)
def test_budgets_by_hand(rate: float, total: int, images: int) -> None:
    assert Budget.from_rate(rate, total) == Budget(images, total, rate)


@pytest.mark.parametrize("rate", [0.0, -0.1, 1.01, math.nan, math.inf])
def test_a_rate_out_of_range_is_refused(rate: float) -> None:
    with pytest.raises(BudgetError, match="out of range: give a number above 0 and at most 1"):
        Budget.from_rate(rate, 100)


def test_a_rate_that_gives_no_image_names_the_least_that_does() -> None:
    with pytest.raises(BudgetError, match=r"0\.001 of 20 images gives 0 images: give at least 0\.025"):
        Budget.from_rate(0.001, 20)


@given(st.floats(1e-6, 1, exclude_min=False), st.integers(1, 10**6))
def test_a_budget_is_within_half_an_image_of_the_rate(rate: float, total: int) -> None:
    try:
        budget = Budget.from_rate(rate, total)
    except BudgetError as error:
        assert rate * total < 0.5
        least = float(str(error).rpartition("at least ")[2])
        assert Budget.from_rate(min(least, 1), total).images >= 1
    else:
        assert 1 <= budget.images <= total
        assert abs(budget.images - rate * total) <= 0.5 + 1e-9


def test_class_share_by_hand() -> None:
    index = MaskIndex(np.array([[3, 1, 0], [0, 4, 0]]), np.array([4, 10]))
    assert index.class_share.tolist() == [3 / 8, 5 / 8, 0]
    assert (len(index), index.num_classes) == (2, 3)


def test_class_share_of_an_unlabelled_split_is_zero() -> None:
    assert MaskIndex(np.zeros((2, 3), np.int64), np.array([4, 4])).class_share.tolist() == [0, 0, 0]


def test_total_sums_over_images_in_int64() -> None:
    confusion = np.full((3, 2, 2), 2**40, np.int64)
    total = Counts(confusion).total
    assert total.dtype == np.int64
    assert total.tolist() == [[3 * 2**40] * 2] * 2


@pytest.mark.parametrize(
    "value",
    [
        Budget(1, 2, 0.5),
        Selection(np.array([1])),
        Counts(np.zeros((1, 2, 2), np.int64)),
        Sample(np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1), np.uint8), (0,)),
    ],
)
def test_values_are_frozen(value: object) -> None:
    field = dataclasses.fields(value)[0].name  # type: ignore[arg-type]
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, field, None)


@pytest.mark.parametrize(
    ("images", "total", "rate"), [(4, 367, 0.01), (20, 2000, 0.01), (202, 20210, 0.01), (18, 367, 0.05), (3, 3, 1.0)]
)
def test_so_many_images_are_a_rate_that_people_write(images: int, total: int, rate: float) -> None:
    assert Budget.of_images(images, total) == Budget(images, total, rate) == Budget.from_rate(rate, total)


@given(st.integers(1, 200_000), st.data())
def test_a_rate_of_images_gives_as_many(total: int, data: st.DataObject) -> None:
    images = data.draw(st.integers(1, total))
    assert Budget.from_rate(Budget.of_images(images, total).rate, total).images == images
