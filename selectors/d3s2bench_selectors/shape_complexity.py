"""Shape complexity: the masks with the most and the most intricate regions.

Dai, Xiao, Tsang & He, "Training-Free Dataset Pruning for Instance Segmentation", ICLR 2025, arXiv 2503.00828 (TFDP):
scale-invariant, class-balanced shape complexity score.

Re-implementation, carried over from instances to label maps: an instance is a connected component of a class. As in
the paper,

1. a component scores ``P / (2 √(π A))``, the length of its outline over that of a disc of its area;
2. the score is divided by the sum of all scores of its class in the split, so that every class weighs the same;
3. an image scores the sum over its components, and the highest are taken (ties: the lowest index).

P and A are those of the polygon through the centres of the outermost pixels, which is what the official code measures
(OpenCV's external contour): holes are filled, a diagonal step is √2 long, and a component without an inside, a line or
a dot, has area 0 and scores 0. Ours: they are counted in 2×2 windows (Gray, "Local properties of binary images in two
dimensions", 1971), and components of less than ``min_area`` pixels are left out, since a speck of a label map is no
instance. ``connectivity`` says whether pixels that touch at a corner are connected (8) or not (4).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from d3s2bench import Budget, ConfigError, Context, Mask, MaskIndex, Selection
from d3s2bench_selectors.budgets import check_budget

Region = NDArray[np.bool_]


@dataclass(frozen=True)
class ShapeComplexity:
    """Reads every mask of the train split, one at a time; no image, no seed."""

    connectivity: int = 8
    min_area: int = 16

    deterministic: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if self.connectivity not in (4, 8):
            raise ConfigError(f"selector shape-complexity: connectivity is {self.connectivity}: give 4 or 8")
        if self.min_area < 1:
            raise ConfigError(f"selector shape-complexity: min_area is {self.min_area}: give at least 1 pixel")

    def select(self, index: MaskIndex, budget: Budget, context: Context) -> Selection:
        """``(K,) int64`` images of the highest score, with it.

        Raises:
            BudgetError: there are fewer masks than the budget wants.
            DatasetError: a mask is corrupt.
        """
        check_budget(index, budget)
        train = context.dataset.split("train")
        raw = np.zeros((len(index), index.num_classes))
        for i in range(len(index)):
            raw[i] = self.by_class(train.mask(i), index.num_classes)
            context.progress(i + 1, len(index), "shapes")
        total = raw.sum(axis=0)
        scores = (raw / np.where(total > 0, total, 1)).sum(axis=1)
        indices = np.argsort(-scores, kind="stable")[: budget.images]
        return Selection(indices, scores[indices])

    def by_class(self, mask: Mask, classes: int) -> NDArray[np.float64]:
        """``(C,) float64``: the sum of the scores of the components of each class, before class balance."""
        from scipy import ndimage  # type: ignore[import-untyped]  # here: planning needs none of it

        scores = np.zeros(classes)
        for c, box in enumerate(ndimage.find_objects(mask.astype(np.int32) + 1, classes)):
            if box is not None:
                scores[c] = sum(map(shape_score, self._components(mask[box] == c)))
        return scores

    def _components(self, of_class: Region) -> Iterator[Region]:
        from scipy import ndimage

        labels, _ = ndimage.label(of_class, ndimage.generate_binary_structure(2, self.connectivity // 4))
        large = np.bincount(labels.ravel()) >= self.min_area
        for number, box in enumerate(ndimage.find_objects(labels), 1):
            if large[number]:
                yield labels[box] == number


def shape_score(region: Region) -> float:
    """``P / (2 √(π A))`` of a connected region, its holes filled; 0 when A is 0."""
    length, area = outline(region)
    return length / (2 * math.sqrt(math.pi * area)) if area else 0.0


def outline(region: Region) -> tuple[float, float]:
    """Length and enclosed area of the polygon through the centres of the outermost pixels of an 8-connected region."""
    from scipy import ndimage

    framed = np.zeros((region.shape[0] + 2, region.shape[1] + 2), bool)
    framed[1:-1, 1:-1] = region
    one, beside, across, three, four = _windows(framed)
    if one - three - 2 * across != 4:  # four times the Euler number, which is 1 without holes
        around, _ = ndimage.label(~framed)  # 1 is the outside
        _, beside, across, three, four = _windows(around != 1)
    return beside + math.sqrt(2) * (three + 2 * across), four + three / 2


def _windows(solid: Region) -> tuple[int, int, int, int, int]:
    """How many 2×2 windows hold one pixel, two side by side, two that touch at a corner, three, and four."""
    a, b, c, d = solid[:-1, :-1], solid[:-1, 1:], solid[1:, :-1], solid[1:, 1:]
    pixels = a.astype(np.int8) + b + c + d
    _, one, two, three, four = np.bincount(pixels.ravel(), minlength=5).tolist()
    across = int(np.count_nonzero((pixels == 2) & (a == d)))
    return one, two - across, across, three, four
