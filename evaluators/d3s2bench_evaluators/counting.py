"""Counting a student's predictions against the annotations, at their own resolution."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from d3s2bench import IGNORE, Context, Counts, Image, Json, Mask, Split
from d3s2bench_evaluators.batches import as_images, resize_image
from d3s2bench_evaluators.networks import resize

LOGITS_PER_BATCH = 2**23
"""Bounds the memory of a batch of logits (32 MiB)."""

Pairs = list[tuple[Image, Mask]]


@torch.no_grad()
def count(network: nn.Module, split: Split, protocol: Json, context: Context) -> Counts:
    """Confusion ``(N, C, C) int64`` of each image: rows = truth, columns = prediction, ignored pixels left out.

    The image is brought to the protocol's size, the logits bilinearly to the size of the mask, in float32.
    """
    classes = len(context.dataset.classes)
    counts: list[NDArray[np.int64]] = [np.zeros((0, classes, classes), np.int64)]
    done = 0
    for pairs in _batches(split, classes, tuple(protocol["size"])):
        truth = torch.from_numpy(np.stack([mask for _, mask in pairs])).to(context.device).long()
        images = as_images([image for image, _ in pairs], context.device)
        counts.append(confusion(truth, predict(network, images, truth.shape[1:]), classes))
        done += len(pairs)
        context.progress(done, len(split), "")
    return Counts(np.concatenate(counts))


def predict(network: nn.Module, images: Tensor, size: torch.Size) -> Tensor:
    """Classes ``(B, *size) int64`` of images ``(B, 3, h, w)`` in 0…1."""
    return resize(network(images), size).argmax(1)


def confusion(truth: Tensor, predicted: Tensor, classes: int) -> NDArray[np.int64]:
    """``(B, C, C) int64`` of train ids ``(B, H, W)``, pixels whose truth is 255 left out."""
    image = torch.arange(len(truth), device=truth.device)[:, None, None]
    cell = (image * classes + truth) * classes + predicted
    flat = torch.bincount(cell[truth != IGNORE], minlength=len(truth) * classes**2)
    return flat.view(len(truth), classes, classes).cpu().numpy()


def _batches(split: Split, classes: int, size: tuple[int, int]) -> Iterator[Pairs]:
    """Images at the network's size with their masks, neighbours with masks of one size together."""
    pairs: Pairs = []
    for i in range(len(split)):
        mask = split.mask(i)
        if pairs and (mask.shape != pairs[0][1].shape or (len(pairs) + 1) * classes * mask.size > LOGITS_PER_BATCH):
            yield pairs
            pairs = []
        pairs.append((resize_image(split.image(i), size), mask))
    if pairs:
        yield pairs
