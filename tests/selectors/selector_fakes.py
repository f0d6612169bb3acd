"""A train split of given images and a teacher whose features can be computed by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import torch

from d3s2bench import Context, Dataset, Image, Mask, MaskIndex, Teacher


@dataclass
class Photographs:
    """The only split of a dataset that is itself. Without masks, a pixel's class is its brightest channel."""

    images: Sequence[Image]
    masks: Sequence[Mask] = ()

    def split(self, name: str) -> Photographs:
        assert name == "train"
        return self

    def __len__(self) -> int:
        return len(self.images)

    def image(self, i: int) -> Image:
        return self.images[i]

    def mask(self, i: int) -> Mask:
        return self.masks[i] if self.masks else self.images[i].argmax(axis=2).astype(np.uint8)

    def item_name(self, i: int) -> str:
        return str(i)


@dataclass
class ColourTeacher:
    """Its layers are the picture itself and its red and green halved; its logits are the picture, three classes.

    Notes the batches that it is shown.
    """

    batchnorm: Mapping[str, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)
    pooled_layer: str = "deep"
    layers: tuple[str, ...] = ("shallow", "deep")
    shapes: list[tuple[int, ...]] = field(default_factory=list)

    def features(self, images: torch.Tensor, tap: str = "activation") -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        assert not torch.is_grad_enabled()
        assert images.dtype == torch.float32 and images.min() >= 0 and images.max() <= 1
        self.shapes.append(tuple(images.shape))
        before = {"shallow": images, "deep": images[:, :2] / 2}
        after = {name: 3 * feature for name, feature in before.items()}
        return images, before if tap == "batchnorm_input" else after


def context(
    images: Sequence[Image], teacher: ColourTeacher | None = None, seed: int = 0, masks: Sequence[Mask] = ()
) -> Context:
    load = (lambda: cast(Teacher, teacher)) if teacher else None
    return Context(cast(Dataset, Photographs(images, masks)), seed=seed, load_teacher=load)


def plain(red: int, green: int, size: tuple[int, int] = (4, 4)) -> Image:
    """An image of one colour."""
    return np.full((*size, 3), (red, green, 0), np.uint8)


def index_of(counts: Sequence[Sequence[int]] | np.ndarray, ignored: int = 0) -> MaskIndex:
    counts = np.asarray(counts, np.int64)
    return MaskIndex(counts, counts.sum(axis=1) + ignored)


def blank_index(images: int) -> MaskIndex:
    return index_of(np.ones((images, 1)))


def random_images(seed: int, images: int) -> list[np.ndarray]:
    draw = np.random.default_rng(seed)
    sizes = [(4, 5), (5, 4), (6, 6)]
    return [draw.integers(0, 256, (*sizes[draw.integers(3)], 3), dtype=np.uint8) for _ in range(images)]


def batchnorm_of(seed: int) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    draw = torch.Generator().manual_seed(seed)
    return {
        name: (torch.rand(d, generator=draw), torch.rand(d, generator=draw))
        for name, d in [("shallow", 3), ("deep", 2)]
    }
