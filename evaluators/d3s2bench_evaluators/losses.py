"""What a student learns from: the labels of the pairs, or a teacher's opinion about the same image."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from d3s2bench import IGNORE, Teacher


@dataclass(frozen=True)
class Step:
    """What a loss sees of one iteration."""

    logits: Tensor
    """The student's, ``(B, C, H, W)``."""
    images: Tensor
    """``(B, 3, H, W)`` in 0…1, augmented."""
    masks: Tensor
    """``(B, H, W) int64``, augmented alike."""
    features: Mapping[str, Tensor] = field(default_factory=dict)
    """The student's activations ``(B, D, h, w)`` in the layers that the loss names."""
    items: Sequence[int] = ()
    """Which pairs of the set these are."""
    done: float = 0.0
    """The share of all iterations that came before this one."""


class Loss(nn.Module, ABC):
    """Its parameters, if it has any, are trained with the student's and are no part of what is scored."""

    layers: tuple[str, ...] = ()
    """The student's layers whose activations it reads."""

    @abstractmethod
    def forward(self, step: Step) -> Tensor:
        """A number: what is asked of labelled pixels is their mean over the batch, and 0 when there is none."""


class HardLabels(Loss):
    """Cross-entropy with the classes of the mask."""

    def forward(self, step: Step) -> Tensor:
        return cross_entropy(step.logits, step.masks)


class SoftLabels(Loss):
    """``T² · cross-entropy(softmax(teacher / T), softmax(student / T))`` (Hinton et al. 2015, §2)."""

    def __init__(self, teacher: Teacher, temperature: float) -> None:
        super().__init__()
        self.teacher = teacher.features  # not the teacher: one that is a module would become a part of this one
        self.temperature = temperature

    def forward(self, step: Step) -> Tensor:
        losses = self.pixels(step)[step.masks.flatten() != IGNORE]
        return self.temperature**2 * losses.sum() / labelled(step.masks)

    def pixels(self, step: Step) -> Tensor:
        """``(B·H·W,)``: the cross-entropy of each pixel, whether it is labelled or not."""
        with torch.no_grad():
            targets = F.softmax(_rows(self.teacher(step.images)[0]) / self.temperature, dim=1)
        return F.cross_entropy(_rows(step.logits) / self.temperature, targets, reduction="none")


def cross_entropy(logits: Tensor, masks: Tensor) -> Tensor:
    """The mean over labelled pixels, of logits ``(B, C, H, W)`` and masks ``(B, H, W) int64``; 0 when there is none."""
    # Pixels as rows: three times as fast on a CPU as cross-entropy over channel planes.
    total = F.cross_entropy(_rows(logits), masks.flatten(), ignore_index=IGNORE, reduction="sum")
    return total / labelled(masks)


def labelled(masks: Tensor) -> Tensor:
    """How many pixels are labelled, at least 1."""
    return (masks != IGNORE).sum().clamp(min=1)


def _rows(logits: Tensor) -> Tensor:
    """``(B, C, H, W)`` → ``(B·H·W, C)``."""
    return logits.permute(0, 2, 3, 1).reshape(-1, logits.shape[1]).float()
