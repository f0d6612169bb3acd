"""Label complexity: the masks in which the classes are mixed most.

Nogueira et al., "Core-Set Selection for Data-efficient Land Cover Segmentation", arXiv 2505.01225 (IEEE Access 2026),
method "Label Complexity" (LC).

Re-implementation. The score of mask M is the Shannon entropy of its class distribution, ``H(M) = −Σ_c p_c log p_c``,
with ``p_c`` the share of class c among the labelled pixels; the highest are taken. The paper divides by the largest
entropy of the pool, which changes no order: ours stay in nats. Ties (to twelve decimals): the lowest index. A mask
without a labelled pixel has entropy 0 and comes after those of a single class.
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
class LabelComplexity:
    """Reads the mask index alone: no image, no seed."""

    deterministic: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ()

    def select(self, index: MaskIndex, budget: Budget, context: Context) -> Selection:
        """``(K,) int64`` masks of the highest entropy, which is their score.

        Raises:
            BudgetError: there are fewer masks than the budget wants.
        """
        check_budget(index, budget)
        scores = entropy(index.counts)
        unlabelled = ~index.counts.any(axis=1)
        indices = np.lexsort((unlabelled, -np.round(scores, DECIMALS)))[: budget.images]
        return Selection(indices, scores[indices])


def entropy(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """``(N,) float64`` in nats from ``(N, C)`` pixels; 0 for a row without any."""
    rows, classes = counts.nonzero()
    share = counts[rows, classes] / counts.sum(axis=1)[rows]
    return np.asarray(np.bincount(rows, -share * np.log(share), minlength=len(counts)), np.float64)
