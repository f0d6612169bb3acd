"""Crops of pictures at random scale, as the field's recipes train on: resize, crop, flip, photometric distortion.

The pipeline of mmsegmentation 1.x (RandomResize or RandomChoiceResize, RandomCrop, RandomFlip, PhotoMetricDistortion),
re-implemented with Pillow. The distortion is that of SSD (Liu et al., ECCV 2016, §2.2), hue in Pillow's 256 steps.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.random import Generator as Draws
from numpy.typing import NDArray
from PIL import Image as Pillow

from d3s2bench import IGNORE, Image, Json, Mask
from d3s2bench_evaluators.batches import resize_mask, resize_part

MEAN = (124, 116, 104)
"""The mean of ImageNet, which fills what lies outside a picture: 0 once standardised."""
TRIES = 10
VALUES = 256
"""How many values a byte has."""
LEVELS = np.arange(VALUES, dtype=np.uint8)
Levels: TypeAlias = NDArray[np.uint8]
"""``(256,)``: a table from level to level."""
BRIGHTNESS, CONTRAST, SATURATION, HUE = 32, 0.5, 0.5, 18 / 180
"""PhotoMetricDistortion: added to 0…255, factors about 1, a part of the circle."""


def random_crop(image: Image, mask: Mask, protocol: Json, draws: Draws) -> tuple[Image, Mask]:
    """A pair of any size → one of the protocol's ``size``."""
    size = fitted((image.shape[1], image.shape[0]), protocol, _factor(protocol, draws))
    mask = resize_mask(mask, size)
    y, x = _place(mask, protocol, draws)
    width, height = protocol["size"]
    mask = mask[y : y + height, x : x + width]
    image = resize_part(image, size, (x, y, x + mask.shape[1], y + mask.shape[0]))
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
        counts = np.bincount(shown.ravel(), minlength=VALUES)[:IGNORE]
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
    before = _linear(LEVELS, shift=BRIGHTNESS * shift)
    stretched = _linear(LEVELS, factor=1 + CONTRAST * contrast)
    before, after = (before, stretched) if contrast_last else (stretched[before], LEVELS)
    picture = _mapped(Pillow.fromarray(image), before)
    return np.asarray(_mapped(_recoloured(picture, 1 + SATURATION * saturation, HUE * hue), after))


def _linear(levels: Levels, factor: float = 1.0, shift: float = 0.0) -> Levels:
    changed: Levels = np.clip(levels * np.float32(factor) + np.float32(shift), 0, 255).astype(np.uint8)
    return changed


def _mapped(picture: Pillow.Image, *bands: Levels) -> Pillow.Image:
    """Each level of each band becomes another: by a table for all bands, or one for each."""
    if all((table == LEVELS).all() for table in bands):
        return picture
    return picture.point(np.concatenate(bands * (3 // len(bands))).tolist())


def _recoloured(picture: Pillow.Image, saturation: float, hue: float) -> Pillow.Image:
    if saturation == 1 and hue == 0:
        return picture
    turned = LEVELS + np.uint8(round(hue * 256) % 256)  # wraps around, as hues do
    return _mapped(picture.convert("HSV"), turned, _linear(LEVELS, factor=saturation), LEVELS).convert("RGB")
