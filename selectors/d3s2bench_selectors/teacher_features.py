"""Reads the photographs of a split once, in batches of one size, and keeps a few numbers of each: of the teacher's
features, of its logits, or of whatever else is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from d3s2bench import Context, Image, ModelError, Split, Tap

BATCH = 16
PENDING = 4 * BATCH
"""Images held in memory at most, while those of equal size are gathered."""


def per_image(
    train: Split, context: Context, reduce: Callable[[Mapping[str, Tensor]], Tensor], tap: Tap = "activation"
) -> NDArray[np.float64]:
    """``(N, D) float64``: ``reduce`` takes the teacher's layer → ``(B, d, h, w)`` and gives ``(B, D)``.

    Each image is shown to the teacher at its own size. Raises ModelError for features that are no numbers.
    """
    teacher = context.teacher
    read = rows(train, context, lambda _, images: reduce(teacher.features(_tensor(images, context.device), tap)[1]))
    return finite(read, train, "the teacher's")


def finite(features: NDArray[np.float64], train: Split, whose: str) -> NDArray[np.float64]:
    """``(N, D)`` as they are. Raises ModelError that names the first image with one that is no number."""
    if (bad := np.flatnonzero(~np.isfinite(features).all(axis=1))).size:
        raise no_numbers(f"{whose} features", train, int(bad[0]))
    return features


def no_numbers(what: str, train: Split, i: int) -> ModelError:
    """The error for what a model gives of image ``i`` and nobody can compare."""
    return ModelError(f"{what} of image {train.item_name(i)} are no numbers: look at the image, and at the model")


def pooled(context: Context) -> NDArray[np.float64]:
    """``(N, D) float64``: the teacher's last encoder stage, averaged over height and width, for each train image."""
    layer = context.teacher.pooled_layer

    def pool(features: Mapping[str, Tensor]) -> Tensor:
        return features[layer].double().mean((2, 3))

    return per_image(context.dataset.split("train"), context, pool)


def per_logits(context: Context, score: Callable[[Tensor, int], Tensor]) -> NDArray[np.float64]:
    """``(N,) float64``: ``score`` takes a train image's logits ``(C, H, W)`` and its number, and gives one number.

    Raises ModelError for logits that are no numbers.
    """
    teacher, train = context.teacher, context.dataset.split("train")

    def scores(numbers: Sequence[int], images: Sequence[Image]) -> Tensor:
        logits, _ = teacher.features(_tensor(images, context.device))
        if (bad := (~logits.isfinite()).flatten(1).any(dim=1).nonzero()).numel():
            raise no_numbers("the teacher's logits", train, numbers[int(bad[0])])
        return torch.stack([score(*each) for each in zip(logits, numbers, strict=True)])[:, None]

    return rows(train, context, scores)[:, 0]


@torch.no_grad()
def rows(
    train: Split, context: Context, measure: Callable[[Sequence[int], Sequence[Image]], Tensor]
) -> NDArray[np.float64]:
    """``(N, D) float64``: ``measure`` takes B images of equal size and their numbers, and gives ``(B, D)``."""
    found: dict[int, NDArray[np.float64]] = {}
    for numbers, images in _batches(train):
        found |= dict(zip(numbers, measure(numbers, images).double().cpu().numpy(), strict=True))
        context.progress(len(found), len(train), "features")
    return np.stack([found[i] for i in range(len(train))])


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


def _tensor(images: Sequence[Image], device: str) -> Tensor:
    """``(B, 3, H, W) float32`` in 0…1."""
    return torch.from_numpy(np.stack(images)).to(device).permute(0, 3, 1, 2).float() / 255
