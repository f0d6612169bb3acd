"""The memorisation check: the nearest train photograph of each synthetic image."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from d3s2bench.interfaces import Split, no_progress
from d3s2bench.sets.quality import Progress
from d3s2bench.values import Image

THUMBNAIL = (24, 16)
"""Width and height at which images are compared: fine enough to recognise a copy, coarse enough to forgive noise."""

_KEPT: dict[str, NDArray[np.uint8]] = {}
"""Fingerprint → thumbnails of the train split, of one dataset at a time: its next set is compared with the same."""


def nearest_train_images(
    images: Iterable[Image], train: Split, fingerprint: str = "", progress: Progress = no_progress
) -> list[dict[str, Any]]:
    """For each image the train index with the least root mean square difference of thumbnails (0…255 units).

    ``fingerprint`` is that of the dataset; without one, the photographs are decoded again by the next call.
    """
    thumbnails = _thumbnails(images).astype(np.float32)
    best = np.full(len(thumbnails), np.inf)
    index = np.zeros(len(thumbnails), np.int64)
    for i, photograph in enumerate(_photographs(train, fingerprint, progress)):
        distance = np.sqrt(np.mean((thumbnails - photograph.astype(np.float32)) ** 2, axis=1))
        closer = distance < best
        best[closer], index[closer] = distance[closer], i
        progress(i + 1, len(train), "photographs compared")
    return [
        {"index": int(i), "name": train.item_name(int(i)), "rmse": float(d)} for i, d in zip(index, best, strict=True)
    ]


def _photographs(train: Split, fingerprint: str, progress: Progress) -> NDArray[np.uint8]:
    if fingerprint in _KEPT:
        return _KEPT[fingerprint]
    made = _thumbnails(_read(train, progress))
    if fingerprint:
        _KEPT.clear()
        _KEPT[fingerprint] = made
    return made


def _read(train: Split, progress: Progress) -> Iterable[Image]:
    for i in range(len(train)):
        yield train.image(i)
        progress(i + 1, len(train), "photographs read")


def _thumbnails(images: Iterable[Image]) -> NDArray[np.uint8]:
    """``(N, 24 · 16 · 3)``; one image at a time is held whole."""
    return np.stack([_thumbnail(image) for image in images])


def _thumbnail(image: Image) -> NDArray[np.uint8]:
    return np.asarray(Pillow.fromarray(image).resize(THUMBNAIL, Pillow.Resampling.BOX)).ravel()
