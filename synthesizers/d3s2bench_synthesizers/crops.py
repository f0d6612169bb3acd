"""Random zoomed crops of training pairs: a generator of few photographs then sees none of them twice."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from d3s2bench_synthesizers.resize import Box, crop_image, crop_mask

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Crops:
    """Crops at random places, of the aspect of the whole, that all come out at one size.

    Attributes:
        size: width and height of what comes out.
        least: the share of a side that a crop keeps at least; 1 = no crops.
    """

    size: tuple[int, int]
    least: float

    @property
    def whole_size(self) -> tuple[int, int]:
        """Width and height of the pairs to crop from: so large that no crop is enlarged."""
        width, height = self.size
        return math.ceil(width / self.least), math.ceil(height / self.least)

    def __call__(self, images: Pixels, masks: Pixels, rng: np.random.Generator) -> tuple[Pixels, Pixels]:
        """``(B, H, W, 3)`` and ``(B, H, W)`` of ``whole_size`` → the same part of image and mask, at ``size``. Draws
        nothing where there are no crops."""
        if self.least == 1:
            return images, masks
        boxes = self.boxes(len(images), rng)
        return (
            np.stack([crop_image(image, box, self.size) for image, box in zip(images, boxes, strict=True)]),
            np.stack([crop_mask(mask, box, self.size) for mask, box in zip(masks, boxes, strict=True)]),
        )

    def boxes(self, count: int, rng: np.random.Generator) -> list[Box]:
        """Left, top, right and bottom in pixels of the whole: the scale is uniform in ``least``…1, and so is the
        place."""
        scales, places = rng.uniform(self.least, 1, (count, 1)), rng.random((count, 2))
        corners = places * (1 - scales)
        shares = np.concatenate([corners, corners + scales], axis=1).clip(0, 1)
        return [(left, top, right, bottom) for left, top, right, bottom in (shares * (self.whole_size * 2)).tolist()]
