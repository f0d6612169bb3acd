"""The smallest dataset that has a long tail, written as files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

TINY_CLASSES = ["sky", "ground", "box", "dot"]
TINY_SPLITS = {"train": 20, "val": 4, "test": 6}


def tiny_pair(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A 32×24 picture of sky over ground with a box in most and a dot in few, and its mask with an ignored corner."""
    mask = np.zeros((24, 32), np.uint8)
    mask[rng.integers(8, 16) :] = 1
    x, y = rng.integers(2, 20), rng.integers(2, 12)
    if rng.random() < 0.7:
        mask[y : y + 8, x : x + 8] = 2
    if rng.random() < 0.3:
        mask[20:23, x : x + 3] = 3
    colours = np.array([[120, 160, 240], [90, 80, 60], [200, 60, 50], [240, 230, 40]])
    image = colours[mask] + rng.integers(-15, 16, (24, 32, 3))
    mask[:2, :2] = 255
    return np.clip(image, 0, 255).astype(np.uint8), mask


def write_tiny_dataset(root: Path) -> Path:
    """The tiny dataset in the layout of ``folder``."""
    rng = np.random.default_rng(0)
    for split, count in TINY_SPLITS.items():
        for part in ("images", "annotations"):
            (root / part / split).mkdir(parents=True)
        for i in range(count):
            image, mask = tiny_pair(rng)
            Image.fromarray(image).save(root / "images" / split / f"{i:03d}.png")
            Image.fromarray(mask).save(root / "annotations" / split / f"{i:03d}.png")
    (root / "classes.json").write_text(json.dumps({"classes": TINY_CLASSES, "redistributable": True}))
    return root
