"""A toy dataset that is learnt in seconds: rectangles whose colour tells their class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from d3s2bench import IGNORE, Context, Image, Mask

if TYPE_CHECKING:
    from d3s2bench_evaluators.teacher import TorchTeacher

SIZE = (48, 32)
COLOURS = np.array([(40, 40, 40), (220, 60, 60), (60, 220, 60), (60, 60, 220)], np.uint8)


@dataclass(frozen=True)
class Rectangles:
    """Pairs ``(height, width)``: class 0 behind two rectangles of other classes, a border of 255."""

    count: int
    height: int = 32
    width: int = 48
    classes: int = 4

    def __len__(self) -> int:
        return self.count

    def mask(self, i: int) -> Mask:
        draws = np.random.default_rng(i)
        mask = np.zeros((self.height, self.width), np.uint8)
        for _ in range(2):
            y, x = draws.integers(0, self.height // 2), draws.integers(0, self.width // 2)
            mask[y : y + self.height // 2, x : x + self.width // 3] = draws.integers(1, self.classes)
        mask[:1] = IGNORE
        return mask

    def image(self, i: int) -> Image:
        mask = self.mask(i)
        return COLOURS[np.where(mask == IGNORE, 0, mask)]

    def item_name(self, i: int) -> str:
        return f"{i:03d}"


@dataclass(frozen=True)
class ToyDataset:
    classes: tuple[str, ...] = ("ground", "red", "green", "blue")
    name: str = "toy"
    fingerprint: str = "ab" * 32


@pytest.fixture(scope="session")
def rectangles() -> type[Rectangles]:
    return Rectangles


@pytest.fixture(scope="session")
def context(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Context]:
    """Makes a context with a fresh work folder, or the one given: ``context(seed=3)``."""

    def make(folder: Path | None = None, **entries: Any) -> Context:
        folder = folder or tmp_path_factory.mktemp("work")
        return Context(**({"dataset": ToyDataset(), "workdir": folder} | entries))

    return make


@pytest.fixture(scope="session")
def teachers(tmp_path_factory: pytest.TempPathFactory, context: Callable[..., Context]) -> dict[str, TorchTeacher]:
    """A teacher of each small architecture, trained for a few steps."""
    from d3s2bench_evaluators.protocol import RECIPES
    from d3s2bench_evaluators.teacher import load_teacher
    from d3s2bench_evaluators.torch_evaluator import Torch

    def teach(arch: str) -> TorchTeacher:
        folder = tmp_path_factory.mktemp(arch)
        student = Torch().train(Rectangles(5), arch, Torch().protocol(arch, SIZE) | {"iterations": 8}, context())
        Torch().save_teacher(student, Rectangles(5), folder, context())
        return load_teacher(folder, "cpu")

    return {arch: teach(arch) for arch in RECIPES}
