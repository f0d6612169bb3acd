"""What a selector or a synthesizer has given, against what it must give. Pillow, NumPy and JSON would refuse most of it
later, in words that name neither the component nor the remedy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from operator import index
from typing import Any

import numpy as np

from d3s2bench.errors import StageError
from d3s2bench.values import IGNORE, Budget, Mask, Sample, Selection

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
