"""Foreground: by hand, and against the quantile of each class."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from selector_fakes import context, index_of

from d3s2bench import Budget, ConfigError, Context, MaskIndex, Selection
from d3s2bench_selectors.foreground import Foreground

NO_IMAGES: Context = context([])
IMAGES = MaskIndex(
    np.array([[90, 0, 0], [60, 40, 0], [20, 80, 0], [50, 20, 0], [0, 0, 0], [10, 0, 0]]), np.array([100] * 6)
)


def choose(index: MaskIndex, images: int, **options: Any) -> Selection:
    return Foreground(**options).select(index, Budget(images, len(index), images / len(index)), NO_IMAGES)


def test_by_hand() -> None:
    # Class 1: 20, 40, 80: the median is 40, images 1 and 2. Class 0: 10, 20, 50, 60, 90: 50, images 0, 1 and 3.
    # Class 1 is rarer and takes image 1, which qualifies for both classes; class 0 then takes 0; class 1 takes 2;
    # class 0 takes 3. Nobody qualifies any more: of those below the threshold 5 is left (2 is used); 4 shows nothing.
    chosen = choose(IMAGES, 6, quantile=0.5)
    assert chosen.indices.tolist() == [1, 0, 2, 3, 5, 4]
    assert chosen.scores == pytest.approx([0.4, 0.9, 0.8, 0.5, 0.1, 0])


def test_occupancy_first() -> None:
    assert choose(IMAGES, 4, quantile=0.5, prefer="occupancy").indices.tolist() == [2, 0, 1, 3]


def test_the_quantile_decides_who_qualifies() -> None:
    assert choose(IMAGES, 2, quantile=0.0).indices.tolist() == [2, 1]  # 1, 2, 3 qualify for both: the fullest, in turn
    assert choose(IMAGES, 2, quantile=0.5).indices.tolist() == [1, 0]
    assert choose(IMAGES, 2, quantile=1.0).indices.tolist() == [2, 0]


def test_background_takes_no_turn_and_lends_no_breadth() -> None:
    chosen = choose(IMAGES, 4, quantile=0.0, background=(0,))
    assert chosen.indices.tolist() == [2, 1, 3, 0]
    assert chosen.scores == pytest.approx([0.8, 0.4, 0.2, 0])


def test_classes_of_equal_rarity_go_by_id_and_equal_images_by_index() -> None:
    index = index_of([[0, 5], [5, 0], [0, 5], [5, 0]])
    assert choose(index, 4).indices.tolist() == [1, 0, 3, 2]


COUNTS = st.tuples(st.integers(1, 40), st.integers(1, 5)).flatmap(
    lambda shape: arrays(np.int64, shape, elements=st.sampled_from([0, 0, 1, 7, 50, 333]))
)


@given(COUNTS, st.floats(0, 1), st.sampled_from(["classes", "occupancy"]))
def test_those_that_qualify_come_first_and_the_first_round_serves_every_class(
    counts: np.ndarray, quantile: float, prefer: str
) -> None:
    index = index_of(counts, ignored=3)
    occupancy = counts / index.pixels[:, None]
    shown = np.flatnonzero(counts.any(axis=0))
    threshold = {c: np.quantile(occupancy[counts[:, c] > 0, c], quantile) for c in shown}
    qualified = np.zeros(len(counts), bool)
    for c in shown:
        qualified |= (counts[:, c] > 0) & (occupancy[:, c] >= threshold[c])
    chosen = choose(index, len(counts), quantile=quantile, prefer=prefer)
    assert sorted(chosen.indices) == list(range(len(counts)))
    assert qualified[chosen.indices].tolist() == sorted(qualified.tolist(), reverse=True)
    assert (counts[chosen.indices[: len(shown)]].any(axis=0) == counts.any(axis=0)).all()


@pytest.mark.parametrize("wrong", [{"quantile": -0.1}, {"quantile": 1.5}, {"prefer": "size"}])
def test_wrong_options(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="selector foreground"):
        Foreground(**wrong)


def test_background_must_exist() -> None:
    with pytest.raises(ConfigError, match="background is class 3: there are 0 to 2"):
        choose(IMAGES, 1, background=(3,))
