"""FreestyleNet (Xue et al. 2023, arXiv 2303.14412): rectified cross-attention, re-implemented from the paper.

The words of a class are attended to at the pixels of that class alone; tokens that name no class (start, end, padding)
stay open to all, as in the authors' implementation. The pass without the prompt is not rectified. There are no new
weights: FreestyleNet is the U-Net of Stable Diffusion 1.4, fine-tuned with this attention.
"""

from __future__ import annotations

from typing import Any

from diffusers.models.attention_processor import AttnProcessor2_0
from torch import Tensor
from torch.nn import functional as F

from d3s2bench_synthesizers.latent_prompts import OPEN


class RectifiedAttention(AttnProcessor2_0):  # type: ignore[misc]
    """Attention of a diffusers U-Net whose cross-attention may be restricted.

    ``rectify`` maps a number of positions to who may attend to what there, ``(B, positions, L) bool``.
    """

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        rectify: dict[int, Tensor] | None = None,
    ) -> Tensor:
        if rectify is not None and encoder_hidden_states is not None:
            attention_mask = rectify[hidden_states.shape[1]]
        attended: Tensor = super().__call__(attn, hidden_states, encoder_hidden_states, attention_mask, temb)
        return attended


class Rectified:
    """A :class:`Control` that changes the U-Net's attention in place.

    ``size`` is width and height of the latents.
    """

    def __init__(self, unet: Any, size: tuple[int, int]) -> None:
        unet.set_attn_processor(RectifiedAttention())
        width, height = size
        self.sizes = [(height >> level, width >> level) for level in range(len(unet.config.block_out_channels))]

    def prepare(self, masks: Tensor, token_classes: Tensor) -> dict[int, Tensor]:
        """Who may attend to what at each resolution of the U-Net, by its number of positions."""
        return {height * width: allowed(masks, token_classes, (height, width)) for height, width in self.sizes}

    def inputs(self, z: Tensor, t: Tensor, text: Tensor, prepared: dict[int, Tensor]) -> dict[str, Any]:
        return {"cross_attention_kwargs": {"rectify": prepared}}


def allowed(masks: Tensor, token_classes: Tensor, size: tuple[int, int]) -> Tensor:
    """``(B, h·w, L) bool``: whether a position may attend to a token.

    Masks ``(B, H, W)`` are brought to ``size = (h, w)`` as the authors do (nearest neighbour, of the upper left pixel);
    ``token_classes (B, L)`` says what each token names.
    """
    positions = F.interpolate(masks[:, None].float(), size, mode="nearest").long().flatten(1)
    tokens = token_classes[:, None]
    return (tokens == OPEN) | (tokens == positions[:, :, None])
