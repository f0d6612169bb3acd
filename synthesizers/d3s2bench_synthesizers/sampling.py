"""Deterministic diffusion sampling with an optional correction of the clean estimate at each step.

The loop knows the ``Generator`` protocol and nothing else: pixel or latent space, any network, any of the three
prediction types. Its scheduler must be of the DDIM kind: noisy = α_t · clean + σ_t · noise with
α_t² = ``alphas_cumprod``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from d3s2bench import ConfigError, Generator


@dataclass(frozen=True)
class NoiseLevel:
    """How a prediction, the clean latents and the noise hang together at one timestep: z = α · clean + σ · noise.

    ``form`` is diffusers' ``prediction_type``: ``epsilon`` (the noise), ``sample`` (the clean latents) or
    ``v_prediction`` (α · noise - σ · clean; Salimans and Ho 2022, appendix D).
    """

    alpha: Tensor
    sigma: Tensor
    form: str

    @classmethod
    def at(cls, scheduler: Any, t: Tensor) -> NoiseLevel:
        """The level of timestep ``t`` of a DDIM-like diffusers scheduler."""
        share = scheduler.alphas_cumprod[int(t)].to(t.device)
        return cls(share.sqrt(), (1 - share).sqrt(), scheduler.config.prediction_type)

    def clean(self, z: Tensor, prediction: Tensor) -> Tensor:
        """The estimate of the clean latents that a prediction stands for."""
        match self.form:
            case "epsilon":
                return (z - self.sigma * prediction) / self.alpha
            case "v_prediction":
                return self.alpha * z - self.sigma * prediction
            case "sample":
                return prediction
        raise ConfigError(f"prediction type '{self.form}' of the generator's scheduler is unknown")

    def noise(self, z: Tensor, clean: Tensor) -> Tensor:
        """The noise in ``z`` when its clean latents are ``clean``."""
        return (z - self.alpha * clean) / self.sigma

    def prediction(self, z: Tensor, clean: Tensor) -> Tensor:
        """The prediction that stands for ``clean``: the inverse of :meth:`clean`."""
        if self.form == "sample":
            return clean
        noise = self.noise(z, clean)
        return noise if self.form == "epsilon" else self.alpha * noise - self.sigma * clean


class Correction(Protocol):
    """What guides the loop."""

    def covers(self, k: int, steps: int) -> bool:
        """Whether step k of ``steps`` is corrected."""
        ...

    def __call__(self, generator: Generator, z: Tensor, t: Tensor, condition: Any, masks: Tensor) -> Tensor:
        """The corrected prediction at ``z``."""
        ...


@torch.no_grad()
def sample(
    generator: Generator, masks: Tensor, seeds: Sequence[int], steps: int, correction: Correction | None = None
) -> Tensor:
    """Images ``(B, 3, H, W) float32`` in 0…1 for masks ``(B, H, W) int64``; row i starts from the noise of
    ``seeds[i]``. Deterministic DDIM (Song et al. 2021, η = 0) in ``steps`` steps."""
    scheduler = generator.scheduler
    scheduler.set_timesteps(steps)
    z, condition = generator.latents(seeds), generator.condition(masks)
    for k, t in enumerate(scheduler.timesteps):
        if correction is not None and correction.covers(k, steps):
            prediction = correction(generator, z, t, condition, masks)
        else:
            prediction = generator.denoise(z, t, condition)
        z = scheduler.step(prediction, t, z).prev_sample
    return generator.decode(z).clamp(0, 1)
