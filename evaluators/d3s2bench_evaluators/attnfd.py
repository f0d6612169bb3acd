"""Attention-guided feature distillation: the student's refined features follow the teacher's.

Mansourian et al., "Attention-guided Feature Distillation for Semantic Segmentation", arXiv 2403.05451. Attention is
CBAM: Woo et al., "CBAM: Convolutional Block Attention Module", ECCV 2018.

Re-implementation from the abstract and from reading the authors' code (github.com/AmirMansurian/AttnFD). The loss is
cross-entropy with hard labels plus ``α · Σ_layers ||S / ||S|| − T / ||T|| ||² / B``, where S and T are the features of
a batch of B images behind a CBAM each, and norms run over the whole batch; α = 2. The teacher's CBAM keeps its initial
weights, since no optimiser of theirs holds it. They distil what leaves the backbone, the atrous pyramid and the decoder
of two DeepLabs. Ours takes any two networks and pairs the last layers of the encoders and, counted from the output
backwards, the layers behind these, as many as both have: which is the same three between our DeepLab and a U-Net.

Ours differs in what carries the student's refined features over to the teacher's: a 1×1 convolution with BatchNorm only
where the widths differ, and learnt all through the training (theirs always, learnt in a first epoch of its own); and
bilinear resizing where the sizes differ. All of the student's CBAM learns (theirs but for the linear layers), features
are activations after ReLU (theirs before it, in the backbone), the teacher runs on its BatchNorm statistics, and CBAM
and projection start as PyTorch has them (theirs from Kaiming's normal distribution). The cross-entropy is that of the
output alone: UPerNet's auxiliary head, which hard labels train, has no part in it. With ``accumulate``, norms run over
a micro-batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from d3s2bench import Context, Teacher, derive_seed
from d3s2bench_evaluators.losses import HardLabels, Loss, Step
from d3s2bench_evaluators.networks import Network, resize

REDUCTION = 16
"""Of channels in the hidden layer of a CBAM (Woo et al., §3); never below one."""


class AttnFd(Loss):
    """Hard labels, and the distance of refined features times ``alpha``."""

    def __init__(self, teacher: Teacher, network: Network, alpha: float) -> None:
        super().__init__()
        self.teacher = teacher.features  # not the teacher: one that is a module would become a part of this one
        self.alpha = alpha
        self.labels = HardLabels()
        self.pairs = paired(network, teacher)
        self.layers = tuple(ours for ours, _ in self.pairs)
        self.bridges = nn.ModuleList(
            Bridge(network.widths[ours], teacher.class_features[theirs][0].shape[1]) for ours, theirs in self.pairs
        )

    def forward(self, step: Step) -> Tensor:
        with torch.no_grad():
            seen = self.teacher(step.images)[1]
        both = zip(self.bridges, self.pairs, strict=True)
        apart = [bridge(step.features[ours], seen[theirs]) for bridge, (ours, theirs) in both]
        labels: Tensor = self.labels(step)
        return labels + self.alpha * torch.stack(apart).sum()


def attnfd(teacher: Teacher, network: Network, alpha: float, context: Context) -> AttnFd:
    """The loss as it starts: its weights depend on the seed and on the widths of the layers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("attnfd", context.seed))
        return AttnFd(teacher, network, alpha).to(context.device)


def paired(network: Network, teacher: Teacher) -> tuple[tuple[str, str], ...]:
    """The student's layer and the teacher's, for each pair."""
    ours = _by_depth(tuple(network.blocks), network.pooled_layer)
    return tuple(zip(ours, _by_depth(teacher.layers, teacher.pooled_layer), strict=False))


def _by_depth(layers: Sequence[str], pooled_layer: str) -> tuple[str, ...]:
    """The encoder's last layer, then those behind it from the output backwards."""
    behind = layers[layers.index(pooled_layer) + 1 :]
    return (pooled_layer, *reversed(behind))


class Bridge(nn.Module):
    """From a student's layer of some width to a teacher's: how far apart their refined features are."""

    def __init__(self, width: int, teacher_width: int) -> None:
        super().__init__()
        self.student = Cbam(width)
        self.teacher = Cbam(teacher_width).requires_grad_(False)
        self.project = nn.Identity() if width == teacher_width else _projection(width, teacher_width)

    def forward(self, ours: Tensor, theirs: Tensor) -> Tensor:
        """A number between 0 and 4 / B, of features ``(B, D, h, w)`` whose D, h and w may differ."""
        refined = resize(self.project(self.student(ours.float())), theirs.shape[-2:])
        apart: Tensor = _unit(refined) - _unit(self.teacher(theirs))
        return apart.square().sum() / len(ours)


class Cbam(nn.Module):
    """Features ``(B, D, h, w)`` times a gate for each channel, then times a gate for each pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // REDUCTION, 1)
        self.channel = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))
        self.pixel = nn.Sequential(nn.Conv2d(2, 1, 7, padding=3, bias=False), nn.BatchNorm2d(1))

    def forward(self, x: Tensor) -> Tensor:
        gate = self.channel(x.mean((2, 3))) + self.channel(x.amax((2, 3)))
        x = x * gate.sigmoid()[..., None, None]
        gate = self.pixel(torch.stack([x.amax(1), x.mean(1)], dim=1))
        refined: Tensor = x * gate.sigmoid()
        return refined


def _projection(width: int, teacher_width: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(width, teacher_width, 1, bias=False), nn.BatchNorm2d(teacher_width))


def _unit(x: Tensor) -> Tensor:
    """Of Euclidean length 1, the whole batch together."""
    return F.normalize(x.flatten(), dim=0)
