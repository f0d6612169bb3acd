"""Guided sampling in the style of D3S2's second stage (arXiv 2605.25022, abstract).

A re-implementation: which steps the paper guides, and how strongly, is unpublished. The teacher looks at the image of
the current clean estimate; the gradient of the terms corrects that estimate, and the sampler goes on from there. This
is the forward guidance of Universal Guidance (Bansal et al. 2023) with a choice of step sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from d3s2bench import Generator, Teacher
from d3s2bench_synthesizers.sampling import NoiseLevel
from d3s2bench_synthesizers.terms import Term
from d3s2bench_synthesizers.window import guided_steps


@dataclass(frozen=True)
class Guidance:
    """The correction that lowers the sum of ``terms`` under ``teacher``.

    Attributes:
        scale: length of a step in the unit that ``normalise`` says.
        window: the guided steps, as fractions of all steps: ``(0, 1)`` guides each.
        normalise: ``"estimate"`` moves the clean estimate by scale · σ_t of its own norm; ``"eps"`` moves the noise
            estimate by scale · σ_t of its own norm (LGD, arXiv 2604.00519); ``"none"`` moves it by scale · σ_t times
            the gradient (Universal Guidance).
        through_generator: whether the gradient is with respect to the noisy latents, through the generator, or to the
            clean estimate, which saves the backward pass of the generator.
        every: 1 guides each step of the window, 2 its first, third, and so on.
    """

    teacher: Teacher
    terms: tuple[Term, ...]
    scale: float
    window: tuple[float, float] = (0.0, 1.0)
    normalise: str = "estimate"
    through_generator: bool = False
    every: int = 1

    def covers(self, k: int, steps: int) -> bool:
        """Whether step k of ``steps`` is guided."""
        return k in guided_steps(steps, self.window)[:: self.every]

    def of(self, sources: Sequence[int]) -> Guidance:
        """For a batch painted for these train images' masks: the same for all."""
        return self

    @torch.no_grad()
    def notes(self, images: Tensor, masks: Tensor) -> list[dict[str, Any]]:
        """What the provenance of each image says: the teacher, and the losses that are left."""
        losses = {name: loss.tolist() for name, loss in self.losses(images, masks).items()}
        rows = range(len(images))
        return [{"teacher": identity(self.teacher), "losses": {n: loss[k] for n, loss in losses.items()}} for k in rows]

    def losses(self, image: Tensor, masks: Tensor) -> dict[str, Tensor]:
        """Each term's ``(B,)`` loss on images ``(B, 3, H, W)``: one pass of the teacher serves all."""
        logits, features = self.teacher.features(image)
        return {term.name: term.loss(image, logits, features, masks) for term in self.terms}

    def __call__(self, generator: Generator, z: Tensor, t: Tensor, condition: Any, masks: Tensor) -> Tensor:
        """The generator's prediction at ``z``, corrected."""
        level = NoiseLevel.at(generator.scheduler, t)
        clean, slope = self.slope(generator, z, t, condition, masks)
        return level.prediction(z, clean - self._step(level, level.noise(z, clean), clean, slope))

    def slope(self, generator: Generator, z: Tensor, t: Tensor, condition: Any, masks: Tensor) -> tuple[Tensor, Tensor]:
        """The clean estimate at ``z`` and the gradient of the summed loss, both of the shape of ``z``."""
        level = NoiseLevel.at(generator.scheduler, t)
        with torch.set_grad_enabled(self.through_generator):
            source = z.detach().requires_grad_(self.through_generator)
            clean = level.clean(source, generator.denoise(source, t, condition))
        with torch.enable_grad():
            if not self.through_generator:
                source = clean = clean.detach().requires_grad_()
            total = torch.stack([loss.sum() for loss in self.losses(generator.decode(clean), masks).values()]).sum()
            slope = torch.autograd.grad(total, source)[0]
        return clean.detach(), slope

    def _step(self, level: NoiseLevel, noise: Tensor, clean: Tensor, slope: Tensor) -> Tensor:
        """By how much the clean estimate moves against the slope; row by row."""
        direction = slope / norm(slope)
        match self.normalise:
            case "estimate":
                return self.scale * level.sigma * norm(clean) * direction
            case "eps":
                move = self.scale * level.sigma * norm(noise) * direction
            case _:
                move = self.scale * level.sigma * slope
        return move * level.sigma / level.alpha


def identity(model: object) -> str:
    """What a model calls itself, or its class."""
    return str(getattr(model, "identity", type(model).__qualname__))


def norm(rows: Tensor) -> Tensor:
    """Euclidean norm of each row, shaped to divide it; never 0."""
    lengths: Tensor = torch.linalg.vector_norm(rows.flatten(1), dim=1).clamp(min=1e-12)
    return lengths.reshape(-1, *[1] * (rows.dim() - 1))
