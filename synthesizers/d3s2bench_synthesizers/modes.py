"""Modes of the train photographs in the generator's latents, and guidance towards them (MGD3, arXiv 2505.18963)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from d3s2bench import Context, Generator, derive_seed
from d3s2bench_synthesizers.resize import resize_image
from d3s2bench_synthesizers.sampling import NoiseLevel
from d3s2bench_synthesizers.window import guided_steps

CHUNK = 16
"""Photographs encoded together."""


@dataclass(frozen=True)
class Modes:
    """``centres`` is ``(K, …)`` in the shape of the generator's latents; ``of`` gives the mode of train image i."""

    centres: Tensor
    context: Context

    def of(self, sources: Sequence[int]) -> list[int]:
        """The nearest centre (Euclidean) to each photograph's latents."""
        latents = encode(self.context, sources)
        return torch.cdist(latents.flatten(1), self.centres.flatten(1)).argmin(1).tolist()


def discover(context: Context, count: int, pool: int) -> Modes:
    """Mode discovery: k-means (k-means++ start, 20 rounds) of at most ``pool`` photographs, drawn with the seed."""
    from scipy.cluster.vq import kmeans2  # type: ignore[import-untyped]

    train, draw = context.dataset.split("train"), np.random.default_rng(derive_seed("modes", context.seed))
    drawn = draw.permutation(len(train))[: max(pool, count)].tolist()
    latents = encode(context, drawn)
    points = latents.flatten(1).cpu().numpy()
    start = spread(points, min(count, len(points)), draw)
    centres, _ = kmeans2(points, start, iter=20, minit="matrix", missing="warn")
    return Modes(torch.from_numpy(centres).to(latents).reshape(-1, *latents.shape[1:]), context)


def spread(points: NDArray[np.float32], count: int, draw: np.random.Generator) -> NDArray[np.float64]:
    """The ``count`` points that k-means++ starts from (Arthur and Vassilvitskii 2007). The draws are those of scipy,
    which measures the distance to all earlier centres again at each of them: hours for 1,183 centres of 2,000 latents.
    """
    from scipy.spatial.distance import cdist  # type: ignore[import-untyped]

    chosen = [int(draw.integers(len(points)))]
    nearest = np.full(len(points), np.inf)
    while len(chosen) < count:
        np.minimum(nearest, cdist(points[chosen[-1:]], points, "sqeuclidean")[0], out=nearest)
        chosen.append(int(np.searchsorted((nearest / nearest.sum()).cumsum(), draw.uniform())))
    return points[chosen].astype(np.float64)


@torch.no_grad()
def encode(context: Context, items: Sequence[int]) -> Tensor:
    """Clean latents of train photographs, ``(N, …) float32``."""
    train, generator = context.dataset.split("train"), context.generator
    rows = []
    for first in range(0, len(items), CHUNK):
        images = np.stack([resize_image(train.image(int(i)), generator.size) for i in items[first : first + CHUNK]])
        rows.append(generator.encode(torch.from_numpy(images).to(context.device).movedim(-1, 1).float() / 255).float())
    return torch.cat(rows)


@dataclass(frozen=True)
class ModeGuidance:
    """Moves the clean estimate of each row by ``strength`` of the way to its mode, in the ``window`` of the steps."""

    modes: Modes
    strength: float
    window: tuple[float, float]
    rows: tuple[int, ...] = ()
    """The mode of each image of the batch."""

    def of(self, sources: Sequence[int]) -> ModeGuidance:
        """For a batch painted for these train images' masks."""
        return replace(self, rows=tuple(self.modes.of(sources)))

    def covers(self, k: int, steps: int) -> bool:
        """Whether step k of ``steps`` is guided."""
        return k in guided_steps(steps, self.window)

    def __call__(self, generator: Generator, z: Tensor, t: Tensor, condition: Any, masks: Tensor) -> Tensor:
        """The generator's prediction at ``z``, corrected."""
        level = NoiseLevel.at(generator.scheduler, t)
        clean = level.clean(z, generator.denoise(z, t, condition))
        return level.prediction(z, clean + self.strength * (self.modes.centres[list(self.rows)] - clean))

    def notes(self, images: Tensor, masks: Tensor) -> list[dict[str, Any]]:
        """What the provenance of each image says of its guidance."""
        return [{"mode": mode} for mode in self.rows]
