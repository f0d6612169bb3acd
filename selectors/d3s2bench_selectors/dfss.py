"""Selection by BatchNorm statistics: Approximate Distribution Sampling of DFSS.

Sun & Wu, "Seeing the Whole Picture: Distribution-Guided Data-Free Distillation for Semantic Segmentation", arXiv
2512.13175.

Re-implementation. DFSS draws the samples whose feature statistics are nearest to those the teacher's BatchNorm layers
keep of its training data: ``d_i = ||mu(x_i) − mu_bn||_2 + ||sigma²(x_i) − sigma²_bn||_2``, lowest first, with mean and
(biased) variance over height and width of one image at the input of the layer. Which layers it reads is not public:
ours sums ``d_i`` over all that the teacher offers (for ``unet`` and ``deeplab``, the BatchNorm that each block ends in)
unless ``layers`` names some. The rest of DFSS is no selection: the teacher's pseudo-labels for what is drawn are the
synthesizer ``pseudo-labels``, the progressive distillation of a student is the evaluator's ``labels=wdpd``.

``diversity`` is ours alone. The lowest ``d_i`` often belong to images that look alike; with a weight above 0 each step
takes the unused image of the least ``d̃_i − diversity · r̃_i``, where ``r_i`` is the Euclidean distance of its pooled
features (the teacher's last stage) from the nearest chosen image. Both are min-max normalised to 0…1 over all images:
``d̃`` at the start, ``r̃`` by the distances from the first choice, which has the least ``d_i``. So 0 is DFSS, and a
great weight is farthest-first (k-center).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from d3s2bench import Budget, ConfigError, Context, MaskIndex, ModelError, Selection, Teacher
from d3s2bench_selectors.budgets import check_budget
from d3s2bench_selectors.k_center import SquaredDistances

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Dfss:
    """Reads photographs and the teacher; no mask, no seed. No ``layers`` means all that the teacher offers."""

    layers: tuple[str, ...] = ()
    diversity: float = 0.0

    deterministic: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("teacher",)

    def __post_init__(self) -> None:
        if not 0 <= self.diversity < float("inf"):
            raise ConfigError(f"selector dfss: diversity is {self.diversity:g}: it must be at least 0, and finite")

    def select(self, index: MaskIndex, budget: Budget, context: Context) -> Selection:
        """``(K,) int64`` images in the order of choice, with their distances ``d_i``; ties: the lowest index.

        Raises:
            ModelError: the teacher offers no BatchNorm layer, or has features that are no numbers.
            ConfigError: ``layers`` names one that it does not have.
        """
        from d3s2bench_selectors.teacher_features import pooled

        check_budget(index, budget)
        distances = self._distances(context)
        if self.diversity:
            indices = diverse(distances, pooled(context), budget.images, self.diversity)
        else:
            indices = np.argsort(distances, kind="stable")[: budget.images]
        return Selection(indices, distances[indices])

    def _distances(self, context: Context) -> NDArray[np.float64]:
        """``(N,)``: ``d_i`` of every train image."""
        from d3s2bench_selectors.teacher_features import per_image

        kept = {layer: context.teacher.batchnorm[layer] for layer in self._layers(context.teacher)}

        def distance(features: Mapping[str, Tensor]) -> Tensor:
            distances = [_distance(features[layer].double(), *statistics) for layer, statistics in kept.items()]
            return sum(distances[1:], distances[0])[:, None]

        return per_image(context.dataset.split("train"), context, distance, "batchnorm_input")[:, 0]

    def _layers(self, teacher: Teacher) -> tuple[str, ...]:
        known = tuple(teacher.batchnorm)
        if not known:
            give = "use one that does, as --set teacher_arch=unet"
            raise ModelError(f"selector dfss: the teacher offers no BatchNorm statistics: {give}")
        if unknown := [layer for layer in self.layers if layer not in known]:
            raise ConfigError(f"selector dfss: no BatchNorm layer '{unknown[0]}': known: {', '.join(known)}")
        return self.layers or known


def diverse(
    distances: NDArray[np.float64], features: NDArray[np.floating], images: int, weight: float
) -> NDArray[np.int64]:
    """``(K,)``: low distance ``(N,)`` against far features ``(N, D)``, as the module says; ties: the lowest index."""
    badness = _unit(distances)
    squared_distances = SquaredDistances(features)
    nearest = np.full(len(features), np.inf)
    indices = np.zeros(images, np.int64)
    chosen = int(distances.argmin())
    farthest = np.sqrt(squared_distances.to(chosen).max()) or 1.0  # all alike: no distance to share out
    for k in range(images):
        indices[k] = chosen
        np.minimum(nearest, np.sqrt(squared_distances.to(chosen)) / farthest, out=nearest)
        cost = badness - weight * nearest
        cost[indices[: k + 1]] = np.inf
        chosen = int(cost.argmin())
    return indices


def _unit(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Min-max normalised to 0…1; all 0 where all are equal."""
    low, high = values.min(), values.max()
    unit: NDArray[np.float64] = (values - low) / ((high - low) or 1.0)
    return unit


def _distance(features: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """``(B,)`` from ``(B, D, h, w)`` and the kept statistics, each ``(D,)``."""
    apart = (features.mean((2, 3)) - mean.to(features), features.var((2, 3), correction=0) - variance.to(features))
    return apart[0].square().sum(1).sqrt() + apart[1].square().sum(1).sqrt()
