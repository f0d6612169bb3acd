"""What selection costs beside its peers: processor seconds, and their ratio to ours.

    python benchmarks/selection_cost.py [balanced] [k-center] [mask-index]

One thread for each part but the mask index, whose threads are added up. Three parts, all of them unless some are named:

- balanced: 118,287 masks of 171 classes with a long tail (as many as COCO-Stuff), 1 % of them. Beside it, the same
  submodular choice by apricot (where it is installed), by a heap in plain Python, and by one matrix–vector product over
  all masks in each step.
- k-center: 20,210 features of 512 dimensions (as many as ADE20K), 1 % of them; beside its matrix–vector products alone.
- mask-index: 2,000 masks of 512×512 pixels; beside decoding the same files alone.

The ratios are the message: the seconds depend on the machine.
"""

from __future__ import annotations

import argparse
import heapq
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"})

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from d3s2bench import Budget, Context, Mask, MaskIndex
from d3s2bench.datasets.label_counts import counts_in_file
from d3s2bench.datasets.scenes import Scenes
from d3s2bench.files import read_mask, train_ids
from d3s2bench.sets.mask_index import build_mask_index
from d3s2bench_selectors.balanced import Balanced
from d3s2bench_selectors.k_center import k_center

Shows = NDArray[np.bool_]
DECIMALS = 9
"""Of the gains that are compared, as in ours: all peers but apricot then choose the same masks."""


def main() -> None:
    parts = {"balanced": balanced, "k-center": centres, "mask-index": mask_index}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[[], *parts], default=[], metavar="PART", help=", ".join(parts))
    for name in parser.parse_args().parts or parts:
        parts[name]()


def balanced() -> None:
    index = long_tail(118_287, 171)
    budget = Budget.from_rate(0.01, len(index))
    context = Context(Scenes(Path()))  # not looked at
    plain: dict[str, Any] = {"min_pixels": 1, "min_share": 0.0}
    shows = index.counts > 0

    def ours(rule: str) -> NDArray[np.int64]:
        return Balanced(rule=rule, **plain).select(index, budget, context).indices

    ways: dict[str, Callable[[], Any]] = {
        "ours, submodular": lambda: ours("submodular"),
        "ours, rarest first": lambda: ours("rarest-first"),
        "heap in plain Python": lambda: by_heap(shows, budget.images),
        "matrix–vector products": lambda: by_products(shows, budget.images),
    }
    if peer := apricot(shows, budget.images):
        ways["apricot, lazy"] = peer
    chosen = report(f"balanced: {budget.images} of {len(index)} masks, {index.num_classes} classes", ways)
    for name, indices in chosen.items():
        print(f"  {name:28s} Σ √n_c = {np.sqrt(shows[indices].sum(axis=0)).sum():.4f}")


def long_tail(masks: int, classes: int, pixels: int = 640 * 480) -> MaskIndex:
    """Class of rank r in a share ``min(0.5, 1.6 / r)`` of the masks, some eight in each; areas exponential."""
    draw = np.random.default_rng(0)
    shown = draw.random((masks, classes)) < np.minimum(0.5, 1.6 / np.arange(1, classes + 1))
    weight = draw.exponential(size=(masks, classes)) * shown
    counts = weight * (pixels / np.maximum(weight.sum(axis=1), 1e-9))[:, None]
    return MaskIndex(counts.astype(np.int64), np.full(masks, pixels))


def by_heap(shows: Shows, images: int) -> list[int]:
    """Lazy greedy as it is written in books: one mask at a time."""
    classes = [np.flatnonzero(row).tolist() for row in shows]
    rise = [1.0] * shows.shape[1]
    count = [0] * shows.shape[1]
    heap = [(-float(len(row)), i) for i, row in enumerate(classes)]
    heapq.heapify(heap)
    chosen: list[int] = []
    while len(chosen) < images:
        _, i = heapq.heappop(heap)
        now = (-round(sum(rise[c] for c in classes[i]), DECIMALS), i)
        if heap and heap[0] < now:
            heapq.heappush(heap, now)
            continue
        chosen.append(i)
        for c in classes[i]:
            count[c] += 1
            rise[c] = (count[c] + 1) ** 0.5 - count[c] ** 0.5
    return chosen


def by_products(shows: Shows, images: int) -> list[int]:
    """Every gain of every step."""
    matrix, count, chosen = shows.astype(np.float64), np.zeros(shows.shape[1]), list[int]()
    for _ in range(images):
        gains = np.round(matrix @ (np.sqrt(count + 1) - np.sqrt(count)), DECIMALS)
        gains[chosen] = -1
        chosen.append(int(gains.argmax()))
        count += shows[chosen[-1]]
    return chosen


def apricot(shows: Shows, images: int) -> Callable[[], Any] | None:
    """Its feature-based selection, compiled beforehand; None where it is not installed."""
    try:
        from apricot import FeatureBasedSelection
    except ImportError:
        return None
    features = shows.astype(np.float64)
    FeatureBasedSelection(2, concave_func="sqrt", optimizer="lazy").fit(features[:50])
    return lambda: FeatureBasedSelection(images, concave_func="sqrt", optimizer="lazy").fit(features).ranking


def centres() -> None:
    features = np.random.default_rng(0).standard_normal((20_210, 512))
    images = 202

    def products() -> None:
        for i in range(images):
            features @ features[i]

    report(
        f"k-center: {images} of {len(features)} features of {features.shape[1]} dimensions",
        {"ours": lambda: k_center(features, images, 0), "matrix–vector products alone": products},
    )


@dataclass(frozen=True)
class MaskFiles:
    """A split of masks alone."""

    files: list[Path]

    def __len__(self) -> int:
        return len(self.files)

    def image(self, i: int) -> Any:
        raise NotImplementedError("the mask index reads no image")

    def mask(self, i: int) -> Mask:
        return read_mask(self.files[i], 171, 255)

    def label_counts(self, i: int) -> Any:
        return counts_in_file(self.files[i], (512, 512), lambda ids: train_ids(ids, 171, 255, self.files[i]))

    def item_name(self, i: int) -> str:
        return self.files[i].stem


def mask_index() -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = [write_mask(Path(folder) / f"{i:04d}.png", i) for i in range(2000)]

        def decode() -> None:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                for _ in pool.map(lambda file: np.asarray(Image.open(file)), files):
                    pass

        ways = {"ours": lambda: build_mask_index(MaskFiles(files), 171), "decoding alone": decode}
        report(f"mask index: {len(files)} masks of 512×512", ways)


def write_mask(file: Path, seed: int) -> Path:
    """Nearest of forty points: regions as large and as ragged as in photographs, and as hard to compress."""
    draw = np.random.default_rng(seed)
    points, labels = draw.integers(0, 128, (40, 2)), draw.integers(0, 171, 40)
    row, column = np.indices((128, 128))
    distance = (row[..., None] - points[:, 0]) ** 2 + (column[..., None] - points[:, 1]) ** 2
    Image.fromarray(labels[distance.argmin(axis=2)].astype(np.uint8).repeat(4, 0).repeat(4, 1)).save(file)
    return file


def report(title: str, ways: dict[str, Callable[[], Any]]) -> dict[str, Any]:
    """Runs each once, the first is ours; gives back what they returned."""
    print(title, flush=True)
    results, base = {}, 0.0
    for name, way in ways.items():
        started = time.process_time()
        results[name] = way()
        seconds = time.process_time() - started
        base = base or seconds
        print(f"  {name:28s} {seconds:8.2f} s {seconds / base:8.2f} ×", flush=True)
    return results


if __name__ == "__main__":
    main()
