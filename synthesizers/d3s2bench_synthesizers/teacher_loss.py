"""How well a teacher reads a pair: its cross-entropy at each pixel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from d3s2bench import IGNORE, Context, Image, Mask, ModelError
from d3s2bench_synthesizers.painting import require_classes

BATCH = 16
"""Images that the teacher sees together."""

Losses = NDArray[np.float32]
"""``(B, H, W) float32`` in nats, 0 where the mask is ignored."""


def pixel_losses(images: Sequence[Image], masks: Sequence[Mask], context: Context) -> Losses:
    """``(B, H, W)`` for B pairs of one size. Raises ModelError for a teacher of other classes than the dataset's."""
    batches = [slice(first, first + BATCH) for first in range(0, len(images), BATCH)]
    return np.concatenate([_losses(np.stack(images[part]), np.stack(masks[part]), context) for part in batches])


@torch.no_grad()
def teacher_logits(images: NDArray[np.uint8], context: Context) -> Tensor:
    """``(B, C, H, W)`` of ``(B, H, W, 3)``. Raises ModelError for a teacher of other classes than the dataset's, and
    for one that gives what are no numbers."""
    pixels = torch.from_numpy(images).to(context.device).permute(0, 3, 1, 2).float() / 255
    logits, _ = context.teacher.features(pixels)
    require_classes("teacher", logits.shape[1], context)
    if not logits.isfinite().all():
        raise ModelError("the teacher's logits are no numbers: make it again with `d3s2bench train teacher`")
    return logits


def _losses(images: NDArray[np.uint8], masks: NDArray[np.uint8], context: Context) -> Losses:
    logits = teacher_logits(images, context)
    labels = torch.from_numpy(masks).long().to(context.device)
    found: Losses = F.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="none").float().cpu().numpy()
    return found


def mean_losses(losses: Losses, masks: Sequence[Mask]) -> NDArray[np.float64]:
    """``(B,)``: the mean over the labelled pixels of each pair; infinite where there are none."""
    labelled = (np.stack(masks) != IGNORE).sum(axis=(1, 2))
    total = losses.sum(axis=(1, 2), dtype=np.float64)
    return np.where(labelled > 0, total / np.maximum(labelled, 1), np.inf)
