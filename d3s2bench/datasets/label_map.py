"""From the ids that a mask file holds to train ids: one lookup table, so that mapping is one ``numpy.take``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from d3s2bench.errors import DatasetError
from d3s2bench.files import decode, digest
from d3s2bench.values import IGNORE, Mask

UNKNOWN = 254
"""What the table holds for ids that no file of the dataset may hold."""
OUTSIDE = 0xFFFF
"""The last id of 16 bits, never a class: stands for all ids that are negative or larger."""


@dataclass(frozen=True)
class LabelMap:
    """``classes[k]`` is what the file calls train id k; ``ignored`` become 255, and so does 255."""

    classes: tuple[int, ...]
    ignored: tuple[int, ...] = ()

    @cached_property
    def key(self) -> str:
        """A hash of what it does, for fingerprints."""
        return digest([self.classes, sorted(self.ignored)])

    @cached_property
    def table(self) -> Mask:
        """``(65536,) uint8``: id in the file → train id."""
        table = np.full(OUTSIDE + 1, UNKNOWN, np.uint8)
        table[list(self.ignored)] = table[IGNORE] = IGNORE
        table[list(self.classes)] = np.arange(len(self.classes))
        return table

    def read(self, file: Path) -> Mask:
        """``(H, W) uint8`` train ids, 255 = ignore.

        Raises:
            DatasetError: cannot be decoded, is a colour picture, or holds an id that the dataset does not know.
        """
        return self.train_ids(read_labels(file), file)

    def train_ids(self, labels: NDArray[Any], file: Path) -> Mask:
        """Of the whole numbers in a file. Raises DatasetError for an id that the dataset does not know."""
        return self.map(labels, str(file), "check that it is of this dataset")

    def map(self, labels: NDArray[Any], place: str, mend: str) -> Mask:
        """uint8 train ids of whole numbers, of the same shape; ``place`` and ``mend`` are for the error.

        Raises:
            DatasetError: an id that the dataset does not know.
        """
        labels = labels.astype(np.uint8) if labels.dtype == bool else labels  # a bool would pick, not look up
        mask: Mask = np.take(self.table, _within_16_bits(labels))
        if (wrong := mask == UNKNOWN).any():
            raise DatasetError(
                f"{place} holds label {labels[wrong][0]}, but its classes are {ranges(self.classes)} and it ignores "
                f"{ranges({*self.ignored, IGNORE})}: mend the mask, or {mend}"
            )
        return mask


def read_labels(file: Path) -> NDArray[Any]:
    """``(H, W)`` whole numbers as the file has them: a grey PNG of 8 or 16 bits, the indices of a palette PNG, or the
    variable ``S`` of a MATLAB file. Raises DatasetError for a file that cannot be decoded or is a colour picture."""
    if file.suffix == ".mat":
        return _matlab_labels(file)
    labels = np.array(decode(file))
    if labels.ndim != 2:
        raise DatasetError(f"{file} is a colour picture: a mask must hold one class id per pixel (grey or palette PNG)")
    return labels


def _within_16_bits(labels: NDArray[Any]) -> NDArray[Any]:
    if labels.dtype.itemsize <= 2:
        return labels
    return np.where((labels < 0) | (labels > OUTSIDE), OUTSIDE, labels)


def _matlab_labels(file: Path) -> NDArray[Any]:
    from scipy.io import loadmat  # type: ignore[import-untyped]

    try:
        labels: NDArray[Any] = loadmat(str(file), variable_names=["S"])["S"]
    except KeyError as error:
        raise DatasetError(f"{file} has no label map 'S': it is no annotation of COCO-Stuff") from error
    except Exception as error:  # scipy raises many kinds for a torn file
        raise DatasetError(f"{file} is corrupt or no MATLAB file ({error}): replace or remove it") from error
    return labels.astype(np.int32)


def ranges(numbers: Iterable[int]) -> str:
    """``0 to 10, 12`` for people to read."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)
