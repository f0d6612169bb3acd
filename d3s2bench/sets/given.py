"""What a selector, a synthesizer or an evaluator has given, against what it must give. Pillow, NumPy and JSON would
refuse some of it later, in words that name neither the component nor the remedy; the rest would give a number."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from d3s2bench.errors import StageError
from d3s2bench.interfaces import Split, Synthesizer
from d3s2bench.values import IGNORE, Budget, Counts, Mask, Sample, Selection

# --- a selection -----------------------------------------------------------------------------------------------------


def check_selection(found: Any, budget: Budget, who: str) -> None:
    """Raises StageError when ``who`` has not chosen ``budget.images`` different images as a Selection."""
    if not isinstance(found, Selection):
        raise _wrong(f"{who} must return a Selection", found)
    if not _fits(found.indices, np.int64, None):
        raise _wrong(f"{who}: its indices must be a NumPy int64 array (K,)", found.indices)
    _check_indices(found.indices, budget, who)
    if found.scores is not None and not _fits(found.scores, np.float64, budget.images):
        raise _wrong(f"{who}: its scores must be float64, one per image ({budget.images},)", found.scores)
    if found.scores is not None and not np.isfinite(found.scores).all():
        raise StageError(f"{who}: its scores must be finite")


def _check_indices(chosen: np.ndarray[Any, Any], budget: Budget, who: str) -> None:
    distinct = len(np.unique(chosen))
    if distinct < len(chosen):
        raise StageError(f"{who} gave {len(chosen)} indices, {distinct} of them distinct, for {_asked(budget)}")
    if len(chosen) != budget.images:
        raise StageError(f"{who} gave {len(chosen)} images for {_asked(budget)}")
    if len(wrong := chosen[(chosen < 0) | (chosen >= budget.total)]):
        raise StageError(f"{who} chose image {wrong[0]} of {budget.total}")


def _asked(budget: Budget) -> str:
    return f"a budget of {budget.images}"


# --- a sample --------------------------------------------------------------------------------------------------------


def check_sample(found: Any, classes: int, who: str) -> None:
    """Raises StageError when ``who``, a sample of a synthesizer, is no image with a mask of these ``classes``."""
    if not isinstance(found, Sample):
        raise _wrong(f"{who} must be a Sample", found)
    if not _fits(found.image, np.uint8, None, None, 3):
        raise _wrong(f"{who}: its image must be a NumPy uint8 array (H, W, 3)", found.image)
    if not _fits(found.mask, np.uint8, None, None):
        raise _wrong(f"{who}: its mask must be a NumPy uint8 array (H, W)", found.mask)
    if found.image.shape[:2] != found.mask.shape:
        raise StageError(f"{who}: image {found.image.shape[:2]} and mask {found.mask.shape} differ in size")
    _check_labels(found.mask, classes, who)


def _check_labels(mask: Mask, classes: int, who: str) -> None:
    if (strange := (mask >= classes) & (mask != IGNORE)).any():
        held = np.unique(mask[strange]).tolist()
        raise StageError(f"{who}: its mask holds {held}: labels are 0 to {classes - 1} and {IGNORE}")


def plain_sources(sample: Sample, who: str) -> list[int]:
    """The train indices of a sample; NumPy's integers, too. Raises StageError for none, or for what is no index."""
    try:
        found = [index(i) for i in sample.sources]
    except TypeError:
        found = []
    if not found:
        raise StageError(f"{who}: its sources must be a tuple of train indices, one at least, not {sample.sources!r}")
    return found


def plain_provenance(sample: Sample, who: str) -> dict[str, Any]:
    """What a sample tells of itself. Raises StageError that names the key of what JSON cannot hold."""
    if not isinstance(sample.provenance, Mapping):
        raise _wrong(f"{who}: its provenance must be a mapping", sample.provenance)
    for key, value in sample.provenance.items():
        try:
            json.dumps({key: value}, allow_nan=False)
        except (TypeError, ValueError) as error:
            why = f"cannot be written as JSON ({error})"
            raise StageError(f"{who}: its provenance '{key}' {why}: give Python's numbers, text, lists") from error
    return dict(sample.provenance)


@dataclass(frozen=True)
class Origin:
    """The photographs that each sample of a synthesizer is to be made of, and what it may take from them."""

    train: Split
    chosen: NDArray[np.int64]
    per_image: int
    keeps_mask: bool
    generative: bool
    """A generator paints at a size of its own; what is taken from photographs is no larger than they."""

    @classmethod
    def of(cls, made_by: Synthesizer, selection: Selection, train: Split) -> Origin:
        each = made_by.sources_per_image
        return cls(train, selection.indices, each, made_by.preserves_mask, made_by.generative)

    def check(self, number: int, sample: Sample, who: str) -> None:
        """Raises StageError for other sources than were chosen for the sample, for one that is taken from them and is
        larger than any of them, and for another mask where ``who`` says that it keeps it."""
        wanted = self.chosen[number * self.per_image : (number + 1) * self.per_image].tolist()
        if (said := plain_sources(sample, who)) != wanted:
            raise StageError(f"{who}: its sources are {said}, chosen for it were {wanted}")
        masks = [self.train.mask(i) for i in wanted]
        most = max(mask.size for mask in masks)
        if sample.mask.size > most and not self.generative:
            larger = f"it has {sample.mask.size} pixels, the largest photograph that it is made of {most}"
            raise StageError(f"{who}: {larger}: a rate counts images, so none may be larger")
        if self.keeps_mask and not np.array_equal(sample.mask, resized(masks[0], sample.mask.shape)):
            raise StageError(f"{who}: it says that it preserves the mask, but this one is not that of {wanted[0]}")


def resized(mask: Mask, shape: tuple[int, ...]) -> Mask:
    """With nearest neighbour, to (H, W)."""
    if mask.shape == shape:
        return mask
    return np.asarray(Pillow.fromarray(mask).resize((shape[1], shape[0]), Pillow.Resampling.NEAREST))


# --- counts ----------------------------------------------------------------------------------------------------------


def check_counts(found: Any, truth: NDArray[np.int64], who: str) -> None:
    """Raises StageError when ``who``, an evaluator, has not counted each labelled pixel of the scored split once.

    ``truth``, ``(N, C)``, has the pixels of each class in each mask.
    """
    if not isinstance(found, Counts):
        raise _wrong(f"{who} must return Counts", found)
    images, classes = truth.shape
    if not _fits(found.confusion, np.int64, images, classes, classes):
        shape = f"({images}, {classes}, {classes})"
        raise _wrong(
            f"{who}: its counts must be a NumPy int64 array {shape}, image by truth by prediction", found.confusion
        )
    if (found.confusion < 0).any():
        raise StageError(f"{who}: its counts hold negative numbers")
    if len(wrong := np.argwhere(found.confusion.sum(axis=2) != truth)):
        i, c = wrong[0].tolist()
        counted = (
            f"it counted {found.confusion[i, c].sum()} pixels of class {c} in image {i}, its mask has {truth[i, c]}"
        )
        raise StageError(f"{who}: {counted}: predictions are scored at the size of the mask, all labelled pixels")


# --- both ------------------------------------------------------------------------------------------------------------


def _fits(value: Any, dtype: type[np.generic], *shape: int | None) -> bool:
    """Whether it is an array of this type and shape; None stands for a side of any length but 0."""
    if not isinstance(value, np.ndarray) or value.dtype != dtype or value.ndim != len(shape):
        return False
    return all(side == wanted if wanted else side > 0 for side, wanted in zip(value.shape, shape, strict=True))


def _wrong(wanted: str, value: Any) -> StageError:
    """Says of an array its shape and type, of anything else its class."""
    found = f"{value.shape} {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
    return StageError(f"{wanted}, not {found}")
