"""It keeps what every selector promises; its factors are those that one computes by hand."""

from __future__ import annotations

import numpy as np
import pytest
from d3s2bench import Budget, ConfigError, MaskIndex
from d3s2bench.testing import SelectorContract, contract, tiny_context

from d3s2bench_repeat_factor.selector import RepeatFactor, repeat_factors

COUNTS = np.array([[9, 0, 0], [9, 4, 0], [9, 0, 1], [9, 4, 0]])
"""Class 0 in all of four images, class 1 in half of them, class 2 in one."""


class TestRepeatFactor(SelectorContract):
    component = RepeatFactor(threshold=0.5)


def test_it_is_registered() -> None:
    assert type(contract("selector", "repeat-factor").component) is RepeatFactor


def test_factors_by_hand() -> None:
    index = MaskIndex(COUNTS, COUNTS.sum(axis=1))
    assert repeat_factors(index, 0.5) == pytest.approx([1, 1, np.sqrt(2), 1])
    assert repeat_factors(index, 1.0) == pytest.approx([1, np.sqrt(2), 2, np.sqrt(2)])


def test_images_are_drawn_in_proportion_to_their_factors() -> None:
    index, selector = MaskIndex(COUNTS, COUNTS.sum(axis=1)), RepeatFactor(threshold=1.0)
    contexts = [tiny_context(selector, seed=seed) for seed in range(4000)]
    drawn = [int(selector.select(index, Budget(1, 4, 0.25), context).indices[0]) for context in contexts]
    share = np.bincount(drawn, minlength=4) / 4000
    factors = repeat_factors(index, 1.0)
    assert share == pytest.approx(factors / factors.sum(), abs=0.03)  # four standard deviations


@pytest.mark.parametrize("threshold", [0, -1, 1.5])
def test_a_threshold_out_of_range(threshold: float) -> None:
    with pytest.raises(ConfigError, match="must be above 0 and at most 1"):
        RepeatFactor(threshold)
