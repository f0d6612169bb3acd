"""Selection by BatchNorm statistics: Approximate Distribution Sampling of DFSS.

Sun & Wu, "Seeing the Whole Picture: Distribution-Guided Data-Free Distillation for Semantic Segmentation", arXiv
2512.13175.

Re-implementation. DFSS draws the samples whose feature statistics are nearest to those the teacher's BatchNorm layers
keep of its training data: ``d_i = ||mu(x_i) − mu_bn||_2 + ||sigma²(x_i) − sigma²_bn||_2``, lowest first, with mean and
(biased) variance over height and width of one image at the input of the layer. Which layers it reads is not public:
ours sums ``d_i`` over all of them unless ``layers`` names some. The rest of DFSS, its progressive distillation of a
student, is no selection and is not done here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from d3s2bench import Budget, ConfigError, Context, MaskIndex, ModelError, Selection, Teacher

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Dfss:
    """Reads photographs and the teacher; no mask, no seed. No ``layers`` means every BatchNorm layer."""

    layers: tuple[str, ...] = ()

    deterministic: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("teacher",)

    def select(self, index: MaskIndex, budget: Budget, context: Context) -> Selection:
        """``(K,) int64`` images of the least distance ``d_i``, which is their score; ties: the lowest index.

        Raises:
            ModelError: the teacher has no BatchNorm layer.
            ConfigError: ``layers`` names one that it does not have.
        """
        from d3s2bench_selectors.teacher_features import per_image

        kept = {layer: context.teacher.batchnorm[layer] for layer in self._layers(context.teacher)}

        def distance(features: Mapping[str, Tensor]) -> Tensor:
            distances = [_distance(features[layer].double(), *statistics) for layer, statistics in kept.items()]
            return sum(distances[1:], distances[0])[:, None]

        distances = per_image(context.dataset.split("train"), context, distance, "batchnorm_input")[:, 0]
        indices = np.argsort(distances, kind="stable")[: budget.images]
        return Selection(indices, distances[indices])

    def _layers(self, teacher: Teacher) -> tuple[str, ...]:
        known = tuple(teacher.batchnorm)
        if not known:
            raise ModelError("selector dfss: the teacher has no BatchNorm layer: use a teacher of an architecture with")
        if unknown := [layer for layer in self.layers if layer not in known]:
            raise ConfigError(f"selector dfss: no BatchNorm layer '{unknown[0]}': known: {', '.join(known)}")
        return self.layers or known


def _distance(features: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """``(B,)`` from ``(B, D, h, w)`` and the kept statistics, each ``(D,)``."""
    apart = (features.mean((2, 3)) - mean.to(features), features.var((2, 3), correction=0) - variance.to(features))
    return apart[0].square().sum(1).sqrt() + apart[1].square().sum(1).sqrt()
