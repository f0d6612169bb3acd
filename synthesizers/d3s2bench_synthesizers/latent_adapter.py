"""T2I-Adapter (Mou et al. 2023, arXiv 2302.08453): a small network reads the coloured mask once; its features are added
to those of the U-Net's encoder at each step. The network is diffusers'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from d3s2bench_synthesizers.latent_palettes import RGB, coloured


@dataclass(frozen=True)
class Adapter:
    """A :class:`Control`.

    Attributes:
        network: diffusers' ``T2IAdapter``.
        colours: of each class.
        strength: what its features are multiplied by.
    """

    network: Any
    colours: Sequence[RGB]
    strength: float = 1.0

    def prepare(self, masks: Tensor, token_classes: Tensor) -> list[Tensor]:
        """Features for each level of the U-Net."""
        image = coloured(masks, self.colours).to(self.network.dtype)
        return [self.strength * features for features in self.network(image)]

    def inputs(self, z: Tensor, t: Tensor, text: Tensor, prepared: list[Tensor]) -> dict[str, Any]:
        return {"down_intrablock_additional_residuals": list(prepared)}  # the U-Net empties the list
