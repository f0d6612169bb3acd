"""Reads the photographs of a split once and keeps a few numbers of each, made from the teacher's features."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from d3s2bench import Context, Image, Split, Tap

BATCH = 16
PENDING = 4 * BATCH
"""Images held in memory at most, while those of equal size are gathered."""


@torch.no_grad()
def per_image(
    train: Split, context: Context, reduce: Callable[[Mapping[str, Tensor]], Tensor], tap: Tap = "activation"
) -> NDArray[np.float64]:
    """``(N, D) float64``: ``reduce`` takes layer → ``(B, d, h, w)`` and gives ``(B, D)``.

    Only images of equal size share a batch: each is shown to the teacher at its own size.
    """
    teacher = context.teacher
    rows: dict[int, NDArray[np.float64]] = {}
    for numbers, images in _batches(train):
        _, features = teacher.features(_tensor(images, context.device), tap)
        rows |= dict(zip(numbers, reduce(features).double().cpu().numpy(), strict=True))
        context.progress(len(rows), len(train), "features")
    return np.stack([rows[i] for i in range(len(train))])


def _batches(train: Split) -> Iterator[tuple[list[int], list[Image]]]:
    """All images in batches of one size; when too many wait, the fullest batch goes first."""
    waiting: dict[tuple[int, ...], list[tuple[int, Image]]] = {}
    for i in range(len(train)):
        image = train.image(i)
        bucket = waiting.setdefault(image.shape, [])
        bucket.append((i, image))
        if len(bucket) == BATCH or sum(map(len, waiting.values())) == PENDING:
            yield _unzip(waiting.pop(max(waiting, key=lambda shape: len(waiting[shape]))))
    yield from map(_unzip, waiting.values())


def _unzip(bucket: list[tuple[int, Image]]) -> tuple[list[int], list[Image]]:
    return [i for i, _ in bucket], [image for _, image in bucket]


def _tensor(images: list[Image], device: str) -> Tensor:
    """``(B, 3, H, W) float32`` in 0…1."""
    return torch.from_numpy(np.stack(images)).to(device).permute(0, 3, 1, 2).float() / 255
