"""A look at a dataset before it is used: are all pairs there, do they decode, how long is its tail."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from d3s2bench.datasets.held_out import Part
from d3s2bench.interfaces import Dataset, no_progress
from d3s2bench.sets.mask_index import build_mask_index
from d3s2bench.values import MaskIndex

SHOWN = 6
"""Pairs of each split that are drawn."""


@dataclass(frozen=True)
class SplitReport:
    """What was found of one split."""

    name: str
    images: int
    index: MaskIndex
    """Of the pairs that were decoded."""
    shown: Part
    """Some pairs, evenly spaced."""

    @property
    def ignored(self) -> float:
        """The share of pixels without class."""
        return 1 - float(self.index.counts.sum()) / max(int(self.index.pixels.sum()), 1)

    @property
    def images_with(self) -> NDArray[np.int64]:
        """``(C,)``: in how many masks each class occurs."""
        return np.asarray((self.index.counts > 0).sum(axis=0))

    @property
    def order(self) -> NDArray[np.int64]:
        """``(C,)``: classes from the most frequent to the rarest."""
        return np.argsort(-self.index.class_share, kind="stable")


def inspect_split(
    dataset: Dataset, name: str, pairs: int, progress: Callable[[int, int, str], None] = no_progress
) -> SplitReport:
    """Lists all pairs of a split and decodes ``pairs`` of them (0 = all), evenly spaced.

    Raises:
        DatasetError: a file is missing or corrupt, a mask has a wrong size or label.
    """
    split = dataset.split(name)
    read = Part(split, spaced(len(split), pairs or len(split)))
    index = build_mask_index(read, len(dataset.classes), progress)
    _decode(read)
    return SplitReport(name, len(split), index, Part(split, spaced(len(split), SHOWN)))


def _decode(split: Part) -> None:
    def image(i: int) -> None:
        split.image(i)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        deque(pool.map(image, range(len(split))), maxlen=0)


def spaced(total: int, wanted: int) -> tuple[int, ...]:
    """At most ``wanted`` of ``total`` indices, evenly spaced, the first among them."""
    count = min(total, wanted)
    return tuple(i * total // count for i in range(count))


def describe(dataset: Dataset, reports: list[SplitReport]) -> str:
    """The report as text: a line per split, what differs from the official release, then a line per class of the first
    split, from frequent to rare."""
    scored, official = getattr(dataset, "eval_split", "test"), getattr(dataset, "official_images", {})
    lines = [f"{dataset.name}: {len(dataset.classes)} classes, {scored} is scored", ""]
    lines.append(f"{'split':<8}{'images':>9}{'official':>10}{'decoded':>12}{'ignored':>10}")
    for report in reports:
        known = f"{official[report.name]:,}" if report.name in official else "-"
        counts = f"{report.images:>9,}{known:>10}{len(report.index):>12,}"
        lines.append(f"{report.name:<8}{counts}{100 * report.ignored:>9.1f}%")
    lines += _differences(reports, official)
    if scored not in dataset.splits:
        others = [f"--eval-split {split}" for split in dataset.splits if split != "train"]
        lines.append(f"warning: there is no {scored}: runs need {' or '.join([*others, '--holdout PATTERN'])}")
    return "\n".join([*lines, "", *_frequencies(dataset, reports[0])]) + "\n"


def _differences(reports: list[SplitReport], official: Mapping[str, int]) -> list[str]:
    """A number on fewer images, or more, is none of the dataset that others report on."""
    return [
        f"warning: {report.name} has {report.images:,} images, the official release {official[report.name]:,}: "
        f"{'is all of it there?' if report.images < official[report.name] else 'are others among them?'}"
        for report in reports
        if report.images != official.get(report.name, report.images)
    ]


def _frequencies(dataset: Dataset, report: SplitReport) -> list[str]:
    share, images = report.index.class_share, report.images_with
    present = [c for c in report.order if images[c]]
    absent = [dataset.classes[c] for c in report.order if not images[c]]
    lines = [f"classes of {report.name}, share of labelled pixels and masks with it"]
    lines += [f"{100 * share[c]:>10.4f}%{images[c]:>8,}  {dataset.classes[c]}" for c in present]
    return [*lines, f"{len(absent)} absent: {', '.join(absent)}"] if absent else lines
