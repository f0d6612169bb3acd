"""The mask index: one pixel histogram per mask, so that selection reads no image."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from d3s2bench.datasets.label_counts import Counts, label_counts
from d3s2bench.errors import DatasetError
from d3s2bench.files import load_npz, save_npz
from d3s2bench.interfaces import Split, no_progress
from d3s2bench.values import IGNORE, MaskIndex

BLOCK = 16
"""Masks that a thread counts at once: handing over each by itself would take as long as a tenth of its decoding."""


def build_mask_index(
    split: Split, num_classes: int, progress: Callable[[int, int, str], None] = no_progress
) -> MaskIndex:
    """Reads every mask once, on all cores (decoding releases the interpreter lock).

    Raises:
        DatasetError: a mask is corrupt, of another size than its image, or holds a label out of range.
    """

    def rows(block: range) -> list[Counts]:
        return [_checked(label_counts(split, i), num_classes, split.item_name(i)) for i in block]

    counts = np.zeros((len(split), num_classes), np.int64)
    pixels = np.zeros(len(split), np.int64)
    blocks = [range(len(split))[first : first + BLOCK] for first in range(0, len(split), BLOCK)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for block, found in zip(blocks, pool.map(rows, blocks), strict=True):
            for i, row in zip(block, found, strict=True):
                counts[i], pixels[i] = row[:num_classes], row.sum()
                progress(i + 1, len(split), "masks")
    return MaskIndex(counts, pixels)


def _checked(counts: Counts, num_classes: int, name: str) -> Counts:
    outside = np.flatnonzero(counts[num_classes:IGNORE])
    if outside.size:
        label = num_classes + int(outside[0])
        raise DatasetError(f"mask {name} holds label {label}, but there are {num_classes} classes: mend the mask")
    return counts


def save_mask_index(index: MaskIndex, folder: Path) -> None:
    save_npz(folder / "index.npz", counts=index.counts, pixels=index.pixels)


def load_mask_index(folder: Path) -> MaskIndex:
    stored = load_npz(folder / "index.npz")
    for array in stored.values():
        array.setflags(write=False)  # what a selector changes would be counted afterwards
    return MaskIndex(stored["counts"], stored["pixels"])
