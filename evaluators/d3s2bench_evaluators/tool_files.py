"""What goes between us and a tool's process: pairs and images as PNG files, and back label maps, which we count.

Every item passes through here as the split reads it, so that all evaluators see the same pixels and a wrong mask is
told as ever.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from d3s2bench import Context, Counts, DatasetError, Mask, Split


def write_pairs(pairs: Split, folder: Path, context: Context) -> None:
    """``images/NUMBER.png`` and ``annotations/NUMBER.png``, train ids; those that are there are not written again.

    Raises:
        DatasetError: no pairs.
    """
    if not len(pairs):
        raise DatasetError("there is nothing to train on: the set holds no pairs")
    for i in range(len(pairs)):
        _write(folder / "images" / f"{i:06d}.png", partial(pairs.image, i))
        _write(folder / "annotations" / f"{i:06d}.png", partial(pairs.mask, i))
        context.progress(i + 1, len(pairs), "writing pairs")


def write_images(split: Split, folder: Path, context: Context) -> list[tuple[str, int, int]]:
    """``NUMBER.png``; returns name, height and width of each item's annotation."""
    items = []
    for i in range(len(split)):
        _write(folder / f"{i:06d}.png", partial(split.image, i))
        height, width = split.mask(i).shape
        items.append((f"{i:06d}", height, width))
        context.progress(i + 1, len(split), "writing images")
    return items


def count(split: Split, predictions: Path, context: Context) -> Counts:
    """The confusion of label maps ``NUMBER.png`` with the masks, per image."""
    import torch

    from d3s2bench_evaluators.counting import confusion

    classes = len(context.dataset.classes)
    counts: list[NDArray[np.int64]] = [np.zeros((0, classes, classes), np.int64)]
    for i in range(len(split)):
        pair = np.stack([split.mask(i), _read(predictions / f"{i:06d}.png")])
        truth, predicted = torch.from_numpy(pair).long()[:, None]
        counts.append(confusion(truth, predicted, classes))
    return Counts(np.concatenate(counts))


def _write(file: Path, read: Callable[[], NDArray[np.uint8]]) -> None:
    if file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(read()).save(file.with_suffix(".partial"), "PNG", compress_level=1)
    file.with_suffix(".partial").replace(file)


def _read(file: Path) -> Mask:
    with Pillow.open(file) as image:
        return np.asarray(image)
