"""The default training protocol of each architecture. Everything that changes the numbers stands here."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from d3s2bench import unknown_name

RECIPES: dict[str, dict[str, Any]] = {
    "unet": {"channels": [32, 48, 64], "iterations": 800, "converged_iterations": 6400},
    "deeplab": {"channels": [32, 32, 64, 64], "iterations": 800, "converged_iterations": 6400},
}
"""What differs by architecture. Larger images want more stages of ``channels``.

The iterations were chosen on the validation split of Scenes (``benchmarks/iteration_budget.py``): at 800, half a minute
on one core, a random 1 % has stopped improving (under 1 mIoU more for twice as many) and all of the data is 10 above
it. All of the data gains 7 and more with every doubling up to 6,400, where "converged" ends for reasons of time.
"""

COMMON: dict[str, Any] = {
    "batch_size": 4,
    "optimizer": "adamw",
    "learning_rate": 3e-3,
    "weight_decay": 1e-2,
    "momentum": 0.9,
    "schedule": "poly",
    "power": 0.9,
    "scale": [0.9, 1.1],
    "flip": 0.5,
    "photometric": 0.1,
    "precision": "fp32",
}


def default_protocol(arch: str, size: tuple[int, int]) -> dict[str, Any]:
    """The protocol of an architecture at an input size of ``(width, height)`` pixels.

    Images and masks of another size or aspect are brought to exactly this size: bilinear with antialiasing for
    images, nearest for masks. Predictions are scored at the annotation's own resolution all the same.

    Raises:
        UnknownNameError: no such architecture.
    """
    if arch not in RECIPES:
        raise unknown_name("architecture", arch, RECIPES)
    return {"size": list(size), **deepcopy(RECIPES[arch]), **deepcopy(COMMON)}
