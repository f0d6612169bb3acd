"""Greedy k-center.

Sener & Savarese, "Active Learning for Convolutional Neural Networks: A Core-Set Approach", ICLR 2018, Algorithm 1.

Re-implementation of the greedy 2-approximation, not of the mixed integer programme that refines it. As core-set
libraries do, the first centre is drawn at random (the paper starts from labelled data). For segmentation, an image's
feature is the teacher's last encoder stage, averaged over height and width, or that of a backbone (``features``); the
distance is Euclidean.
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
class KCenter(ImageFeatures):
    """Reads photographs through the teacher or a backbone; no mask."""

    deterministic: ClassVar[bool] = False

    def select(self, index: MaskIndex, budget: Budget, context: Context) -> Selection:
        """``(K,) int64`` centres in the order of choice; scores as in :func:`k_center`."""
        check_budget(index, budget)
        features = self.read(context)
        first = int(np.random.default_rng(context.seed).integers(len(features)))
        return k_center(features, budget.images, first)


def k_center(features: NDArray[np.floating], centres: int, first: int) -> Selection:
    """Takes the point farthest from its nearest centre, again and again.

    Exact up to rounding: all N points compete at every step, with distances as :class:`SquaredDistances` rounds them.
    Of equal ones the lowest index is taken; points that coincide may differ in the last bit.

    ``features`` is ``(N, D)`` float; memory stays at ``O(N·D)``. The score of each centre is the radius of the cover
    once it is chosen: the distance of the farthest point from its nearest centre.
    """
    squared_distances = SquaredDistances(features)
    nearest = np.full(len(features), np.inf, features.dtype)
    indices, radii = np.zeros(centres, np.int64), np.zeros(centres)
    chosen = first
    for k in range(centres):
        indices[k] = chosen
        np.minimum(nearest, squared_distances.to(chosen), out=nearest)
        nearest[chosen] = -1  # never again, even among equal points
        chosen = int(nearest.argmax())
        radii[k] = np.sqrt(max(nearest[chosen], 0))
    return Selection(indices, radii)


class SquaredDistances:
    """Squared Euclidean distances from one point to all, in the precision of the features: one matrix–vector product.

    ``‖a‖² + ‖b‖² − 2a·b`` of the points less their mean, which keeps the rounding relative to their spread. Nothing of
    size N×N is made, and the two buffers of size N are used again: fresh ones cost as much as the arithmetic.
    """

    def __init__(self, features: NDArray[np.floating]) -> None:
        self.points = features - features.mean(axis=0)
        self.square = np.einsum("nd,nd->n", self.points, self.points)
        self.products, self.sums = np.empty_like(self.square), np.empty_like(self.square)

    def to(self, i: int) -> NDArray[np.floating]:
        """``(N,)``, at least 0; valid until the next call."""
        np.matmul(self.points, self.points[i], out=self.products)
        self.products *= 2
        np.add(self.square, self.square[i], out=self.sums)
        self.sums -= self.products
        squared: NDArray[np.floating] = np.maximum(self.sums, 0, out=self.sums)
        return squared
