"""The mask index: one pixel histogram per mask, so that selection reads no image."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from d3s2bench.errors import DatasetError
from d3s2bench.files import load_npz, save_npz
from d3s2bench.interfaces import Split, no_progress
from d3s2bench.values import IGNORE, Mask, MaskIndex


def build_mask_index(
    split: Split, num_classes: int, progress: Callable[[int, int, str], None] = no_progress
) -> MaskIndex:
    """Reads every mask once, on all cores (decoding releases the interpreter lock).

    Raises:
        DatasetError: a mask is corrupt, of another size than its image, or holds a label out of range.
    """

    def histogram(i: int) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], int]:
        return _histogram(split.mask(i), num_classes, split.item_name(i))

    counts = np.zeros((len(split), num_classes), np.int64)
    pixels = np.zeros(len(split), np.int64)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for i, (row, size) in enumerate(pool.map(histogram, range(len(split)))):
            counts[i], pixels[i] = row, size
            progress(i + 1, len(split), "masks")
    return MaskIndex(counts, pixels)


def _histogram(mask: Mask, num_classes: int, name: str) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], int]:
    counts = np.array(Pillow.fromarray(mask).histogram())
    outside = np.flatnonzero(counts[num_classes:IGNORE])
    if outside.size:
        label = num_classes + int(outside[0])
        raise DatasetError(f"mask {name} holds label {label}, but there are {num_classes} classes: mend the mask")
    return counts[:num_classes], mask.size


def save_mask_index(index: MaskIndex, folder: Path) -> None:
    save_npz(folder / "index.npz", counts=index.counts, pixels=index.pixels)


def load_mask_index(folder: Path) -> MaskIndex:
    stored = load_npz(folder / "index.npz")
    return MaskIndex(stored["counts"], stored["pixels"])
