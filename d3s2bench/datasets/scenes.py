"""The dataset ``scenes``: procedural streets and landscapes, 96×64, 16 classes with a long tail, no download.

How a picture comes about: ``scene_painting`` (integers to pixels), ``scene_actors`` (things),
``scene_layouts`` (places and light).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from d3s2bench.datasets.scene_actors import CLASSES, PALETTE
from d3s2bench.datasets.scene_layouts import render_scene
from d3s2bench.datasets.scene_painting import HEIGHT, WIDTH, Colour
from d3s2bench.errors import DatasetError
from d3s2bench.files import write_bytes

__all__ = [
    "CLASSES",
    "FINGERPRINT",
    "PALETTE",
    "SIZE",
    "SPLITS",
    "Scenes",
    "ScenesSplit",
    "render_scene",
]

SIZE = (WIDTH, HEIGHT)
SPLITS = {"train": 2000, "val": 200, "test": 400}
FINGERPRINT = "9f3dbb2eb4e5394766afaf7de22a5170e946c4d9269eff947ed4b6a01eb6b7cb"
TRUTH = "9fdaace3d535cd9e7e48ddce672ac8201f3110c4c910f434bf4ae2fe03f8c92e"
"""Digest of the pixels of each class in each mask of test."""
_GOLDEN = {
    "train": "7588b5fe2cd49270ed1a57ff321116672a715879e8b7b04ca21386043431e0d5",
    "val": "260a868a08001487450e24b771fbde7522d57e2e8b658072cd155a9e9b895528",
    "test": "18ab2fbccf06453d809628e718e1c880d87d8053c671f46599897024e0a8e66b",
}


def _render_split(split: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """All images ``(N, 64, 96, 3) uint8`` and masks ``(N, 64, 96) uint8`` of a split, with seed 0."""
    images = np.empty((SPLITS[split], HEIGHT, WIDTH, 3), np.uint8)
    masks = np.empty((SPLITS[split], HEIGHT, WIDTH), np.uint8)
    for i in range(SPLITS[split]):
        images[i], masks[i] = render_scene(split, i)
    return images, masks


@dataclass(frozen=True)
class ScenesSplit:
    """The pairs of one split."""

    name: str
    images: NDArray[np.uint8]
    """``(N, 64, 96, 3)``"""
    masks: NDArray[np.uint8]
    """``(N, 64, 96)`` train ids, 255 = ignore."""

    def __len__(self) -> int:
        return len(self.images)

    def image(self, i: int) -> NDArray[np.uint8]:
        """``(64, 96, 3) uint8``, a copy."""
        return np.array(self.images[i])

    def mask(self, i: int) -> NDArray[np.uint8]:
        """``(64, 96) uint8`` train ids, 255 = ignore, a copy."""
        return np.array(self.masks[i])

    def item_name(self, i: int) -> str:
        """Such as ``train_00012``."""
        return f"{self.name}_{i:05d}"


@dataclass(frozen=True)
class Scenes:
    """The dataset plugin: renders a split when it is first used and keeps it in ``cache``."""

    cache: Path
    name: ClassVar[str] = "scenes"
    classes: ClassVar[tuple[str, ...]] = CLASSES
    palette: ClassVar[tuple[Colour, ...]] = PALETTE
    splits: ClassVar[tuple[str, ...]] = tuple(SPLITS)
    fingerprint: ClassVar[str] = FINGERPRINT
    truths: ClassVar[Mapping[str, str]] = {"test": TRUTH}
    redistributable: ClassVar[bool] = True

    @property
    def assets(self) -> Path | None:
        """The folder of the models and records that are shipped for this dataset, if they are there."""
        folder = Path(__file__).parent.parent / "pretrained" / "scenes"
        return folder if folder.exists() else None

    def split(self, name: str) -> ScenesSplit:
        """Raises DatasetError for an unknown split."""
        if name not in SPLITS:
            raise DatasetError(f"scenes has no split '{name}': its splits are {', '.join(SPLITS)}")
        folder = self.cache / f"scenes-{FINGERPRINT[:12]}"
        paths = [folder / f"{name}-{part}.npy" for part in ("images", "masks")]
        if not all(path.exists() for path in paths):
            _store(paths, name)
        images, masks = (np.load(path, mmap_mode="r") for path in paths)
        return ScenesSplit(name, images, masks)


def _store(paths: list[Path], split: str) -> None:
    arrays = _render_split(split)
    digest = hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()
    if digest != _GOLDEN[split]:
        raise DatasetError(
            f"scenes: the split '{split}' was rendered with other bytes than it was published with "
            f"(sha256 {digest[:12]}, not {_GOLDEN[split][:12]}): check the installed numpy {np.__version__}"
        )
    for path, array in zip(paths, arrays, strict=True):
        _save(path, array)


def _save(path: Path, array: NDArray[np.uint8]) -> None:
    """Whole or not at all: a reader or a second writer never meets half a file."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    write_bytes(path, buffer.getvalue())
