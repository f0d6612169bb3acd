"""Foreground-aware patches: photographs that their foreground dominates stay whole, others are zoomed into.

Li et al., "Foreground-Aware Dataset Distillation via Dynamic Patch Selection", arXiv 2601.02727.

Re-implementation, carried over from classification and written from the abstract: a segmenter, Grounded SAM 2, gives
the share of each photograph that its class occupies; a quantile of these shares is the class's threshold; a photograph
below it gives the most informative of several patches, another is resized whole. The quantile, the patch score and how
patches are put together are read from secondary sources or chosen here:

1. *Foreground* are the classes named in ``classes``; by default those that have less than their fair share, 1 / C, of
   the labelled train pixels: things are small, and background is what fills images.
2. The occupancy of class c in a photograph is its share of all pixels, by the mask; or by Grounded SAM 2, asked for
   the classes that the mask shows (``occupancy="grounded-sam"``). Its threshold is the ``quantile`` (0.3) of the
   occupancies over the train images that show c.
3. A photograph's class is the foreground class that occupies most of it. At its threshold or above, the photograph
   stays whole; so does one that shows no foreground.
4. Others give ``candidates`` random resized crops, as in RDED. Of those that show the class, one is kept by ``keep``:
   ``"information"``, the most of (log C - mean cross-entropy of the teacher over the class's pixels) × (the class's
   share of the crop): how much more than nothing the teacher reads of the class, per pixel of the crop. In RDED,
   from whose family the paper comes, the patch of low loss is kept, too; but a mean loss alone would prefer a sliver
   of the object to all of it. ``"realistic"`` is RDED's score, the lowest mean cross-entropy over all labelled
   pixels; ``"hard"`` the highest. When no crop shows the class, the photograph stays whole.
5. ``factor``² patches or whole photographs, resized, are tiled into one image, masks with nearest neighbour.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from d3s2bench import IGNORE, Context, Mask, Sample, Selection, build_mask_index
from d3s2bench_synthesizers.occupancy import Occupancy, Shares, foreground_classes, measured
from d3s2bench_synthesizers.options import check_options
from d3s2bench_synthesizers.patches import Patch, RandomCrops, check_patch_options, patchwork
from d3s2bench_synthesizers.resize import resize_image, resize_mask

GROUNDED_SAM = "grounded-sam"
SOURCES = ("ground-truth", GROUNDED_SAM)
NETWORKS = ("detector", "segmenter")
Losses = NDArray[np.float32]
Score = Callable[[Losses, Mask, int, int], float]
"""Of a crop's losses ``(h, w)``, its mask, the photograph's class and the number of classes: the higher, the better."""
_KNOWN: dict[tuple[object, ...], Shares] = {}
"""What networks measure in the content of a dataset: one reading serves all sets that a process makes."""


@dataclass(frozen=True)
class Foreground:
    """One image of the size of its first source from ``factor``² photographs, whole or zoomed into.

    Attributes:
        classes: names or ids of the foreground classes; empty = the rare ones.
        quantile: what part of the photographs that show a class has little of it.
        occupancy: ``"ground-truth"`` or ``"grounded-sam"``, which reads all train images with two large networks.
        keep: ``"information"``, ``"realistic"`` or ``"hard"``.
        factor: tiles along a side.
        candidates: crops of each photograph, of which one is kept.
        scale: least and greatest area of a crop, as shares of the largest one of the tile's aspect.
        ratio: least and greatest aspect of a crop, as multiples of the tile's; (1, 1) distorts nothing.
        seam: whether a line of one pixel between tiles is ignored.
        detector: a Grounding DINO, for ``"grounded-sam"``: a folder or a name on the Hugging Face hub.
        segmenter: a SAM 2, likewise.
        box_threshold: the least confidence of a box.
        detector_sha256: identifies the detector's files: filled in when left empty, checked when given.
        segmenter_sha256: likewise.
    """

    classes: tuple[str, ...] = ()
    quantile: float = 0.3
    occupancy: str = "ground-truth"
    keep: str = "information"
    factor: int = 2
    candidates: int = 5
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (1.0, 1.0)
    seam: bool = False
    detector: str = "IDEA-Research/grounding-dino-tiny"
    segmenter: str = "facebook/sam2.1-hiera-large"
    box_threshold: float = 0.35
    detector_sha256: str = ""
    segmenter_sha256: str = ""

    deterministic: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ("teacher",)
    preserves_mask: ClassVar[bool] = False
    generative: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_patch_options("foreground", asdict(self))
        valid = {
            "quantile": (0 <= self.quantile <= 1, "a number from 0 to 1"),
            "occupancy": (self.occupancy in SOURCES, f"one of {', '.join(SOURCES)}"),
            "keep": (self.keep in SCORES, f"one of {', '.join(SCORES)}"),
        }
        check_options("synth.foreground", vars(self), valid)
        for option in NETWORKS if self.occupancy == GROUNDED_SAM else ():
            from d3s2bench_synthesizers.grounded_sam_files import identify

            sha256 = f"{option}_sha256"
            object.__setattr__(self, sha256, identify(option, getattr(self, option), getattr(self, sha256)))

    @property
    def sources_per_image(self) -> int:
        return self.factor**2

    def synthesize(self, selection: Selection, context: Context, start: int = 0) -> Iterator[Sample]:
        """Raises ModelError for a teacher of other classes, ConfigError for images too small for the tiles and for
        classes that do not exist."""
        occupancy = self.measure(context)

        def cut(i: int, size: tuple[int, int], rng: np.random.Generator) -> Patch:
            c = occupancy.main_class(i)
            if c is None:
                return whole(i, size, context)
            low = occupancy.shares[i, c] < occupancy.thresholds[c]
            patch = (self.zoom(i, c, size, context, rng) if low else None) or whole(i, size, context)
            return replace(patch, note={"class": c, "occupancy": float(occupancy.shares[i, c]), **patch.note})

        yield from patchwork(selection, context, start, self.factor, self.seam, cut)

    def measure(self, context: Context) -> Occupancy:
        """The occupancies of the train split and their thresholds."""
        names = context.dataset.classes
        index = build_mask_index(context.dataset.split("train"), len(names), context.progress)
        kept = np.isin(np.arange(len(names)), foreground_classes(self.classes, index.counts, names))
        counts = index.counts * kept
        shown = counts > 0
        grounded = self.occupancy == GROUNDED_SAM
        shares = self._grounded(shown, context) if grounded else counts / index.pixels[:, None]
        return Occupancy.of(shares, shown, self.quantile)

    def _grounded(self, shown: NDArray[np.bool_], context: Context) -> Shares:
        networks = (self.detector_sha256, self.segmenter_sha256, self.box_threshold, context.device)
        key = (context.dataset.fingerprint, self.classes, *networks)
        if key not in _KNOWN:
            _KNOWN[key] = self._measure(shown, context)
        return _KNOWN[key]

    def _measure(self, shown: NDArray[np.bool_], context: Context) -> Shares:
        from d3s2bench_synthesizers.grounded_sam import GroundedSam

        train, names = context.dataset.split("train"), context.dataset.classes

        @cache
        def model() -> GroundedSam:  # not loaded when an earlier run has measured everything
            return GroundedSam.load(self.detector, self.segmenter, self.box_threshold, context.device)

        def measure(i: int, classes: Sequence[int]) -> list[float]:
            if not classes:
                return []
            return [float(mask.mean()) for mask in model().segment(train.image(i), [names[c] for c in classes])]

        return measured(shown, measure, context)

    def zoom(self, i: int, c: int, size: tuple[int, int], context: Context, rng: np.random.Generator) -> Patch | None:
        """The best crop that shows class c, with its score; None when none does."""
        from d3s2bench_synthesizers.teacher_loss import pixel_losses

        train, crops = context.dataset.split("train"), RandomCrops(self.candidates, self.scale, self.ratio)
        patches = [patch for patch in crops.draw(train.image(i), train.mask(i), size, rng) if (patch.mask == c).any()]
        if not patches:
            return None
        losses = pixel_losses([patch.image for patch in patches], [patch.mask for patch in patches], context)
        score, classes = SCORES[self.keep], len(context.dataset.classes)
        scores = [score(loss, patch.mask, c, classes) for loss, patch in zip(losses, patches, strict=True)]
        best = patches[scores.index(max(scores))]
        return replace(best, note=best.note | {self.keep: max(scores)})


def whole(i: int, size: tuple[int, int], context: Context) -> Patch:
    """A photograph and its mask at ``size``."""
    train = context.dataset.split("train")
    return Patch(resize_image(train.image(i), size), resize_mask(train.mask(i), size), {"box": None})


def information(losses: Losses, mask: Mask, c: int, classes: int) -> float:
    """Nats per pixel of the crop that the teacher's reading of class c gains over a uniform guess."""
    return float((math.log(classes) - losses[mask == c].astype(float)).sum() / mask.size)


def realistic(losses: Losses, mask: Mask, c: int, classes: int) -> float:
    """RDED's realism: less the mean cross-entropy over the labelled pixels."""
    return -float(losses[mask != IGNORE].mean(dtype=float))


def hard(losses: Losses, mask: Mask, c: int, classes: int) -> float:
    """The mean cross-entropy over the labelled pixels."""
    return -realistic(losses, mask, c, classes)


SCORES: dict[str, Score] = {"information": information, "realistic": realistic, "hard": hard}
