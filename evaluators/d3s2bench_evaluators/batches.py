"""The batches of a training: which pairs iteration k sees, brought to the protocol's size."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import Tensor

from d3s2bench import Image, Mask, Split, derive_seed

CACHE_BYTES = 512 * 2**20
"""Sets up to this size are kept in memory once read; larger ones are read again in every epoch."""


class Resized:
    """The pairs of a split at one size: ``size`` is (width, height)."""

    def __init__(self, split: Split, size: Sequence[int]) -> None:
        self.split = split
        self.size = (size[0], size[1])
        small = len(split) * size[0] * size[1] * 4 <= CACHE_BYTES
        self._pair = lru_cache(maxsize=None if small else 0)(self._read)

    def __len__(self) -> int:
        return len(self.split)

    def batch(self, items: Sequence[int], device: str) -> tuple[Tensor, Tensor]:
        """Images ``(B, 3, h, w) float32`` in 0…1 and masks ``(B, h, w) int64``."""
        pairs = [self._pair(int(i)) for i in items]
        masks = torch.from_numpy(np.stack([mask for _, mask in pairs])).to(device)
        return as_images([image for image, _ in pairs], device), masks.long()

    def _read(self, i: int) -> tuple[Image, Mask]:
        return resize_image(self.split.image(i), self.size), resize_mask(self.split.mask(i), self.size)


def resize_image(image: Image, size: tuple[int, int]) -> Image:
    """Bilinear with antialiasing, to (width, height)."""
    return _resize(image, size, Pillow.Resampling.BILINEAR)


def resize_mask(mask: Mask, size: tuple[int, int]) -> Mask:
    """Nearest neighbour, to (width, height): never a class that was not there."""
    return _resize(mask, size, Pillow.Resampling.NEAREST)


def resize_part(image: Image, size: tuple[int, int], part: tuple[int, int, int, int]) -> Image:
    """What ``resize_image`` shows within ``part`` (left, top, right, bottom), to a rounding; the rest is not made."""
    left, top, right, bottom = part
    height, width = image.shape[:2]
    if (width, height) == size:
        return image[top:bottom, left:right]
    box = (left * width / size[0], top * height / size[1], right * width / size[0], bottom * height / size[1])
    picture = Pillow.fromarray(image).resize((right - left, bottom - top), Pillow.Resampling.BILINEAR, box)
    return np.asarray(picture)


def as_images(images: Sequence[Image], device: str) -> Tensor:
    """``(H, W, 3) uint8`` pictures of one size → ``(B, 3, H, W) float32`` in 0…1, channels last in memory."""
    return as_floats(torch.from_numpy(np.stack(images)).to(device))


def as_floats(pictures: Tensor) -> Tensor:
    """``(B, H, W, 3) uint8`` → ``(B, 3, H, W) float32`` in 0…1, channels last in memory."""
    return pictures.permute(0, 3, 1, 2).float() / 255


def batch_items(seed: int, iteration: int, batch_size: int, total: int) -> list[int]:
    """The items of a batch: each epoch is a permutation of its own, so that every pair is seen equally often."""
    first = iteration * batch_size
    return [int(_epoch(seed, k // total, total)[k % total]) for k in range(first, first + batch_size)]


@lru_cache(maxsize=2)
def _epoch(seed: int, epoch: int, total: int) -> NDArray[np.int64]:
    return np.random.default_rng(derive_seed("epoch", seed, epoch)).permutation(total)


def _resize(array: NDArray[np.uint8], size: tuple[int, int], how: Pillow.Resampling) -> NDArray[np.uint8]:
    if (array.shape[1], array.shape[0]) == size:
        return array
    resized: NDArray[Any] = np.asarray(Pillow.fromarray(array).resize(size, how))
    return resized
