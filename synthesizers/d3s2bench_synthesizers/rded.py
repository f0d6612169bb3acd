"""RDED: realistic and diverse images, tiled from the patches that a teacher finds most realistic.

Sun et al., "On the Diversity and Realism of Distilled Dataset: An Efficient Dataset Distillation Paradigm", CVPR 2024
(arXiv 2312.03526), its realism score; details from the authors' code (github.com/LINs-lab/RDED, synthesize/utils.py).

Re-implementation, carried over from classification. As there, each photograph gives ``candidates`` random resized crops
of 8 to 100 % of the area of the largest, undistorted, at the size of a tile; the teacher scores each, and the one of
lowest cross-entropy, the most realistic, is kept; ``factor``² of them are tiled into one image. What differs:

1. The score is the mean of the teacher's cross-entropy over the labelled pixels of the crop, against the cropped mask;
   a crop without any comes last. Of equal ones the first is kept.
2. There, the patches of lowest cross-entropy among 300 photographs of a class go on. Here the selector has chosen the
   photographs, ``factor``² for each image, and every one gives a patch.
3. There, a crop is padded with zeros to the size of an image before it is scored. A teacher here brings images to the
   size that it was trained at.
4. Masks are cropped and tiled like the images, with nearest neighbour; with ``seam`` one row and column between tiles
   is ignored. The teacher's soft labels, by which RDED trains, are an option of the evaluator.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import ClassVar

import numpy as np

from d3s2bench import Context, Sample, Selection
from d3s2bench_synthesizers.patches import Patch, RandomCrops, check_patch_options, patchwork


@dataclass(frozen=True)
class Rded:
    """One image of the size of its first source from the most realistic patches of ``factor``² photographs.

    Attributes:
        factor: tiles along a side.
        candidates: crops of each photograph, of which one is kept.
        scale: least and greatest area of a crop, as shares of the largest one of the tile's aspect.
        ratio: least and greatest aspect of a crop, as multiples of the tile's; (1, 1) distorts nothing.
        seam: whether a line of one pixel between tiles is ignored.
    """

    factor: int = 2
    candidates: int = 5
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (1.0, 1.0)
    seam: bool = False

    deterministic: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ("teacher",)
    preserves_mask: ClassVar[bool] = False
    generative: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_patch_options("rded", asdict(self))

    @property
    def sources_per_image(self) -> int:
        return self.factor**2

    def synthesize(self, selection: Selection, context: Context, start: int = 0) -> Iterator[Sample]:
        """Raises ModelError for a teacher of other classes, ConfigError for images too small for the tiles."""
        train, crops = context.dataset.split("train"), RandomCrops(self.candidates, self.scale, self.ratio)

        def cut(i: int, size: tuple[int, int], rng: np.random.Generator) -> Patch:
            return most_realistic(crops.draw(train.image(i), train.mask(i), size, rng), context)

        yield from patchwork(selection, context, start, self.factor, self.seam, cut)


def most_realistic(patches: list[Patch], context: Context) -> Patch:
    """The patch of the teacher's lowest mean cross-entropy, which its note then tells (None: it has no label)."""
    from d3s2bench_synthesizers.teacher_loss import mean_losses, pixel_losses

    masks = [patch.mask for patch in patches]
    losses = mean_losses(pixel_losses([patch.image for patch in patches], masks, context), masks)
    best = int(losses.argmin())
    loss = float(losses[best]) if np.isfinite(losses[best]) else None
    return replace(patches[best], note=patches[best].note | {"loss": loss})
