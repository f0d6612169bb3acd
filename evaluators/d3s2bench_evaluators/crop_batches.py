"""Batches of random crops. Pictures are decoded when they are needed; only so many are kept as fit the bound."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from d3s2bench import D3S2Error, Image, Json, Mask, Split, StageError, cores, derive_seed, first_line
from d3s2bench_evaluators.batches import CACHE_BYTES, as_floats, batch_items
from d3s2bench_evaluators.crops import random_crop

READERS = 8
"""Processes at most that prepare batches while a GPU works: Pillow's colour spaces hold Python's lock, so threads would
wait for each other, and the training for them. Their number changes no value."""
LOOK, PATIENCE = 5.0, 600.0
"""Seconds between two looks whether a process is lost, and seconds that a batch may take."""


@dataclass
class Decoded:
    """The pairs of a split at their own sizes; the first ones read are kept, up to ``limit`` bytes in all."""

    split: Split
    limit: int = CACHE_BYTES
    kept: dict[int, tuple[Image, Mask]] = field(default_factory=dict)
    bytes: int = 0

    def fill(self) -> None:
        """Reads as many as may be kept, so that processes that are forked now share them."""
        for i in range(len(self.split)):
            self.pair(i)
            if len(self.kept) <= i:
                break

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
    """Crops as bytes, on the CPU."""

    items: Sequence[int]
    images: Tensor
    """``(B, h, w, 3) uint8``."""
    masks: Tensor
    """``(B, h, w) uint8``."""

    def on(self, device: str) -> tuple[Tensor, Tensor]:
        """Images ``(B, 3, h, w) float32`` in 0…1 and masks ``(B, h, w) int64``, as a network sees them."""
        images, masks = (each.to(device, non_blocking=True) for each in (self.images, self.masks))
        return as_floats(images), masks.long()

    def pin_memory(self) -> CropBatch:
        """What a ``DataLoader`` calls, so that a GPU fetches the batch while it computes."""
        return replace(self, images=self.images.pin_memory(), masks=self.masks.pin_memory())


class CropBatches:
    """The batch of each iteration. Its crops depend on the seed, the iteration and their place in the batch alone.

    ``rank`` of ``ranks`` processes gets its share of each batch.
    """

    def __init__(self, split: Split, protocol: Json, seed: int, rank: int = 0, ranks: int = 1) -> None:
        self.pairs, self.protocol, self.seed = Decoded(split), protocol, seed
        size = protocol["batch_size"]
        self.places = range(size * rank // ranks, size * (rank + 1) // ranks)

    def batch(self, iteration: int) -> CropBatch:
        """Raises what the split raises for a pair that it cannot read."""
        items = batch_items(self.seed, iteration, self.protocol["batch_size"], len(self.pairs.split))
        crops = [self._crop(iteration, items, place) for place in self.places]
        images, masks = (torch.from_numpy(np.stack(part)) for part in zip(*crops, strict=True))
        return CropBatch([items[place] for place in self.places], images, masks)

    def _crop(self, iteration: int, items: Sequence[int], place: int) -> tuple[Image, Mask]:
        draws = np.random.default_rng(derive_seed("crop", self.seed, iteration, place))
        return random_crop(*self.pairs.pair(items[place]), self.protocol, draws)


class ReadAhead:
    """The same batches, prepared by forked processes as long as they are asked for in order."""

    def __init__(self, batches: CropBatches, ranks: int = 1) -> None:
        self.places, self.total = batches.places, batches.protocol["iterations"]
        self.readers = max(1, min(READERS, cores() // ranks))
        self._made = _Made(batches)
        self._due = -1
        self._coming: Iterator[CropBatch | Exception] = iter(())

    def batch(self, iteration: int) -> CropBatch:
        """See :meth:`CropBatches.batch`. Raises StageError when a process is lost, within some seconds."""
        if iteration != self._due:
            self._made.batches.pairs.fill()
            with _no_signal_kept():
                self._coming = iter(self._from(iteration))
        found, self._due = self._next(), iteration + 1
        if isinstance(found, Exception):
            self._coming, self._due = iter(()), -1  # whoever holds the error holds no processes
            raise found
        if self._due == self.total:
            next(self._coming, None)  # which ends the processes
        return found

    def _next(self) -> CropBatch | Exception:
        last_look = time.monotonic() + PATIENCE - LOOK
        while True:
            now = time.monotonic()
            try:
                return next(self._coming)
            except RuntimeError as error:
                if not str(error).startswith("DataLoader"):  # of the split itself, or of the GPU
                    raise
                if "timed out" not in str(error):
                    why = "is there too little memory, or shared memory (/dev/shm)?"
                    return StageError(f"a process that prepares crops is lost: {why} {first_line(error)}")
            if now >= last_look:
                return StageError(f"no crops within {PATIENCE:.0f} s: does the disk with the images answer?")

    def _from(self, first: int) -> DataLoader[CropBatch | Exception]:
        return DataLoader(
            self._made,
            None,
            sampler=range(first, self.total),
            num_workers=self.readers,
            pin_memory=torch.cuda.is_available(),
            prefetch_factor=1,
            timeout=LOOK,
            multiprocessing_context="fork",
            generator=torch.Generator(),  # torch's own is the training's
        )


@contextmanager
def _no_signal_kept() -> Iterator[None]:
    """A ``DataLoader`` would answer a lost process by an error wherever the main thread is: the next batch tells it."""
    before = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, before or signal.SIG_DFL)


@dataclass(frozen=True)
class _Made(Dataset["CropBatch | Exception"]):
    batches: CropBatches

    def __getitem__(self, iteration: int) -> CropBatch | Exception:
        try:
            return self.batches.batch(iteration)
        except (D3S2Error, OSError) as error:  # a DataLoader would wrap it in a text of its own
            return error
