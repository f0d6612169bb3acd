"""Lazy greedy maximisation of a feature-based submodular function, ``f(S) = Σ_c g(Σ_{i∈S} x_ic)`` with concave g.

Greedy choice reaches at least ``1 − 1/e`` of the best ``f`` (Nemhauser, Wolsey & Fisher, "An analysis of approximations
for maximizing submodular set functions", Mathematical Programming 14, 1978). A gain only falls as the set grows, so one
computed earlier bounds the present one, and few have to be computed again (Minoux, "Accelerated greedy algorithms for
maximizing submodular set functions", 1978).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Concave = Callable[[NDArray[np.float64]], NDArray[np.float64]]

CONCAVE: dict[str, Concave] = {"sqrt": np.sqrt, "log1p": np.log1p}

DECIMALS = 9
"""Gains are compared to so many, so that the order of summation neither makes nor breaks a tie."""
SHORTLIST, BLOCK = 2048, 64
"""Sizes that change the speed, never the choice."""


class LazyGreedy:
    """The plain greedy choice, ties to the lowest index: ``features`` is ``(N, C)``, not negative."""

    def __init__(self, features: NDArray[np.float64] | NDArray[np.bool_], concave: str) -> None:
        self.features, self.concave = features, CONCAVE[concave]
        self.reached = np.zeros(features.shape[1])
        self.bound = np.empty(len(features))
        for first in range(0, len(features), SHORTLIST):
            rows = slice(first, first + SHORTLIST)
            self.bound[rows] = self._gains(rows)
        self._draw_shortlist()

    def pick(self) -> tuple[int, float] | None:
        """The next row and its gain; None when no unused row has a gain."""
        best, gain = self._best_of_shortlist()
        while gain < self.floor:
            self._draw_shortlist()
            best, gain = self._best_of_shortlist()
        if gain <= 0:
            return None
        self.bound[best] = -np.inf  # used
        self.reached += self.features[best]
        return best, gain

    def _draw_shortlist(self) -> None:
        """The rows of the highest bounds, equal ones together: all others lie below ``floor``."""
        outside = len(self.bound) - SHORTLIST
        self.floor = np.partition(self.bound, outside)[outside] if outside > 0 else -np.inf
        self.shortlist = np.flatnonzero(self.bound >= self.floor)

    def _best_of_shortlist(self) -> tuple[int, float]:
        """Computes gains in the order of their bounds, until no other row can come before the best."""
        order = self.shortlist[np.argsort(-self.bound[self.shortlist], kind="stable")]
        best, gain = len(self.bound), 0.0
        for first in range(0, len(order), BLOCK):
            block = order[first : first + BLOCK]
            bound = self.bound[block]
            block = block[(bound > gain) | ((bound == gain) & (block < best))]
            if not block.size:
                break
            gains = self.bound[block] = self._gains(block)
            top = float(gains.max())
            best, gain = min((best, gain), (int(block[gains == top].min()), top), key=lambda pick: (-pick[1], pick[0]))
        return best, gain

    def _gains(self, rows: slice | NDArray[np.int64]) -> NDArray[np.float64]:
        rise = self.concave(self.reached + self.features[rows]) - self.concave(self.reached)
        gains: NDArray[np.float64] = np.round(rise.sum(axis=1), DECIMALS)
        return gains
