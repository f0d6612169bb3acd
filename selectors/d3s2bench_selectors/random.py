"""Random selection: the control that every method must beat.

Uniform over the train split, without replacement; no paper, nothing to re-implement.

With ``stratify="presence"`` every class keeps its frequency as far as the budget allows, by iterative stratification:
Sechidis, Tsoumakas & Vlahavas, "On the Stratification of Multi-Label Data", ECML PKDD 2011, Algorithm 1.

Re-implementation, for two parts: the K images of the subset and the N − K that are left out. The labels of an image are
the classes of which its mask holds a pixel, and each part wishes for its share of the images of each class.

1. The next class is the one with the fewest images not dealt out yet, ties at random.
2. Its images, in random order, go to the part that still wishes for more of this class; ties: the part with more room;
   then at random. This lowers the wishes for all classes of the image.
3. When no class is left, images without a label fill the rest at random.

Ours: a part that is full takes no more, so that there are exactly K. A class of less than N / 2K images may be left
out: proportions are kept, not coverage, which is what ``balanced`` is for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from d3s2bench import Budget, ConfigError, Context, MaskIndex, Selection
from d3s2bench_selectors.budgets import check_budget

STRATA = ("none", "presence")


@dataclass(frozen=True)
class Random:
    """Draws with numpy's default generator, from the stage's seed alone."""

    stratify: str = "none"

    deterministic: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if self.stratify not in STRATA:
            raise ConfigError(f"selector random: stratify is '{self.stratify}': give one of {', '.join(STRATA)}")

    def select(self, index: MaskIndex, budget: Budget, context: Context) -> Selection:
        """``(K,) int64`` indices in the order of the draw; no scores.

        Raises:
            BudgetError: there are fewer masks than the budget wants.
        """
        check_budget(index, budget)
        draw = np.random.default_rng(context.seed)
        if self.stratify == "none":
            return Selection(draw.choice(len(index), size=budget.images, replace=False))
        return Selection(np.array(_Dealer(index.counts > 0, budget.images, draw).deal(), np.int64))


class _Dealer:
    """Deals N images out to two parts; keeps count of the subset, from which that of the rest follows."""

    def __init__(self, shows: NDArray[np.bool_], images: int, draw: np.random.Generator) -> None:
        self.shows, self.images, self.draw = shows, images, draw
        self.left = shows.sum(axis=0)  # images of each class that are not dealt yet
        self.wish = images * self.left  # N times how many of these the subset still wishes for: a whole number
        self.undealt = np.ones(len(shows), bool)
        self.subset: list[int] = []

    def deal(self) -> list[int]:
        """The subset, in the order in which it was dealt."""
        while self.left.any():
            self._deal_class(self._rarest())
        unlabelled = self.draw.permutation(np.flatnonzero(self.undealt))
        self.subset += unlabelled[: self.images - len(self.subset)].tolist()
        return self.subset

    def _rarest(self) -> int:
        fewest = self.left[self.left > 0].min()
        return int(self.draw.choice(np.flatnonzero(self.left == fewest)))

    def _deal_class(self, c: int) -> None:
        members = self.draw.permutation(np.flatnonzero(self.undealt & self.shows[:, c]))
        undealt = int(self.undealt.sum())
        for dealt, i in enumerate(members.tolist()):
            if self._for_subset(c, len(members) - dealt, undealt - dealt):
                self.subset.append(i)
                self.wish -= len(self.shows) * self.shows[i]
        self.undealt[members] = False
        self.left -= self.shows[members].sum(axis=0)

    def _for_subset(self, c: int, left: int, undealt: int) -> bool:
        """``left`` images of class c are still to be dealt, and ``undealt`` images in all."""
        room = self.images - len(self.subset)
        if room in (0, undealt):  # one part is full
            return room > 0
        more = 2 * int(self.wish[c]) - len(self.shows) * left or 2 * room - undealt
        return more > 0 or (more == 0 and bool(self.draw.integers(2)))
