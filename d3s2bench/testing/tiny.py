"""A dataset of a few drawn pairs, in memory: what contracts are tried on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from weakref import ref

import numpy as np
from numpy.typing import NDArray

from d3s2bench.datasets.guarded import forbidden_split
from d3s2bench.errors import DatasetError
from d3s2bench.values import IGNORE, Image, Mask, MaskIndex

CLASSES = ("sky", "road", "car")
PALETTE = ((70, 130, 180), (128, 64, 128), (0, 0, 142))
SIZE = (32, 16)
"""Width and height of the pictures, unless several sizes are asked for."""


@dataclass
class TinySplit:
    """Pair i is drawn from ``seed`` and i alone, anew each time it is read; the third class is rare, a strip of some
    masks is ignored. Each pair has the next of ``sizes`` (w, h); its classes come in squares of ``patch`` pixels."""

    images: int = 12
    seed: int = 0
    sizes: tuple[tuple[int, int], ...] = (SIZE,)
    patch: int = 4
    _given: list[ref[NDArray[np.uint8]]] = field(default_factory=list, repr=False)

    def __len__(self) -> int:
        return self.images

    def mask(self, i: int) -> Mask:
        return self._watched(self._mask(i))

    def image(self, i: int) -> Image:
        mask = self._mask(i)
        noise = self._draw(i, 1).integers(0, 40, (*mask.shape, 3))
        colours = np.array([*PALETTE, *[(0, 0, 0)] * (256 - len(PALETTE))])
        return self._watched((colours[mask] + noise).astype(np.uint8))

    def item_name(self, i: int) -> str:
        return f"{i:04d}"

    def index(self) -> MaskIndex:
        """The pixel histogram of the masks."""
        return _index([self._mask(i) for i in range(self.images)])

    def held(self) -> int:
        """How many of the arrays that it gave out somebody still holds."""
        self._given = [given for given in self._given if given() is not None]
        return len(self._given)

    def _draw(self, i: int, part: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, range(self.images)[i], part])

    def _mask(self, i: int) -> Mask:
        draw, (width, height) = self._draw(i, 0), self.sizes[i % len(self.sizes)]
        share = draw.dirichlet((3.0, 2.0, 0.5))
        coarse = draw.choice(len(CLASSES), (-(-height // self.patch), -(-width // self.patch)), p=share)
        mask = np.kron(coarse, np.ones((self.patch, self.patch)))[:height, :width].astype(np.uint8)
        mask[: 2 * int(draw.integers(2))] = IGNORE
        return mask

    def _watched(self, array: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Read-only, as those of some datasets are."""
        array.setflags(write=False)
        self._given.append(ref(array))
        return array


def _index(masks: Sequence[Mask]) -> MaskIndex:
    counts = [np.bincount(mask.ravel(), minlength=len(CLASSES))[: len(CLASSES)] for mask in masks]
    return _read_only(np.array(counts, np.int64), np.array([mask.size for mask in masks], np.int64))


def _read_only(counts: NDArray[np.int64], pixels: NDArray[np.int64]) -> MaskIndex:
    """Whoever changes an index in place changes it for whatever comes after."""
    counts.setflags(write=False)
    pixels.setflags(write=False)
    return MaskIndex(counts, pixels)


@dataclass
class Reordered:
    """The pairs of a split in another order, or some of them."""

    base: TinySplit
    order: Sequence[int]

    def __len__(self) -> int:
        return len(self.order)

    def mask(self, i: int) -> Mask:
        return self.base.mask(int(self.order[i]))

    def image(self, i: int) -> Image:
        return self.base.image(int(self.order[i]))

    def item_name(self, i: int) -> str:
        return self.base.item_name(int(self.order[i]))

    def index(self) -> MaskIndex:
        whole, order = self.base.index(), np.asarray(self.order)
        return _read_only(whole.counts[order], whole.pixels[order])


@dataclass
class TinyDataset:
    """A dataset whose split train is the given one, and that gives no other: a method learns from train alone."""

    train: TinySplit | Reordered = field(default_factory=TinySplit)
    name: str = "tiny"
    classes: tuple[str, ...] = CLASSES
    palette: tuple[tuple[int, int, int], ...] = PALETTE
    splits: tuple[str, ...] = ("train", "val", "test")
    fingerprint: str = "f" * 64
    redistributable: bool = True
    assets: Path | None = None

    def split(self, name: str) -> TinySplit | Reordered:
        if name not in self.splits:
            raise DatasetError(f"tiny has no split '{name}': its splits are {', '.join(self.splits)}")
        why = forbidden_split(name, "it")
        assert why is None, why
        return self.train
