"""Herding: images whose mean feature is that of all.

Welling, "Herding Dynamical Weights to Learn", ICML 2009; as an exemplar rule: Rebuffi et al., "iCaRL: Incremental
Classifier and Representation Learning", CVPR 2017, Algorithm 4.

With μ the mean of all N features and f the features chosen so far, step k + 1 takes the unused image of
``argmin_i ‖μ − (Σ f + f_i) / (k + 1)‖``. The library DeepCore (Guo et al. 2022) takes argmax of this distance and so
moves away from the mean: a bug, for which its herding and ours differ.

Re-implementation. Ours: no image is taken twice (Welling's super-samples may repeat), features are not scaled to unit
length (iCaRL's are), and there are no classes, since an image of a scene has many. An image's feature is the teacher's
last encoder stage, averaged over height and width, or that of a backbone (``features``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from d3s2bench import Budget, Context, MaskIndex, Selection
from d3s2bench_selectors.budgets import check_budget
from d3s2bench_selectors.image_features import ImageFeatures


@dataclass(frozen=True)
class Herding(ImageFeatures):
    """Reads photographs through the teacher or a backbone; no mask, no seed."""

    deterministic: ClassVar[bool] = True

    def select(self, index: MaskIndex, budget: Budget, context: Context) -> Selection:
        """``(K,) int64`` images in the order of choice; scores as in :func:`herding`."""
        check_budget(index, budget)
        return herding(self.read(context), budget.images)


def herding(features: NDArray[np.floating], images: int) -> Selection:
    """Greedy, one matrix–vector product a step: with ``g_i = f_i − μ`` and T the sum of the chosen g, the distance is
    ``‖T + g_i‖ / (k + 1)``, and ``‖T + g_i‖² = ‖T‖² + ‖g_i‖² + 2 T·g_i``.

    ``features`` is ``(N, D)`` float. The score of each image is the distance between the two means once it is chosen.
    Ties, up to rounding: the lowest index.
    """
    centred = features - features.mean(axis=0)
    square = np.einsum("nd,nd->n", centred, centred)  # inf once used
    total = np.zeros_like(centred[0])
    indices, distances = np.zeros(images, np.int64), np.zeros(images)
    for k in range(images):
        indices[k] = chosen = int((square + 2 * (centred @ total)).argmin())
        square[chosen] = np.inf
        total += centred[chosen]
        distances[k] = np.linalg.norm(total) / (k + 1)
    return Selection(indices, distances)
