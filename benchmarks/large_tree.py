"""Memory and seconds of indexing and selecting on a tree as large as COCO-Stuff-164k.

    python benchmarks/large_tree.py [--images 118287] [--folder /tmp]

The tree has the official layout and so many train images and masks, which are hard links to a thousand small pictures;
it is removed at the end. A fresh process then does what a run does before it opens the first image, and tells after
each step the seconds of the clock and the most memory that it has had so far (VmHWM): pairing files, the fingerprint (a
hash of all files), the mask index, and the choice of 1 % by two selectors.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"})

import numpy as np
from PIL import Image

from d3s2bench import Budget, Context
from d3s2bench.datasets.coco_stuff import IDS, CocoStuff164k
from d3s2bench.execution.resources import peak_memory
from d3s2bench.sets.mask_index import build_mask_index
from d3s2bench_selectors.balanced import Balanced
from d3s2bench_selectors.random import Random

SOURCES = 1000
"""A file can have 65,000 names on ext4."""
VAL = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=118_287)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        return measure(options.measure)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        write_tree(Path(folder), options.images)
        subprocess.run([sys.executable, __file__, "--measure", folder], check=True)


def measure(root: Path) -> None:
    dataset = CocoStuff164k(root, cache=root)
    train = step("pairs of files", lambda: dataset.split("train"))
    step("fingerprint", lambda: dataset.fingerprint)
    index = step("mask index", lambda: build_mask_index(train, len(dataset.classes)))
    budget, context = Budget.from_rate(0.01, len(index)), Context(dataset)
    selectors: dict[str, Balanced | Random] = {"balanced": Balanced(), "random": Random()}
    for name, selector in selectors.items():
        chosen = step(name, partial(selector.select, index, budget, context))
        assert len(np.unique(chosen.indices)) == budget.images
    print(f"{len(index):,} images, {budget.images:,} chosen; {(index.counts > 0).sum(1).mean():.1f} classes in a mask")


def step(name: str, work: Callable[[], Any]) -> Any:
    started = time.perf_counter()
    result = work()
    print(f"{name:16}{time.perf_counter() - started:8.1f} s{peak_memory() / 2**20:8.0f} MiB", flush=True)
    return result


def write_tree(root: Path, images: int) -> None:
    """Names as COCO's, of twelve digits."""
    sources = [write_pair(root / "sources", i) for i in range(min(SOURCES, images))]
    for split, count in {"train": images, "val": VAL}.items():
        folders = [root / part / f"{split}2017" for part in ("images", "annotations")]
        for folder in folders:
            folder.mkdir(parents=True)
        for i in range(count):
            for folder, source in zip(folders, sources[i % len(sources)], strict=True):
                os.link(source, folder / f"{i:012d}{source.suffix}")


def write_pair(folder: Path, i: int) -> tuple[Path, Path]:
    """64×48: up to eight classes, the first ones in most pictures, the last ones in few."""
    folder.mkdir(exist_ok=True)
    draw = np.random.default_rng(i)
    labels = np.array(IDS)[(len(IDS) * draw.random(8) ** 3).astype(int)]
    mask = labels[draw.integers(0, 8, (6, 8))].repeat(8, 0).repeat(8, 1).astype(np.uint8)
    image, annotation = folder / f"{i}.jpg", folder / f"{i}.png"
    Image.fromarray(draw.integers(0, 256, (48, 64, 3)).astype(np.uint8)).save(image)
    Image.fromarray(mask).save(annotation)
    return image, annotation


if __name__ == "__main__":
    main()
