"""Foreground: the images that their classes dominate.

Li et al., "Foreground-Aware Dataset Distillation via Dynamic Patch Selection", arXiv 2601.02727.

Re-implementation, carried over from classification. There, a segmenter finds the foreground of each image, and an
image whose foreground occupies at least its category's threshold, a quantile of the category's occupancies, is kept
whole; others give patches. Here the masks are known, every class is a category, and only the first half is selection:

1. The occupancy of class c in image i is its share of the image's pixels. Image i *qualifies* for c when it is at least
   the ``quantile`` of the occupancies over the images that show c (linear interpolation).
2. The classes take turns, from the one that the fewest images show (ties: the lowest id) to the one that most do. Each
   takes an unused image that qualifies for it: with ``prefer="classes"`` the one that qualifies for the most classes,
   ties: the highest occupancy of c; with ``"occupancy"`` the other way round; then the lowest index.
3. A class without such an image leaves the round. When all have left, they take turns in the same way among the images
   that show them without qualifying; and then images that show no class follow by index.

``background`` names the ids of classes that are no foreground: they get no turn. A class that no image shows gets none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from d3s2bench import Budget, ConfigError, Context, MaskIndex, Selection
from d3s2bench_selectors.budgets import check_budget

PREFERENCES = ("classes", "occupancy")

Queue = Iterator[tuple[int, float]]
"""Images with their occupancy of one class."""


@dataclass(frozen=True)
class Foreground:
    """Reads the mask index alone: no image, no seed."""

    quantile: float = 0.3
    prefer: str = "classes"
    background: tuple[int, ...] = ()

    deterministic: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.quantile <= 1:
            raise ConfigError(f"selector foreground: quantile is {self.quantile:g}: give a number from 0 to 1")
        if self.prefer not in PREFERENCES:
            raise ConfigError(f"selector foreground: prefer is '{self.prefer}': give one of {', '.join(PREFERENCES)}")

    def select(self, index: MaskIndex, budget: Budget, context: Context) -> Selection:
        """``(K,) int64`` images in the order of choice; scores: the occupancy of the class that took each, else 0.

        Raises:
            BudgetError: there are fewer masks than the budget wants.
            ConfigError: ``background`` names a class that does not exist.
        """
        check_budget(index, budget)
        self._check_background(index.num_classes)
        occupancy = index.counts / np.maximum(index.pixels, 1)[:, None]
        occupancy[:, self.background] = 0
        qualifies = occupancy >= thresholds(occupancy, self.quantile)
        taken: set[int] = set()
        turns = chain(
            _turns(self._queues(qualifies, occupancy, qualifies.sum(axis=1)), taken),
            _turns(self._queues(occupancy > 0, occupancy, qualifies.sum(axis=1)), taken),
            ((i, 0.0) for i in range(len(index)) if i not in taken),
        )
        picks = list(islice(turns, budget.images))
        return Selection(np.array([i for i, _ in picks], np.int64), np.array([score for _, score in picks], np.float64))

    def _check_background(self, classes: int) -> None:
        if outside := [c for c in self.background if not 0 <= c < classes]:
            raise ConfigError(f"selector foreground: background is class {outside[0]}: there are 0 to {classes - 1}")

    def _queues(
        self, members: NDArray[np.bool_], occupancy: NDArray[np.float64], breadth: NDArray[np.int64]
    ) -> Iterator[Queue]:
        """The members of each class that is shown, the rarest class first and the preferred image first."""
        shown = (occupancy > 0).sum(axis=0)
        for c in np.argsort(shown, kind="stable"):
            who = np.flatnonzero(members[:, c])
            keys = [-occupancy[who, c], -breadth[who]]  # sorted by the last, then by the first, then by index
            order = who[np.lexsort(keys if self.prefer == "classes" else keys[::-1])]
            yield zip(order.tolist(), occupancy[order, c].tolist(), strict=True)


def thresholds(occupancy: NDArray[np.float64], quantile: float) -> NDArray[np.float64]:
    """``(C,)`` from ``(N, C)``: the quantile over the images that show the class; infinite when none does."""
    found = np.full(occupancy.shape[1], np.inf)
    for c, column in enumerate(occupancy.T):
        if (shown := column[column > 0]).size:
            found[c] = np.quantile(shown, quantile)
    return found


def _turns(queues: Iterable[Queue], taken: set[int]) -> Iterator[tuple[int, float]]:
    """The first of each queue that is not taken yet, round after round, until all queues are empty."""
    waiting = deque(queues)
    while waiting:
        queue = waiting.popleft()
        for i, score in queue:
            if i not in taken:
                taken.add(i)
                waiting.append(queue)
                yield i, score
                break
