"""How far a difference of mIoU would move with other repetitions and other test images."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from d3s2bench import Json, StoreError
from d3s2bench_leaderboards.rows import Row
from d3s2bench_leaderboards.significance import ALPHA, t_quantile

Floats = NDArray[np.float64]
NORMAL = 1.959963984540054
"""How many standard errors a two-sided 95 % interval of the normal distribution reaches."""
MEMORY = 2**26
"""Bytes that a batch of resamples may take."""
TEMPORARIES = 6
"""So many arrays of the size of the summed margins live at once."""


@dataclass(frozen=True)
class Interval:
    """95 % interval of a mean paired difference of mIoU, in percent points."""

    low: float
    high: float


def margins(per_image: NDArray[np.int64]) -> Floats:
    """All that IoU needs of ``(N, C, C)`` counts, rows = truth: ``(N, 3, C)`` hits, truth and union by class."""
    hits = np.diagonal(per_image, axis1=-2, axis2=-1)
    truth = per_image.sum(axis=-1)
    return np.stack([hits, truth, truth + per_image.sum(axis=-2) - hits], axis=-2).astype(np.float64)


def miou(summed: Floats) -> Floats:
    """mIoU in percent of summed ``(…, 3, C)`` margins, defined as ``d3s2bench.scores`` does; NaN without truth."""
    hits, truth, union = np.moveaxis(summed, -2, 0)
    present = truth > 0
    iou = np.divide(hits, union, out=np.zeros_like(hits), where=present)
    classes = present.sum(axis=-1)
    with np.errstate(invalid="ignore"):
        return np.asarray(100 * iou.sum(axis=-1) / classes, dtype=np.float64)


def difference_interval(a: Floats, b: Floats, resamples: int = 2000, block: int = 1, seed: int = 0) -> Interval:
    """Interval of the mean of mIoU a − b over R common repetitions; ``a`` and ``b`` are margins ``(R, N, 3, C)``.

    Each resample draws R repetitions and N test images with replacement, the same for both methods (paired), sums the
    counts over the images and takes the mIoU of each repetition from the sums. A resample without a labelled pixel
    has no mIoU and does not count. Two-way layout: Owen, The Pigeonhole Bootstrap, Annals of Applied Statistics 1,
    2007. ``block`` neighbours are drawn together, in a circle: frames of a video are no independent images (Politis
    and Romano, A circular block-resampling procedure, 1992). Percentiles are stretched about the mean, see
    :func:`_stretch`.

    Raises:
        StoreError: the shapes differ, so they are not counts of the same repetitions and images.
    """
    if a.shape != b.shape:
        raise StoreError(f"counts {a.shape} and {b.shape} do not pair: score both methods on the same test split")
    rng = np.random.default_rng(seed)
    means = np.concatenate(list(_means(a, b, resamples, block, rng)))
    known = means[~np.isnan(means)]
    if not known.size:
        return Interval(math.nan, math.nan)
    centre = float((miou(a.sum(axis=1)) - miou(b.sum(axis=1))).mean())
    low, high = centre + _stretch(len(a)) * (np.quantile(known, (ALPHA / 2, 1 - ALPHA / 2)) - centre)
    return Interval(float(low), float(high))


def _stretch(repetitions: int) -> float:
    """By how much plain percentiles of n repetitions are too narrow: √((n − 1) / n), and what t is wider than the
    normal distribution (Hesterberg, What Teachers Should Know About the Bootstrap, The American Statistician 69, 2015,
    § 3.3). Wider percentiles, as there, end at the outermost resamples where n is small. Of one repetition the images
    alone vary."""
    if repetitions < 2:
        return 1.0
    return t_quantile(repetitions - 1) * math.sqrt(repetitions / (repetitions - 1)) / NORMAL


def _means(a: Floats, b: Floats, resamples: int, block: int, rng: np.random.Generator) -> Iterator[Floats]:
    """Mean differences of the resamples, batch by batch so that memory is bounded."""
    repetitions, images = a.shape[:2]
    size = max(1, MEMORY // (8 * (TEMPORARIES * a[0, 0].size + images)))
    for start in range(0, resamples, size):
        number = min(size, resamples - start)
        weights = _weights(number, images, block, rng)
        drawn = rng.integers(repetitions, size=(number, repetitions))
        gaps = _resampled(a, weights) - _resampled(b, weights)
        yield np.take_along_axis(gaps, drawn, axis=1).mean(axis=1)


def _weights(number: int, images: int, block: int, rng: np.random.Generator) -> Floats:
    """``(B, N)``: how often each image is drawn, in as many blocks as it takes for N images."""
    starts = rng.multinomial(-(-images // block), np.full(images, 1 / images), number)
    drawn: Floats = np.zeros((number, images))
    for k in range(block):
        drawn += np.roll(starts, k, axis=1)
    return drawn


def _resampled(counts: Floats, weights: Floats) -> Floats:
    """mIoU ``(B, R)`` with each image counted as often as ``(B, N)`` weights say."""
    return np.stack([miou(np.tensordot(weights, repetition, axes=1)) for repetition in counts], axis=1)


@dataclass(frozen=True)
class CountsFolder:
    """The counts beside the records of a run folder."""

    folder: Path

    def interval(self, a: Row, b: Row, resamples: int, block: int = 1) -> Interval:
        """Of the mean paired difference of mIoU; NaN without a common repetition.

        Raises:
            StoreError: counts that are missing, or that are not of the same test images.
        """
        common = [seed for seed in a.records if seed in b.records]
        if not common:
            return Interval(math.nan, math.nan)
        ours, theirs = (self._stacked([row.records[seed] for seed in common]) for row in (a, b))
        return difference_interval(ours, theirs, resamples, block)

    def train_share(self, record: Json) -> Floats | None:
        """``(C,)``: the share of each class among the pixels of train, which head, middle and tail follow from; None
        for older counts without it."""
        return _read_share(self._file(record), record["confusion"]["sha256"])

    def _stacked(self, records: list[Json]) -> Floats:
        read = [_read(self._file(record), record["confusion"]["sha256"]) for record in records]
        if len({counts.shape for counts in read}) > 1:
            raise StoreError(f"counts of {records[0]['id']} and its repetitions are not of the same test images")
        return np.stack(read)

    def _file(self, record: Json) -> Path:
        """Beside the record: a path that leads elsewhere is cut to its name."""
        place = self.folder / "records" if (self.folder / "records").is_dir() else self.folder
        return place / Path(record["confusion"]["path"]).name


def _opened(file: Path) -> Any:
    """The arrays in a file of counts. Raises StoreError where it is missing."""
    if not file.is_file():
        raise StoreError(f"{file}, the counts of record {file.stem}, is missing: give the folder of the records")
    return np.load(file, allow_pickle=False)


@lru_cache(maxsize=64)
def _read(file: Path, sha256: str) -> Floats:
    """The margins of a record's counts; the digest is there to tell a file from what it was before."""
    with _opened(file) as counts:
        if "per_image" not in counts:
            raise StoreError(f"{file} has no counts per image: score it again, or leave the tests out")
        return margins(counts["per_image"])


@lru_cache(maxsize=64)
def _read_share(file: Path, sha256: str) -> Floats | None:
    with _opened(file) as counts:
        return np.asarray(counts["train_share"], np.float64) if "train_share" in counts else None
