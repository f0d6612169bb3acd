"""The values that flow between the stages: plain, frozen, made of numpy arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from d3s2bench.errors import BudgetError

IGNORE = 255
"""The train id of pixels that are neither learnt from nor scored."""

Image = NDArray[np.uint8]
"""An RGB picture, ``(H, W, 3) uint8``."""
Mask = NDArray[np.uint8]
"""Train ids per pixel, ``(H, W) uint8``, 255 = ignore."""
Json = Mapping[str, Any]
"""What ``json.dumps`` takes."""


@dataclass(frozen=True)
class MaskIndex:
    """The pixel histogram of a split: all that selection on masks needs.

    ``counts`` is ``(N, C) int64``, pixels of class c in mask n; ``pixels`` is ``(N,) int64``, all pixels of mask n,
    ignored ones among them.
    """

    counts: NDArray[np.int64]
    pixels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def num_classes(self) -> int:
        return int(self.counts.shape[1])

    @property
    def class_share(self) -> NDArray[np.float64]:
        """``(C,) float64``: share of each class among the labelled pixels of the split."""
        total = self.counts.sum(axis=0)
        share: NDArray[np.float64] = total / max(int(total.sum()), 1)
        return share


@dataclass(frozen=True)
class Budget:
    """How many images a distilled set may hold."""

    images: int
    total: int
    rate: float

    @classmethod
    def from_rate(cls, rate: float, total: int) -> Budget:
        """``floor(rate · total + 0.5)`` images of ``total``.

        Raises:
            BudgetError: the rate is not in (0, 1], or gives no image.
        """
        if not 0 < rate <= 1:
            raise BudgetError(f"compression rate {rate:g} is out of range: give a number above 0 and at most 1")
        images = math.floor(rate * total + 0.5)
        if images < 1:
            least = math.ceil(0.5 / total * 1e6) / 1e6
            raise BudgetError(f"compression rate {rate:g} of {total} images gives 0 images: give at least {least:g}")
        return cls(images, total, rate)

    @classmethod
    def of_images(cls, images: int, total: int) -> Budget:
        """So many images, at the shortest decimal rate that gives them: 4 of 367 are 1 %."""
        decimals = (round(images / total, digits) for digits in range(1, 18))
        rates = (rate for rate in decimals if 0 < rate <= 1 and math.floor(rate * total + 0.5) == images)
        return cls(images, total, next(rates, images / total))

    def times(self, sources: int) -> Budget:
        """What to select when each image of the distilled set is made from several.

        Raises:
            BudgetError: there are not so many images.
        """
        if self.images * sources > self.total:
            wanted = f"{self.images} images from {sources} each take {self.images * sources}"
            raise BudgetError(f"{wanted}, but there are {self.total}: give a smaller compression rate")
        return replace(self, images=self.images * sources)


@dataclass(frozen=True)
class Selection:
    """What a selector chose: ``indices (K,) int64`` into the train split, ``scores (K,) float64`` or None."""

    indices: NDArray[np.int64]
    scores: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Sample:
    """One pair of a distilled set; ``sources`` are the train indices it was made from."""

    image: Image
    mask: Mask
    sources: tuple[int, ...]
    provenance: Json = field(default_factory=dict)


@dataclass(frozen=True)
class Counts:
    """What an evaluation counted: ``confusion (N, C, C) int64`` per image, rows = truth, columns = prediction."""

    confusion: NDArray[np.int64]

    @property
    def total(self) -> NDArray[np.int64]:
        """``(C, C) int64`` over all images."""
        total: NDArray[np.int64] = self.confusion.sum(axis=0)
        return total
