"""A dataset of coloured squares, a one-convolution teacher and a tiny untrained generator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from d3s2bench import Context, Dataset, Image, Mask, Selection, Teacher
from d3s2bench_synthesizers.pixel_pipeline import LayoutToImagePipeline, build

CLASSES = 3


@dataclass(frozen=True)
class Squares:
    """A dataset that is its own train split: pair i is drawn from seed i, with a strip of ignored pixels."""

    count: int = 10
    size: tuple[int, int] = (24, 16)
    classes: tuple[str, ...] = ("sky", "road", "car")
    palette: tuple[tuple[int, int, int], ...] = ((70, 130, 180), (128, 64, 128), (0, 0, 142))
    name: str = "squares"
    fingerprint: str = "f" * 64

    def split(self, name: str) -> Squares:
        assert name == "train"
        return self

    def __len__(self) -> int:
        return self.count

    def mask(self, i: int) -> Mask:
        width, height = self.size
        coarse = np.random.default_rng(i).integers(0, len(self.classes), (4, 6)).astype(np.uint8)
        mask = coarse.repeat(height // 4, axis=0).repeat(width // 6, axis=1)
        mask[:2] = 255
        return mask

    def image(self, i: int) -> Image:
        colours = np.array([*self.palette, *[(0, 0, 0)] * (256 - len(self.palette))], np.uint8)
        noise = np.random.default_rng(i + 1000).integers(0, 40, (self.size[1], self.size[0], 3), dtype=np.uint8)
        return colours[self.mask(i)] + noise

    def item_name(self, i: int) -> str:
        return f"{i:04d}"


class SmallTeacher:
    """Two convolutions from a fixed seed. Smooth activations, so that finite differences hold; no BatchNorm."""

    layers = ("first", "second")
    batchnorm: Mapping[str, tuple[Tensor, Tensor]] = {}
    pooled_layer = "second"

    def __init__(self, classes: int = CLASSES, dtype: torch.dtype = torch.float32) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            self.first = nn.Conv2d(3, 4, 3, stride=2, padding=1, dtype=dtype).requires_grad_(False)
            self.second = nn.Conv2d(4, classes, 3, padding=1, dtype=dtype).requires_grad_(False)
            self.class_features = {
                "first": (torch.randn(classes, 4, dtype=dtype), torch.rand(classes, 4, dtype=dtype)),
                "second": (torch.randn(classes, classes, dtype=dtype), torch.rand(classes, classes, dtype=dtype)),
            }

    def to(self, device: str) -> SmallTeacher:
        self.first, self.second = self.first.to(device), self.second.to(device)
        self.class_features = {
            name: (mean.to(device), std.to(device)) for name, (mean, std) in self.class_features.items()
        }
        return self

    def features(self, images: Tensor, tap: str = "activation") -> tuple[Tensor, Mapping[str, Tensor]]:
        first = torch.tanh(self.first(images))
        second = torch.tanh(self.second(first))
        return 4 * nn.functional.interpolate(second, images.shape[2:]), {"first": first, "second": second}


def small_generator(classes: int = CLASSES) -> LayoutToImagePipeline:
    """24×16 images, two levels, untrained; its prediction is of the size of a trained one's."""
    generator = build(classes, (24, 16), patch=2, channels=(16, 16), seed=1)
    generator.unet.requires_grad_(False)
    return generator


def context(dataset: Squares | None = None, seed: int = 0, workdir: Path | None = None, **models: Any) -> Context:
    """A context whose ``teacher`` and ``generator`` are the given objects."""
    loaders: dict[str, Any] = {f"load_{name}": (lambda model=model: model) for name, model in models.items()}
    return Context(cast(Dataset, dataset or Squares()), seed=seed, workdir=workdir or Path("unused"), **loaders)


def small_models() -> dict[str, Any]:
    return {"generator": small_generator(), "teacher": cast(Teacher, SmallTeacher())}


def choose(*indices: int) -> Selection:
    return Selection(np.array(indices, np.int64))
