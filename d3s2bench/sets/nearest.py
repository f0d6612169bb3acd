"""The memorisation check: the nearest train photograph of each synthetic image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from d3s2bench.interfaces import Split
from d3s2bench.values import Image

THUMBNAIL = (24, 16)
"""Width and height at which images are compared: fine enough to recognise a copy, coarse enough to forgive noise."""


def nearest_train_images(images: Sequence[Image], train: Split) -> list[dict[str, Any]]:
    """For each image the train index with the least root mean square difference of thumbnails (0…255 units)."""
    thumbnails = np.stack([_thumbnail(image) for image in images])
    best = np.full(len(images), np.inf)
    index = np.zeros(len(images), np.int64)
    for i in range(len(train)):
        distance = np.sqrt(np.mean((thumbnails - _thumbnail(train.image(i))) ** 2, axis=1))
        closer = distance < best
        best[closer], index[closer] = distance[closer], i
    return [
        {"index": int(i), "name": train.item_name(int(i)), "rmse": float(d)} for i, d in zip(index, best, strict=True)
    ]


def _thumbnail(image: Image) -> NDArray[np.float32]:
    small = Pillow.fromarray(image).resize(THUMBNAIL, Pillow.Resampling.BOX)
    return np.asarray(small, np.float32).ravel()
