"""Soft labels that trust typical images first: Weighted Distribution Progressive Distillation of DFSS.

Sun & Wu, "Seeing the Whole Picture: Distribution-Guided Data-Free Distillation for Semantic Segmentation", arXiv
2512.13175.

Re-implementation. Published is that an image's weight starts from the distance of its features' mean and variance to
the statistics of the teacher's BatchNorm layers, ``d_i = ||mu(x_i) − mu_bn||_2 + ||sigma²(x_i) − sigma²_bn||_2``,
min-max normalised over the set so that a low distance is a high weight, and that training goes from reliable images to
all of them. The schedule is not public. Ours is linear: ``w_i(t) = w_i + (1 − w_i) · min(1, t / T_ramp)``, where
``T_ramp`` is a share of the iterations. Ours, too: ``d_i`` is summed over all BatchNorm layers that the teacher offers
(those that blocks end in, for ``unet`` and ``deeplab``; with mean and biased variance over height and width at the
input of the layer), it is measured on the resized image before augmentation, and what is weighted is the soft-label
loss of an image's labelled pixels; weights are not rescaled to a mean of 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from d3s2bench import Context, ModelError, Teacher
from d3s2bench_evaluators.batches import Resized
from d3s2bench_evaluators.losses import SoftLabels, Step

BATCH = 16


class Wdpd(SoftLabels):
    """Soft labels, the images' losses weighted; from the share ``ramp`` of the iterations on, soft labels as they are.

    ``distances`` is ``(N,)``: one for each pair of the set.
    """

    reliability: Tensor

    def __init__(self, teacher: Teacher, temperature: float, distances: Tensor, ramp: float) -> None:
        super().__init__(teacher, temperature)
        self.register_buffer("reliability", reliability(distances))
        self.ramp = ramp

    def pixels(self, step: Step) -> Tensor:
        losses = super().pixels(step).view(len(step.items), -1)
        return (losses * self.weights(step)[:, None]).flatten()

    def weights(self, step: Step) -> Tensor:
        """``(B,)``: the module's formula, written so that it ends in exactly 1."""
        return 1 - (1 - self.reliability[list(step.items)]) * max(0.0, 1 - step.done / self.ramp)


def wdpd(teacher: Teacher, temperature: float, pairs: Resized, ramp: float, context: Context) -> Wdpd:
    """The loss of a set. Raises ModelError for a teacher without BatchNorm."""
    return Wdpd(teacher, temperature, distances(teacher, pairs, context), ramp)


def reliability(distances: Tensor) -> Tensor:
    """The first weights ``(N,) float32``: 1 for the least distance, 0 for the greatest; all 1 where all are equal."""
    low, high = distances.min(), distances.max()
    return (1 - (distances - low) / (high - low).where(high > low, 1)).float()


@torch.no_grad()
def distances(teacher: Teacher, pairs: Resized, context: Context) -> Tensor:
    """``(N,) float64``: ``d_i`` of every image of the set. Raises ModelError for a teacher without BatchNorm."""
    if not teacher.batchnorm:
        raise ModelError(
            "labels 'wdpd': the teacher offers no BatchNorm statistics: use one that does, as --set teacher_arch=unet"
        )
    found = [torch.zeros(0, dtype=torch.float64, device=context.device)]
    for first in range(0, len(pairs), BATCH):
        images, _ = pairs.batch(range(first, min(first + BATCH, len(pairs))), context.device)
        seen = teacher.features(images, "batchnorm_input")[1]
        layers = [_distance(seen[name].double(), *kept) for name, kept in teacher.batchnorm.items()]
        found.append(torch.stack(layers).sum(0))
        context.progress(min(first + BATCH, len(pairs)), len(pairs), "distances")
    return torch.cat(found)


def _distance(features: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """``(B,)`` from ``(B, D, h, w)`` and the layer's running statistics, each ``(D,)``."""
    apart = (features.mean((2, 3)) - mean.to(features), features.var((2, 3), correction=0) - variance.to(features))
    return apart[0].square().sum(1).sqrt() + apart[1].square().sum(1).sqrt()
