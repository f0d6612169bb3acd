"""Images and masks at another size. Masks with nearest neighbour only: a mixed label is no label."""

from __future__ import annotations

import numpy as np
from PIL import Image as Pillow

from d3s2bench import Image, Mask


def resize_image(image: Image, size: tuple[int, int]) -> Image:
    """``(H, W, 3) uint8`` at ``size = (width, height)``, bicubic with antialiasing; the same array when it fits."""
    return image if _fits(image, size) else np.asarray(Pillow.fromarray(image).resize(size, Pillow.Resampling.BICUBIC))


def resize_mask(mask: Mask, size: tuple[int, int]) -> Mask:
    """``(H, W) uint8`` at ``size = (width, height)``, nearest neighbour; the same array when it fits."""
    return mask if _fits(mask, size) else np.asarray(Pillow.fromarray(mask).resize(size, Pillow.Resampling.NEAREST))


def _fits(array: Image | Mask, size: tuple[int, int]) -> bool:
    return array.shape[1::-1] == size
