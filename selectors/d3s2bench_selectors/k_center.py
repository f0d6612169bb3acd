"""Greedy k-center.

Sener & Savarese, "Active Learning for Convolutional Neural Networks: A Core-Set Approach", ICLR 2018, Algorithm 1.

Re-implementation of the greedy 2-approximation, not of the mixed integer programme that refines it. As core-set
libraries do, the first centre is drawn at random (the paper starts from labelled data). For segmentation, an image's
feature is the teacher's last encoder stage, averaged over height and width; the distance is Euclidean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from d3s2bench import Budget, ConfigError, Context, MaskIndex, Selection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


FEATURES = "pooled last stage of the teacher"


@dataclass(frozen=True)
class KCenter:
    """Reads photographs and the teacher; no mask. ``features`` says in each record what the distances are between."""

    features: str = FEATURES

    deterministic: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ("teacher",)

    def __post_init__(self) -> None:
        if self.features != FEATURES:
            raise ConfigError(f"selector k-center: features are '{self.features}': there is only '{FEATURES}'")

    def select(self, index: MaskIndex, budget: Budget, context: Context) -> Selection:
        """``(K,) int64`` centres in the order of choice; scores as in :func:`k_center`."""
        from d3s2bench_selectors.teacher_features import per_image

        layer = context.teacher.pooled_layer

        def pool(features: Mapping[str, Tensor]) -> Tensor:
            return features[layer].double().mean((2, 3))

        features = per_image(context.dataset.split("train"), context, pool)
        first = int(np.random.default_rng(context.seed).integers(len(features)))
        return k_center(features, budget.images, first)


def k_center(features: NDArray[np.float64], centres: int, first: int) -> Selection:
    """Takes the point farthest from its nearest centre, again and again (ties: the lowest index).

    ``features`` is ``(N, D)``; memory stays at ``O(N·D)``. The score of each centre is the radius of the cover once it
    is chosen: the distance of the farthest point from its nearest centre.
    """
    centred = features - features.mean(axis=0)  # keeps the expanded square accurate
    square = (centred**2).sum(axis=1)
    nearest = np.full(len(features), np.inf)
    indices, radii = np.zeros(centres, np.int64), np.zeros(centres)
    chosen = first
    for k in range(centres):
        indices[k] = chosen
        nearest = np.minimum(nearest, square + square[chosen] - 2 * (centred @ centred[chosen]))
        nearest = np.maximum(nearest, 0)
        nearest[indices[: k + 1]] = -1  # never again, even among equal points
        chosen = int(nearest.argmax())
        radii[k] = np.sqrt(max(nearest[chosen], 0))
    return Selection(indices, radii)
