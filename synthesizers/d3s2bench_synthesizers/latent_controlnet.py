"""ControlNet (Zhang et al. 2023, arXiv 2302.05543): a copy of the U-Net's encoder reads the coloured mask and adds to
the U-Net's features at each step. The network is diffusers'; any ControlNet for the same Stable Diffusion fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from d3s2bench_synthesizers.latent_palettes import RGB, coloured


@dataclass(frozen=True)
class ControlNet:
    """A :class:`Control`.

    Attributes:
        network: diffusers' ``ControlNetModel``.
        colours: of each class.
        strength: what its features are multiplied by.
    """

    network: Any
    colours: Sequence[RGB]
    strength: float = 1.0

    def prepare(self, masks: Tensor, token_classes: Tensor) -> Tensor:
        """The coloured masks ``(R, 3, H, W)``."""
        return coloured(masks, self.colours).to(self.network.dtype)

    def inputs(self, z: Tensor, t: Tensor, text: Tensor, prepared: Tensor) -> dict[str, Any]:
        down, middle = self.network(z, t, text, prepared, conditioning_scale=self.strength, return_dict=False)
        return {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
