"""From a selection to painted pairs: fixed batches, one seed per sample and candidate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from d3s2bench import Context, Generator, ModelError, Sample, Selection, derive_seed
from d3s2bench_synthesizers.choice import Choice, Painted
from d3s2bench_synthesizers.guidance import identity
from d3s2bench_synthesizers.resize import resize_mask
from d3s2bench_synthesizers.sampling import Correction, sample

ONLY = Choice()
"""The first image painted for a mask is kept."""


class Guide(Correction, Protocol):
    """What corrects the sampling of a whole set."""

    def of(self, sources: Sequence[int]) -> Guide:
        """What corrects a batch painted for the masks of these train images."""
        ...

    def notes(self, images: Tensor, masks: Tensor) -> list[dict[str, Any]]:
        """What the provenance of each painted image says of it."""
        ...


def paint(
    selection: Selection,
    context: Context,
    start: int,
    steps: int,
    batch: int,
    guidance: Guide | None = None,
    choice: Choice = ONLY,
) -> Iterator[Sample]:
    """Samples from number ``start`` on, painted by ``context.generator`` for the selected masks at its size.

    Batches lie where they would lie from 0, so bytes never depend on where a run was stopped; each candidate for
    sample k starts from noise of its own seed. A batch is painted once for each candidate: more candidates take no
    more memory and leave the first ones as they are.

    Raises:
        ModelError: the generator's classes are not the dataset's, or it paints what are no numbers.
    """
    generator = context.generator
    require_classes("generator", generator.num_classes, context)
    train = context.dataset.split("train")
    for first in range(start - start % batch, len(selection.indices), batch):
        sources = [int(i) for i in selection.indices[first : first + batch]]
        masks = np.stack([resize_mask(train.mask(i), generator.size) for i in sources])
        labels = torch.from_numpy(masks).long().to(context.device)
        guide = guidance.of(sources) if guidance else None
        painted = []
        for candidate in range(choice.candidates):
            seeds = [sample_seed(context.seed, first + row, candidate) for row in range(len(sources))]
            painted.append(_paint_batch(generator, labels, seeds, steps, guide))
        for row in range(max(start - first, 0), len(sources)):
            image, note = choice.best([images[row] for images in painted])
            yield Sample(image, masks[row], (sources[row],), note)


def sample_seed(seed: int, k: int, candidate: int = 0) -> int:
    """What the noise of a candidate for sample k is drawn from."""
    return derive_seed("sample", seed, k, *((candidate,) if candidate else ()))


def require_classes(what: str, found: int, context: Context) -> None:
    """Raises ModelError when a model was not made for as many classes as the dataset has."""
    dataset = context.dataset
    if found != len(dataset.classes):
        raise ModelError(
            f"the {what} knows {found} classes, dataset '{dataset.name}' has {len(dataset.classes)}: "
            f"train one with `d3s2bench train {what} --dataset {dataset.name}`"
        )


def _paint_batch(
    generator: Generator, masks: Tensor, seeds: Sequence[int], steps: int, guide: Guide | None
) -> list[Painted]:
    """An image for each mask."""
    images = sample(generator, masks, seeds, steps, guide)
    if not images.isfinite().all():  # as bytes they would be black
        raise ModelError(
            "the generator paints what are no numbers: with precision fp16 take bf16 or fp32, "
            "with guidance a lower scale"
        )
    notes: list[dict[str, Any]] = [{"seed": seed, "generator": identity(generator)} for seed in seeds]
    if guide is not None:
        notes = [note | more for note, more in zip(notes, guide.notes(images, masks), strict=True)]
    pixels = (images.movedim(1, -1) * 255).round().to(torch.uint8).cpu().numpy()
    return list(zip(pixels, notes, strict=True))
