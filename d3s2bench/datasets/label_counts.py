"""How many pixels of each train id a mask has, from its file's own histogram where the dataset can give that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from d3s2bench.datasets.pair_size import check_size
from d3s2bench.files import decode
from d3s2bench.interfaces import Split
from d3s2bench.values import IGNORE, Mask

Counts = NDArray[np.int64]
"""``(256,)``: pixels of each train id, 255 = ignore."""


def label_counts(split: Split, i: int) -> Counts:
    """Of mask ``i``; ``split.label_counts(i)`` says it, where there is such a method and it does not give None.

    Raises:
        DatasetError: as ``split.mask(i)``.
    """
    own: Callable[[int], Counts | None] | None = getattr(split, "label_counts", None)
    counts = own(i) if own else None
    return np.array(Pillow.fromarray(split.mask(i)).histogram()) if counts is None else counts


def counts_in_file(file: Path, size: tuple[int, int], to_train_ids: Callable[[NDArray[Any]], Mask]) -> Counts | None:
    """Maps each id that the file holds once in place of each pixel; None for a file whose ids are no bytes.

    Raises:
        DatasetError: the mask is corrupt or not of the image's ``size``; and what ``to_train_ids`` raises.
    """
    if file.suffix.lower() != ".png":
        return None
    picture = decode(file)
    check_size(picture.size, size, file)
    if picture.mode not in ("L", "P"):
        return None
    pixels = np.array(picture.histogram())
    ids = np.flatnonzero(pixels)
    return np.bincount(to_train_ids(ids.astype(np.uint8)), pixels[ids], IGNORE + 1).astype(np.int64)
