"""Layout-to-image generation with Stable Diffusion 1.x: a d3s2bench ``Generator`` in latent space.

Text says what is in the picture; a :class:`Control` says where, and is all in which ControlNet, T2I-Adapter and
FreestyleNet differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from d3s2bench import IGNORE, ModelError
from d3s2bench_synthesizers.latent_models import StableDiffusion
from d3s2bench_synthesizers.latent_prompts import Prompts


class Control(Protocol):
    """How a mask enters the U-Net."""

    def prepare(self, masks: Tensor, token_classes: Tensor) -> Any:
        """What is computed once for masks ``(R, H, W) int64`` and the tokens' classes ``(R, L) int64``."""
        ...

    def inputs(self, z: Tensor, t: Tensor, text: Tensor, prepared: Any) -> dict[str, Any]:
        """What the U-Net is given beside ``z``, ``t`` and ``text (R, L, D)``."""
        ...


@dataclass(frozen=True)
class Condition:
    """Of masks: a row for each, below a row for each without its prompt when there are two passes."""

    text: Tensor
    control: Any


class LatentGenerator:
    """See the module. Latents ``(B, 4, H/8, W/8)`` are those of the VAE, scaled to unit variance; they stay float32
    outside the networks, whatever the precision of these.

    Attributes:
        cfg: scale of classifier-free guidance by the prompt (Ho and Salimans 2021); 1 = none, in one pass.
        negative: what stands in for the prompt in the pass without it.
    """

    def __init__(
        self,
        models: StableDiffusion,
        control: Control,
        prompts: Prompts,
        size: tuple[int, int],
        cfg: float = 1.0,
        negative: str = "",
        identity: str = "latent",
    ) -> None:
        if size[0] % models.unit or size[1] % models.unit:
            raise ModelError(f"size {size[0]}×{size[1]} does not fit the model: give multiples of {models.unit}")
        self.models, self.control, self.prompts = models, control, prompts
        self.size, self.cfg, self.negative, self.identity = size, cfg, negative, identity
        self.scheduler = models.scheduler
        self.num_classes = len(prompts.names)

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        device: torch.device = self.models.unet.device
        return device

    def latents(self, seeds: Sequence[int]) -> Tensor:
        """Starting noise ``(B, 4, h, w)``, row i from ``seeds[i]`` alone (drawn on the CPU: the same everywhere)."""
        (width, height), factor = self.size, self.models.factor
        shape = (self.models.vae.config.latent_channels, height // factor, width // factor)
        rows = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return torch.stack(rows).to(self.device)

    @torch.no_grad()
    def condition(self, masks: Tensor) -> Condition:
        """Prompts and layout of masks ``(B, H, W) int64``.

        Raises:
            ModelError: a label that the generator has no class for.
        """
        unknown = masks[(masks >= self.num_classes) & (masks != IGNORE)]
        if len(unknown):
            raise ModelError(f"label {int(unknown[0])} is unknown to a generator of {self.num_classes} classes")
        tokens = self.prompts.of(masks)
        if self.cfg != 1:
            tokens = tokens.below(self.prompts.same(self.negative, len(masks)))
            masks = torch.cat([masks, masks])
        tokens = tokens.to(self.device)
        text = self.models.text_encoder(tokens.ids).last_hidden_state
        return Condition(text, self.control.prepare(masks.to(self.device), tokens.classes))

    def denoise(self, z: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """The network's prediction, of the shape of ``z``; both passes run as one batch."""
        passes = len(condition.text) // len(z)
        rows, t = torch.cat([z] * passes).to(self.models.unet.dtype), t.to(z.device)
        control = self.control.inputs(rows, t, condition.text, condition.control)
        predicted: Tensor = self.models.unet(rows, t, condition.text, **control).sample.to(z.dtype)
        if passes == 1:
            return predicted
        without, prompted = predicted.chunk(2)
        mixed: Tensor = without + self.cfg * (prompted - without)
        return mixed

    def decode(self, z: Tensor) -> Tensor:
        """Latents → images ``(B, 3, H, W)`` about 0…1, differentiable."""
        vae = self.models.vae
        images: Tensor = vae.decode((z / vae.config.scaling_factor).to(vae.dtype)).sample
        return images.to(z.dtype) / 2 + 0.5

    def encode(self, images: Tensor) -> Tensor:
        """Images in 0…1 → the likeliest latents."""
        vae = self.models.vae
        latents: Tensor = vae.encode((images * 2 - 1).to(vae.dtype)).latent_dist.mode().to(images.dtype)
        return latents * float(vae.config.scaling_factor)
