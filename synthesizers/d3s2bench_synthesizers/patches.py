"""Patches of photographs, and images tiled from them: what RDED and the foreground-aware method share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from d3s2bench import IGNORE, ConfigError, Context, Image, Mask, Sample, Selection, derive_seed
from d3s2bench_synthesizers.options import check_options
from d3s2bench_synthesizers.resize import crop_image, crop_mask

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels."""


@dataclass(frozen=True)
class Patch:
    """A part of a photograph with its mask, of one size, and how it came about."""

    image: Image
    mask: Mask
    note: dict[str, Any]


@dataclass(frozen=True)
class RandomCrops:
    """Random resized crops of a wanted aspect, or near it.

    Attributes:
        count: crops of each photograph.
        scale: least and greatest area, as shares of the largest crop of the wanted aspect that fits in.
        ratio: least and greatest aspect, as multiples of the wanted one; (1, 1) distorts nothing.
    """

    count: int
    scale: tuple[float, float]
    ratio: tuple[float, float]

    def draw(self, image: Image, mask: Mask, size: tuple[int, int], rng: np.random.Generator) -> list[Patch]:
        """``count`` patches of ``size`` (width, height) of one pair: bilinear, the mask with nearest neighbour."""
        boxes = [self.box((mask.shape[1], mask.shape[0]), size[0] / size[1], rng) for _ in range(self.count)]
        return [Patch(crop_image(image, box, size), crop_mask(mask, box, size), {"box": list(box)}) for box in boxes]

    def box(self, whole: tuple[int, int], aspect: float, rng: np.random.Generator) -> Box:
        """A crop of a photograph of ``whole`` (width, height): area uniform, aspect uniform in its logarithm."""
        width, height = whole
        most = min(width, height * aspect), min(height, width / aspect)
        low, high = map(math.log, self.ratio)
        area, ratio = rng.uniform(*self.scale), math.exp(rng.uniform(low, high))
        w = min(max(round(most[0] * math.sqrt(area * ratio)), 1), width)
        h = min(max(round(most[1] * math.sqrt(area / ratio)), 1), height)
        left, top = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
        return left, top, left + w, top + h


Cut = Callable[[int, tuple[int, int], np.random.Generator], Patch]
"""Makes a patch of a given size (width, height) from the train image of a given number."""


def patchwork(
    selection: Selection, context: Context, start: int, factor: int, seam: bool, cut: Cut
) -> Iterator[Sample]:
    """Samples from number ``start`` on, each tiled from ``factor``² patches of as many selected images, row by row.

    A sample has the size of its first source. All its draws come from one seed of its own. With ``seam``, the first
    row and column of each tile but the outermost are ignored.

    Raises:
        ConfigError: an image has fewer pixels than tiles along a side.
    """
    train, several = context.dataset.split("train"), factor**2
    for k in range(start, len(selection.indices) // several):
        sources = [int(i) for i in selection.indices[k * several : (k + 1) * several]]
        height, width = train.mask(sources[0]).shape
        seed = derive_seed("sample", context.seed, k)
        rng, cells = np.random.default_rng(seed), grid((width, height), factor)
        patches = [cut(i, _size(cell), rng) for i, cell in zip(sources, cells, strict=True)]
        note = {"seed": seed, "patches": [patch.note for patch in patches]}
        yield Sample(*_tiled(patches, cells, seam), tuple(sources), note)


def grid(size: tuple[int, int], factor: int) -> list[Box]:
    """``factor`` × ``factor`` cells that fill ``size`` (width, height), row by row; the first ones are a pixel larger
    where it does not divide."""
    if min(size) < factor:
        raise ConfigError(f"images of {size[0]}×{size[1]} pixels do not hold {factor}×{factor} tiles: lower 'factor'")
    xs, ys = (_edges(side, factor) for side in size)
    return [(xs[x], ys[y], xs[x + 1], ys[y + 1]) for y in range(factor) for x in range(factor)]


def _edges(side: int, parts: int) -> list[int]:
    return [i * (side // parts) + min(i, side % parts) for i in range(parts + 1)]


def _size(cell: Box) -> tuple[int, int]:
    return cell[2] - cell[0], cell[3] - cell[1]


def _tiled(patches: Sequence[Patch], cells: Sequence[Box], seam: bool) -> tuple[Image, Mask]:
    width, height = cells[-1][2:]
    image, mask = np.empty((height, width, 3), np.uint8), np.empty((height, width), np.uint8)
    for patch, (left, top, right, bottom) in zip(patches, cells, strict=True):
        image[top:bottom, left:right] = patch.image
        mask[top:bottom, left:right] = patch.mask
    if seam:
        mask[[top for _, top, _, _ in cells if top]] = IGNORE
        mask[:, [left for left, _, _, _ in cells if left]] = IGNORE
    return image, mask


def check_patch_options(method: str, options: dict[str, Any]) -> None:
    """Raises ConfigError for what no patch can be cut with."""
    factor, candidates, scale, ratio = (options[name] for name in ("factor", "candidates", "scale", "ratio"))
    valid = {
        "factor": (factor >= 1, "1 or more"),
        "candidates": (candidates >= 1, "1 or more"),
        "scale": (0 < scale[0] <= scale[1] <= 1, "two rising shares of the area, as 0.08,1"),
        "ratio": (0 < ratio[0] <= ratio[1], "two rising factors of the aspect, as 0.75,1.33"),
    }
    check_options(f"synth.{method}", options, valid)
