"""Crops of pictures at random scale, as the field's recipes train on: resize, crop, flip, photometric distortion.

The pipeline of mmsegmentation 1.x (RandomResize or RandomChoiceResize, RandomCrop, RandomFlip, PhotoMetricDistortion),
re-implemented with Pillow. The distortion is that of SSD (Liu et al., ECCV 2016, §2.2), hue in Pillow's 256 steps.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator as Draws
from numpy.typing import NDArray
from PIL import Image as Pillow

from d3s2bench import IGNORE, Image, Json, Mask
from d3s2bench_evaluators.batches import resize_image, resize_mask

MEAN = (124, 116, 104)
"""The mean of ImageNet, which fills what lies outside a picture: 0 once standardised."""
TRIES = 10
BRIGHTNESS, CONTRAST, SATURATION, HUE = 32, 0.5, 0.5, 18 / 180
"""PhotoMetricDistortion: added to 0…255, factors about 1, a part of the circle."""


def random_crop(image: Image, mask: Mask, protocol: Json, draws: Draws) -> tuple[Image, Mask]:
    """A pair of any size → one of the protocol's ``size``."""
    size = fitted((image.shape[1], image.shape[0]), protocol, _factor(protocol, draws))
    image, mask = resize_image(image, size), resize_mask(mask, size)
    y, x = _place(mask, protocol, draws)
    width, height = protocol["size"]
    image, mask = image[y : y + height, x : x + width], mask[y : y + height, x : x + width]
    if draws.random() < protocol["flip"]:
        image, mask = image[:, ::-1], mask[:, ::-1]
    return _padded(distorted(image, protocol["photometric"], draws), mask, (height, width))


def fitted(size: tuple[int, int], protocol: Json, factor: float = 1.0) -> tuple[int, int]:
    """The (width, height) of a picture of some (width, height) within the protocol's ``fit``, times a factor."""
    unit = min(protocol["size"])
    long, short = (side * unit for side in protocol["fit"])
    long = long * factor if protocol["scale_long_side"] else long
    scale = min(long / max(size), short * factor / min(size))
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)


def _factor(protocol: Json, draws: Draws) -> float:
    low, high = protocol["scale"]
    if step := protocol["scale_step"]:
        return float(low + step * draws.integers(round((high - low) / step) + 1))
    return float(draws.uniform(low, high))


def _place(mask: Mask, protocol: Json, draws: Draws) -> tuple[int, int]:
    """Where the crop begins, so that no class fills more of it than the protocol says; the last try counts anyway."""
    width, height = protocol["size"]
    y = x = 0
    for _ in range(TRIES):
        y = int(draws.integers(max(mask.shape[0] - height, 0) + 1))
        x = int(draws.integers(max(mask.shape[1] - width, 0) + 1))
        shown = mask[y : y + height, x : x + width]
        counts = np.bincount(shown[shown != IGNORE], minlength=1)
        if (counts > 0).sum() > 1 and counts.max() < protocol["one_class_at_most"] * counts.sum():
            break
    return y, x


def _padded(image: Image, mask: Mask, size: tuple[int, int]) -> tuple[Image, Mask]:
    """To (height, width), on the right and at the bottom: mean colour, ignored."""
    height, width = mask.shape
    if (height, width) == size:
        return np.ascontiguousarray(image), np.ascontiguousarray(mask)
    whole, labels = np.full((*size, 3), MEAN, np.uint8), np.full(size, IGNORE, np.uint8)
    whole[:height, :width], labels[:height, :width] = image, mask
    return whole, labels


def distorted(image: Image, strength: float, draws: Draws) -> Image:
    """Brightness, contrast (first or last), saturation, hue, each with probability ½; ``strength`` 1 as published."""
    if not strength:
        return image
    applied, contrast_last = draws.random(4) < 0.5, draws.random() < 0.5
    shift, contrast, saturation, hue = draws.uniform(-1, 1, 4) * applied * strength
    image = _linear(image, shift=BRIGHTNESS * shift)
    if not contrast_last:
        image = _linear(image, factor=1 + CONTRAST * contrast)
    image = _recoloured(image, 1 + SATURATION * saturation, HUE * hue)
    return _linear(image, factor=1 + CONTRAST * contrast) if contrast_last else image


def _linear(values: NDArray[np.uint8], factor: float = 1.0, shift: float = 0.0) -> NDArray[np.uint8]:
    if factor == 1 and shift == 0:
        return values
    changed: NDArray[np.uint8] = np.clip(values * np.float32(factor) + np.float32(shift), 0, 255).astype(np.uint8)
    return changed


def _recoloured(image: Image, saturation: float, hue: float) -> Image:
    if saturation == 1 and hue == 0:
        return image
    hues, saturations, values = (np.asarray(band) for band in Pillow.fromarray(image).convert("HSV").split())
    hues = hues + np.uint8(round(hue * 256) % 256)  # wraps around, as hues do
    bands = (hues, _linear(saturations, factor=saturation), values)
    return np.asarray(Pillow.merge("HSV", [Pillow.fromarray(band) for band in bands]).convert("RGB"))
