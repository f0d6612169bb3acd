"""From a selection to painted pairs: fixed batches, one seed per sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from d3s2bench import Context, Generator, ModelError, Sample, Selection, derive_seed
from d3s2bench_synthesizers.guidance import Guidance
from d3s2bench_synthesizers.resize import resize_mask
from d3s2bench_synthesizers.sampling import sample


def paint(
    selection: Selection, context: Context, start: int, steps: int, batch: int, guidance: Guidance | None = None
) -> Iterator[Sample]:
    """Samples from number ``start`` on, painted by ``context.generator`` for the selected masks at its size.

    Batches lie where they would lie from 0, so bytes never depend on where a run was stopped; sample k starts from
    noise of its own seed.

    Raises:
        ModelError: the generator's classes are not the dataset's.
    """
    generator = context.generator
    require_classes("generator", generator.num_classes, context)
    train = context.dataset.split("train")
    for first in range(start - start % batch, len(selection.indices), batch):
        sources = [int(i) for i in selection.indices[first : first + batch]]
        masks = np.stack([resize_mask(train.mask(i), generator.size) for i in sources])
        seeds = [derive_seed("sample", context.seed, k) for k in range(first, first + len(sources))]
        images, notes = _paint_batch(generator, torch.from_numpy(masks).long(), seeds, steps, guidance, context.device)
        for row in range(max(start - first, 0), len(sources)):
            yield Sample(images[row], masks[row], (sources[row],), notes[row])


def require_classes(what: str, found: int, context: Context) -> None:
    """Raises ModelError when a model was not made for as many classes as the dataset has."""
    dataset = context.dataset
    if found != len(dataset.classes):
        raise ModelError(
            f"the {what} knows {found} classes, dataset '{dataset.name}' has {len(dataset.classes)}: "
            f"train one with `d3s2bench train {what} --dataset {dataset.name}`"
        )


def _paint_batch(
    generator: Generator, masks: Tensor, seeds: Sequence[int], steps: int, guidance: Guidance | None, device: str
) -> tuple[NDArray[np.uint8], list[dict[str, Any]]]:
    """``(B, H, W, 3) uint8`` and the provenance of each."""
    masks = masks.to(device)
    images = sample(generator, masks, seeds, steps, guidance)
    notes: list[dict[str, Any]] = [{"seed": seed, "generator": identity(generator)} for seed in seeds]
    if guidance is not None:
        with torch.no_grad():
            losses = {name: loss.tolist() for name, loss in guidance.losses(images, masks).items()}
        for row, note in enumerate(notes):
            note |= {
                "teacher": identity(guidance.teacher),
                "losses": {name: loss[row] for name, loss in losses.items()},
            }
    return (images.movedim(1, -1) * 255).round().to(torch.uint8).cpu().numpy(), notes


def identity(model: object) -> str:
    """What a model calls itself, or its class."""
    return str(getattr(model, "identity", type(model).__qualname__))
