"""Class-balanced mask selection: stage 1 of D3S2.

Zheng et al., "D3S2: Diffusion-Guided Dataset Distillation for Semantic Segmentation", arXiv 2605.25022, "Class-Balanced
Mask Selection".

Re-implementation. The paper says that the masks are chosen by "a greedy strategy that prioritizes underrepresented
classes"; its formula is unpublished, so all that follows is ours and each constant is an option:

1. A mask *shows* a class when it holds at least ``max(min_pixels, min_share · pixels)`` pixels of it. ``n_c`` counts
   how often class c has been chosen so far: in masks that show it (``count_by="images"``) or in units of the reference
   area (``count_by="pixels"``). All ``n_c`` start at 0.
2. The next class is the one with the least ``n_c`` among those that some unused mask still shows. Ties: the class that
   the fewest masks of the full set show, then the lowest class id.
3. Among the unused masks that show it, the one with the largest gain is taken,
   ``Σ_c (1 + n_c)^(-gamma) · min(1, area_ic / area_reference)`` over the classes it shows, with ``area_ic`` as a share
   of the mask's pixels. Ties: the lowest mask index. Then ``n_c`` is updated, and 2 repeats.

A class that no mask shows is left out. When no unused mask shows any class, the rest is filled with the masks that have
the most labelled pixels (ties: the lowest index), at gain 0.

``rule="submodular"`` is another reading of the same sentence. 2 and 3 become one step, which takes the unused mask that
raises ``Σ_c g(n_c)`` the most, with ``concave`` g: the less a class has been chosen, the more does one more count. Ties
(to nine decimals): the lowest mask index. ``gamma`` plays no part then, nor ``area_reference`` when images are counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from d3s2bench import Budget, ConfigError, Context, MaskIndex, Selection
from d3s2bench_selectors.budgets import check_budget
from d3s2bench_selectors.submodular import CONCAVE, LazyGreedy

COUNTINGS = ("images", "pixels")
RULES = ("rarest-first", "submodular")
BLOCK = 64
"""Gains computed at once; any number gives the same choice."""


@dataclass(frozen=True)
class Balanced:
    """Reads the mask index alone: no image, no seed."""

    min_pixels: int = 16
    min_share: float = 0.001
    gamma: float = 1.0
    area_reference: float = 0.05
    count_by: str = "images"
    rule: str = "rarest-first"
    concave: str = "sqrt"

    deterministic: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for option, known in (("count_by", COUNTINGS), ("rule", RULES), ("concave", tuple(CONCAVE))):
            if (given := getattr(self, option)) not in known:
                raise ConfigError(f"selector balanced: {option} is '{given}': give one of {', '.join(known)}")
        if self.area_reference <= 0 or self.gamma < 0:
            raise ConfigError("selector balanced: area_reference must be above 0 and gamma at least 0")

    def select(self, index: MaskIndex, budget: Budget, context: Context) -> Selection:
        """``(K,) int64`` masks in the order of choice, with their gains ``(K,) float64``.

        Raises:
            BudgetError: there are fewer masks than the budget wants.
        """
        check_budget(index, budget)
        picks = list(islice(iter(self._greedy(index).pick, None), budget.images))
        indices = np.array([i for i, _ in picks], np.int64)
        gains = np.array([gain for _, gain in picks], np.float64)
        missing = budget.images - len(picks)
        rest = _most_labelled(index, indices)[:missing] if missing else indices[:0]
        return Selection(np.concatenate([indices, rest]), np.concatenate([gains, np.zeros(missing)]))

    def _greedy(self, index: MaskIndex) -> _RarestFirst | LazyGreedy:
        shows = self._shows(index)
        if self.rule == "submodular" and self.count_by == "images":
            return LazyGreedy(shows, self.concave)
        share = np.where(shows, index.counts, 0) / (self.area_reference * np.maximum(index.pixels, 1))[:, None]
        if self.rule == "submodular":
            return LazyGreedy(share, self.concave)
        counted = shows if self.count_by == "images" else share.copy()
        return _RarestFirst(shows, np.minimum(share, 1, out=share), counted, self.gamma)

    def _shows(self, index: MaskIndex) -> NDArray[np.bool_]:
        """``(N, C)``: which mask shows which class."""
        least = np.maximum(max(self.min_pixels, 1), self.min_share * index.pixels)
        shows: NDArray[np.bool_] = index.counts >= least[:, None]
        return shows


class _RarestFirst:
    """Lazy greedy: ``n_c`` only grows, so a gain only falls, and one computed earlier bounds the present one.

    Rounded sums in a fixed order are monotone in each term, so this holds to the last bit.
    """

    def __init__(
        self, shows: NDArray[np.bool_], area: NDArray[np.float64], counted: NDArray[np.generic], gamma: float
    ) -> None:
        self.shows, self.area, self.counted, self.gamma = shows, area, counted, gamma
        self.rarity = shows.sum(axis=0)
        self.left = self.rarity.copy()
        self.chosen = np.zeros(shows.shape[1])
        self.bound = area.sum(axis=1)  # every weight starts at 1
        self.members = [np.flatnonzero(column) for column in shows.T]

    def pick(self) -> tuple[int, float] | None:
        """The next mask and its gain; None when no unused mask shows a class."""
        if not self.left.any():
            return None
        c = np.lexsort((self.rarity, self.chosen, self.left == 0))[0]
        best, gain = self._largest_gain(self.members[c])
        self.bound[best] = -np.inf  # used
        self.left -= self.shows[best]
        self.chosen += self.counted[best]
        return best, gain

    def _largest_gain(self, members: NDArray[np.int64]) -> tuple[int, float]:
        """Computes the gains of those with the highest bounds, until no other can be as large."""
        weights = (1 + self.chosen) ** -self.gamma
        order = members[np.argsort(-self.bound[members], kind="stable")]
        best, gain = -1, -np.inf
        for first in range(0, len(order), BLOCK):
            block = order[first : first + BLOCK]
            block = block[self.bound[block] >= max(gain, 0)]  # a used one is at -inf
            if not block.size:
                break
            gains = self.bound[block] = (self.area[block] * weights).sum(axis=1)
            top, where = float(gains.max()), int(block[gains == gains.max()].min())
            best, gain = max((best, gain), (where, top), key=lambda pick: (pick[1], -pick[0]))
        return best, gain


def _most_labelled(index: MaskIndex, used: NDArray[np.int64]) -> NDArray[np.int64]:
    unused = np.setdiff1d(np.arange(len(index)), used)
    order = np.argsort(-index.counts[unused].sum(axis=1), kind="stable")
    return unused[order]
