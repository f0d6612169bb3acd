"""Images and masks at another size. Masks with nearest neighbour only: a mixed label is no label."""

from __future__ import annotations

import numpy as np
from PIL import Image as Pillow

from d3s2bench import Image, Mask

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels; fractions are allowed."""


def resize_image(image: Image, size: tuple[int, int]) -> Image:
    """``(H, W, 3) uint8`` at ``size = (width, height)``, bicubic with antialiasing; the same array when it fits."""
    return image if _fits(image, size) else np.asarray(Pillow.fromarray(image).resize(size, Pillow.Resampling.BICUBIC))


def resize_mask(mask: Mask, size: tuple[int, int]) -> Mask:
    """``(H, W) uint8`` at ``size = (width, height)``, nearest neighbour; the same array when it fits."""
    return mask if _fits(mask, size) else np.asarray(Pillow.fromarray(mask).resize(size, Pillow.Resampling.NEAREST))


def crop_image(image: Image, box: Box, size: tuple[int, int]) -> Image:
    """The part of ``(H, W, 3) uint8`` in the box, at ``size = (width, height)``, bilinear with antialiasing."""
    return np.asarray(Pillow.fromarray(image).resize(size, Pillow.Resampling.BILINEAR, box))


def crop_mask(mask: Mask, box: Box, size: tuple[int, int]) -> Mask:
    """The part of ``(H, W) uint8`` in the box, at ``size = (width, height)``, nearest neighbour."""
    return np.asarray(Pillow.fromarray(mask).resize(size, Pillow.Resampling.NEAREST, box))


def _fits(array: Image | Mask, size: tuple[int, int]) -> bool:
    return array.shape[1::-1] == size
