"""The contract of selectors."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from d3s2bench.interfaces import Selector
from d3s2bench.testing.base import DEVICES, Contract, prepare, tried
from d3s2bench.testing.models import tiny_context
from d3s2bench.testing.tiny import Reordered, TinyDataset, TinySplit
from d3s2bench.values import Budget, Selection

SIZES = ((12, 8), (12, 12), (16, 12))
SEEDS = st.integers(0, 2**63 - 1)


class SelectorContract(Contract):
    """What a selector keeps to; three lines try yours:

    >>> class TestMine(SelectorContract):  # doctest: +SKIP
    ...     component = Mine()
    """

    interface = Selector
    permutation_equivariant: ClassVar[bool | None] = None
    """Whether the order of the images does not matter, ties apart; None: the component's attribute of this name says
    so, and without one it is not tried."""

    def select(self, split: TinySplit | Reordered, kept: int, seed: int = 0, device: str = "cpu") -> Selection:
        context = tiny_context(self.component, TinyDataset(split), seed, device)
        budget = Budget(kept, len(split), kept / len(split))
        chosen = self.component.select(split.index(), budget, context)
        assert isinstance(chosen, Selection), f"it must return a Selection, not {type(chosen).__name__}"
        return chosen

    @tried
    @given(images=st.integers(1, 30), share=st.floats(0, 1), drawn=SEEDS, seed=SEEDS)
    def test_the_budget_is_exact_without_duplicates(self, images: int, share: float, drawn: int, seed: int) -> None:
        kept = max(1, round(share * images))
        chosen = self.select(TinySplit(images, drawn, SIZES), kept, seed)
        indices, scores = chosen.indices, chosen.scores
        assert isinstance(indices, np.ndarray) and indices.dtype == np.int64, "its indices must be a NumPy int64 array"
        assert indices.shape == (kept,), f"it gave {indices.shape} for a budget of {kept} of {images} images"
        assert len(set(indices.tolist())) == kept, f"it chose an image twice: {indices.tolist()}"
        assert indices.min() >= 0 and indices.max() < images, f"it chose {indices.tolist()} of {images} images"
        if scores is not None:
            assert scores.dtype == np.float64 and scores.shape == (kept,), "its scores must be float64, one per image"
            assert np.isfinite(scores).all(), "its scores must be finite"

    def test_all_images_are_a_budget_too(self) -> None:
        chosen = self.select(TinySplit(12, 2, SIZES), 12)
        assert sorted(chosen.indices.tolist()) == list(range(12)), "with a budget of all images it must give all"

    @tried
    @given(drawn=SEEDS, seed=SEEDS)
    def test_the_same_seed_gives_the_same_images(self, drawn: int, seed: int) -> None:
        split = TinySplit(15, drawn, SIZES)
        first, second = (self.select(split, 6, seed).indices.tolist() for _ in range(2))
        assert first == second, f"the seed {seed} gave {first}, then {second}"

    def test_the_seed_matters_unless_it_says_otherwise(self) -> None:
        split = TinySplit(40, 0, SIZES)
        ways = len({tuple(self.select(split, 3, seed).indices.tolist()) for seed in range(8)})
        if self.component.deterministic:
            assert ways == 1, f"it says that it is deterministic, but 8 seeds gave {ways} selections"
        else:
            assert ways > 1, "8 seeds gave the same selection: declare it deterministic"

    def test_another_order_gives_the_same_images(self) -> None:
        declared = self.permutation_equivariant
        if not (getattr(self.component, "permutation_equivariant", False) if declared is None else declared):
            pytest.skip("it does not say that it is permutation_equivariant")
        split = TinySplit(24, 3, ((24, 16),), patch=1)  # hardly two images alike
        order: list[int] = np.random.default_rng(0).permutation(24).tolist()
        first, other = (self.select(pairs, 7).indices.tolist() for pairs in (split, Reordered(split, order)))
        assert sorted(first) == sorted(order[i] for i in other), "the order of the images changes which are chosen"

    @DEVICES
    def test_it_computes_where_it_is_told(self, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
        prepare(device, self.component, monkeypatch)
        assert len(self.select(TinySplit(10, 0, SIZES), 4, device=device).indices) == 4
