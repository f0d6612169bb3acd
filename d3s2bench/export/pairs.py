"""The files that all targets share: images as they are, masks in grey."""

from __future__ import annotations

import io
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from d3s2bench.files import write_bytes
from d3s2bench.sets.distilled import DistilledSet
from d3s2bench.values import IGNORE, Mask


@dataclass(frozen=True)
class Item:
    """A pair that was written: ``images/<name>.png`` and ``masks/<name>.png``."""

    name: str
    width: int
    height: int
    present: tuple[int, ...]
    """The classes of its mask, in rising order."""


def write_pairs(pairs: DistilledSet, images: Path, masks: Path) -> list[Item]:
    """Raises DatasetError for a corrupt file, and for a mask with a wrong size or label."""
    images.mkdir(parents=True)
    return [_write_pair(pairs, i, images, masks) for i in range(len(pairs))]


def _write_pair(pairs: DistilledSet, i: int, images: Path, masks: Path) -> Item:
    mask, file = pairs.mask(i), f"{pairs.item_name(i)}.png"
    pairs.image(i)  # that it can be decoded
    shutil.copyfile(pairs.folder / "images" / file, images / file)
    write_bytes(masks / file, _grey_png(mask))
    present = tuple(int(c) for c in np.unique(mask) if c != IGNORE)
    return Item(pairs.item_name(i), mask.shape[1], mask.shape[0], present)


def _grey_png(mask: Mask) -> bytes:
    buffer = io.BytesIO()
    Pillow.fromarray(mask).save(buffer, format="PNG")
    return buffer.getvalue()
