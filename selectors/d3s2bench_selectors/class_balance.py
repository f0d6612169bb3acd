"""Class balance: the set whose classes, taken together, are nearest to uniform.

Nogueira et al., "Core-Set Selection for Data-efficient Land Cover Segmentation", arXiv 2505.01225 (IEEE Access 2026),
method "Class Balance" (CB).

Re-implementation: published is the aim, a set of balanced classes. That it is reached greedily is how the one public
library that has it reads the paper, too (pytorch_segmentation_models_trainer, on class frequencies of each image where
ours counts pixels, which differs where images differ in size). Each step takes the mask that raises the entropy of the
class distribution of all pixels chosen so far the most (or lowers it the least). The first is thus the one of the
highest label complexity. Ties (to twelve decimals): the lowest index. A mask without a labelled pixel changes nothing
and is taken when no other is left.

The entropy of S pixels, n_c of class c, is ``log S − Σ_c n_c log n_c / S``, and a mask changes the terms of its own
classes only: a step costs one logarithm for each class that each mask shows. An entropy is not submodular: what a mask
added in an earlier step bounds nothing, so no mask can be skipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from d3s2bench import Budget, Context, MaskIndex, Selection
from d3s2bench_selectors.budgets import check_budget

DECIMALS = 12


@dataclass(frozen=True)
class ClassBalance:
    """Reads the mask index alone: no image, no seed."""

    deterministic: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ()

    def select(self, index: MaskIndex, budget: Budget, context: Context) -> Selection:
        """``(K,) int64`` masks in the order of choice; scores: the entropy of the set so far, in nats.

        Raises:
            BudgetError: there are fewer masks than the budget wants.
        """
        check_budget(index, budget)
        labelled = np.flatnonzero(index.counts.any(axis=1))
        chosen, scores = _greedy(index.counts[labelled], min(budget.images, len(labelled)))
        missing = budget.images - len(chosen)
        unlabelled = np.setdiff1d(np.arange(len(index)), labelled)[:missing] if missing else labelled[:0]
        same = np.full(missing, scores[-1] if len(scores) else 0.0)
        return Selection(np.concatenate([labelled[chosen], unlabelled]), np.concatenate([scores, same]))


def _greedy(counts: NDArray[np.int64], images: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """``(images,)`` rows in the order of choice, and the entropy after each; every row holds a pixel."""
    rows, classes = counts.nonzero()
    pixels, size = counts[rows, classes].astype(np.float64), counts.sum(axis=1)
    chosen, scores = np.zeros(images, np.int64), np.zeros(images)
    reached, unused = np.zeros(counts.shape[1]), np.ones(len(counts), bool)
    for k in range(images):
        before = _x_log_x(reached)
        change = _x_log_x(reached[classes] + pixels) - before[classes]
        sums = before.sum() + np.bincount(rows, change, minlength=len(counts))
        total = reached.sum() + size
        entropy = np.where(unused, np.round(np.log(total) - sums / total, DECIMALS), -np.inf)
        chosen[k] = entropy.argmax()
        scores[k] = max(entropy[chosen[k]], 0)
        reached += counts[chosen[k]]
        unused[chosen[k]] = False
    return chosen, scores


def _x_log_x(x: NDArray[np.float64]) -> NDArray[np.float64]:
    product: NDArray[np.float64] = x * np.log(np.maximum(x, 1))  # whole numbers: 0 log 0 is 0
    return product
