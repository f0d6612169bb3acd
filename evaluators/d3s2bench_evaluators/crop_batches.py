"""Batches of random crops. Pictures are decoded when they are needed; only so many are kept as fit the bound."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor

from d3s2bench import Image, Json, Mask, Split, derive_seed
from d3s2bench_evaluators.batches import CACHE_BYTES, as_images, batch_items
from d3s2bench_evaluators.crops import random_crop

READERS = 8
"""Threads that prepare the next batch while a GPU works on this one; their number changes no value."""


@dataclass
class Decoded:
    """The pairs of a split at their own sizes; the first ones read are kept, up to ``limit`` bytes in all."""

    split: Split
    limit: int = CACHE_BYTES
    kept: dict[int, tuple[Image, Mask]] = field(default_factory=dict)
    bytes: int = 0

    def pair(self, i: int) -> tuple[Image, Mask]:
        if i in self.kept:
            return self.kept[i]
        image, mask = self.split.image(i), self.split.mask(i)
        if self.bytes + image.nbytes + mask.nbytes <= self.limit:
            self.kept[i] = image, mask
            self.bytes += image.nbytes + mask.nbytes
        return image, mask


@dataclass(frozen=True)
class CropBatch:
    """Crops as an iteration sees them, on the CPU."""

    items: Sequence[int]
    images: Tensor
    """``(B, 3, h, w) float32`` in 0…1."""
    masks: Tensor
    """``(B, h, w) int64``."""


class CropBatches:
    """The batch of each iteration. Its crops depend on the seed, the iteration and their place in the batch alone.

    ``rank`` of ``ranks`` processes gets its share of each batch.
    """

    def __init__(self, split: Split, protocol: Json, seed: int, rank: int = 0, ranks: int = 1) -> None:
        self.pairs, self.protocol, self.seed = Decoded(split), protocol, seed
        size = protocol["batch_size"]
        self.places = range(size * rank // ranks, size * (rank + 1) // ranks)
        self._next: dict[int, Future[CropBatch]] = {}
        self._ahead: ThreadPoolExecutor | None = None

    def read_ahead(self) -> None:
        """From now on the next batch is prepared while its predecessor is worked on."""
        self._ahead = ThreadPoolExecutor(READERS + 1)

    def batch(self, iteration: int) -> CropBatch:
        if self._ahead is None:
            return self._make(iteration)
        found = self._next.pop(iteration, None)
        self._next = {iteration + 1: self._ahead.submit(self._make, iteration + 1)}
        return found.result() if found else self._make(iteration)

    def _make(self, iteration: int) -> CropBatch:
        items = batch_items(self.seed, iteration, self.protocol["batch_size"], len(self.pairs.split))
        crop = partial(self._crop, iteration, items)
        crops = list(self._ahead.map(crop, self.places) if self._ahead else map(crop, self.places))
        images = as_images([image for image, _ in crops], "cpu")
        masks = torch.from_numpy(np.stack([mask for _, mask in crops])).long()
        return CropBatch([items[place] for place in self.places], images, masks)

    def _crop(self, iteration: int, items: Sequence[int], place: int) -> tuple[Image, Mask]:
        draws = np.random.default_rng(derive_seed("crop", self.seed, iteration, place))
        return random_crop(*self.pairs.pair(items[place]), self.protocol, draws)
