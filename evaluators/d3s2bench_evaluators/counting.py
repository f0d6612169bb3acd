"""Counting a student's predictions against the annotations, at their own resolution."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from d3s2bench import IGNORE, Context, Counts, Image, Json, Mask, Split
from d3s2bench_evaluators.batches import as_images, resize_image
from d3s2bench_evaluators.crops import fitted
from d3s2bench_evaluators.networks import Network, resize
from d3s2bench_evaluators.windows import Scores, inference

LOGITS_PER_BATCH = 2**23
"""Bounds the memory of a batch of logits (32 MiB)."""

VALUES = IGNORE + 1
"""What a pixel of a mask may hold: 0 to 255."""

Pairs = list[tuple[Image, Mask]]


@torch.no_grad()
def count(network: Network, split: Split, protocol: Json, context: Context) -> Counts:
    """Confusion ``(N, C, C) int64`` of each image: rows = truth, columns = prediction, ignored pixels left out.

    The image is brought to the protocol's size, or kept in its aspect within the protocol's ``fit``; the network's
    scores, of the whole or of windows, bilinearly to the size of the mask; in float32.
    """
    classes, scores = len(context.dataset.classes), inference(network, protocol)
    counts: list[NDArray[np.int64]] = [np.zeros((0, classes, classes), np.int64)]
    done = 0
    for pairs in _batches(split, classes, protocol):
        truth = torch.from_numpy(np.stack([mask for _, mask in pairs])).to(context.device).long()
        images = as_images([image for image, _ in pairs], context.device)
        counts.append(confusion(truth, predict(scores, images, truth.shape[1:]), classes))
        done += len(pairs)
        context.progress(done, len(split), "")
    return Counts(np.concatenate(counts))


def predict(scores: Scores, images: Tensor, size: torch.Size) -> Tensor:
    """Classes ``(B, *size) int64`` of images ``(B, 3, h, w)`` in 0…1."""
    return resize(scores(images), size).argmax(1)


def confusion(truth: Tensor, predicted: Tensor, classes: int) -> NDArray[np.int64]:
    """``(B, C, C) int64`` of train ids ``(B, H, W)``, pixels whose truth is 255 left out."""
    # Ignored pixels have rows of their own, which is several times as fast as leaving them out beforehand.
    rows = VALUES * classes
    first = rows * torch.arange(len(truth), device=truth.device)[:, None, None]
    cell = torch.add(predicted, truth, alpha=classes).add_(first)
    counts = torch.bincount(cell.flatten(), minlength=len(truth) * rows).view(len(truth), VALUES, classes)
    return counts[:, :classes].cpu().numpy().copy()  # without the memory of the other rows


def _batches(split: Split, classes: int, protocol: Json) -> Iterator[Pairs]:
    """Images at the network's size with their masks, neighbours of one size together."""
    pairs: Pairs = []
    for i in range(len(split)):
        image, mask = split.image(i), split.mask(i)
        image = resize_image(image, input_size(image, protocol))
        full = (len(pairs) + 1) * classes * mask.size > LOGITS_PER_BATCH
        if pairs and (full or image.shape != pairs[0][0].shape or mask.shape != pairs[0][1].shape):
            yield pairs
            pairs = []
        pairs.append((image, mask))
    if pairs:
        yield pairs


def input_size(image: Image, protocol: Json) -> tuple[int, int]:
    """The (width, height) at which the network sees a picture to be scored."""
    if "fit" in protocol:
        return fitted((image.shape[1], image.shape[0]), protocol)
    return protocol["size"][0], protocol["size"][1]
