"""Rectified cross-attention: known answers on a mask of 2×2, and inside a U-Net."""

from __future__ import annotations

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from hypothesis import given
from hypothesis import strategies as st
from latent_fakes import CROSS
from torch import Tensor, nn

from d3s2bench_synthesizers.latent_freestyle import Rectified, RectifiedAttention, allowed
from d3s2bench_synthesizers.latent_prompts import OPEN

A, B = 0, 1
MASK = torch.tensor([[[A, B], [B, 255]]])
TOKENS = torch.tensor([[OPEN, A, A, B, OPEN]])  # start, two of class A, one of class B, end


def weights(rectify: dict[int, Tensor] | None) -> Tensor:
    """``(positions, tokens)``: what each position takes of each token. The tokens are unit vectors, and values and
    output are taken as they are, so that the layer's output is its weights."""
    layer = Attention(query_dim=5, cross_attention_dim=5, heads=1, dim_head=5, bias=False)
    layer.set_processor(RectifiedAttention())
    for linear in (layer.to_q, layer.to_k, layer.to_v, layer.to_out[0]):
        nn.init.eye_(linear.weight)
    nn.init.zeros_(layer.to_out[0].bias)
    positions = torch.randn(1, 4, 5, generator=torch.manual_seed(0))
    with torch.no_grad():
        taken: Tensor = layer(positions, torch.eye(5)[None], rectify=rectify)
    return taken[0]


def test_words_of_a_class_are_attended_to_at_its_pixels_alone() -> None:
    rectified = weights({4: allowed(MASK, TOKENS, (2, 2))})
    at_a, at_b, _, at_ignored = rectified
    assert (at_a[[1, 2]] > 0).all() and at_a[3] == 0
    assert at_b[3] > 0 and (at_b[[1, 2]] == 0).all()
    assert (at_ignored[1:4] == 0).all() and (rectified[:, [0, 4]] > 0).all()


def test_what_is_left_is_the_softmax_of_what_is_allowed() -> None:
    """softmax over a subset = the plain weights, rescaled to sum 1 over it."""
    plain, may = weights(None), allowed(MASK, TOKENS, (2, 2))[0]
    kept = plain * may
    torch.testing.assert_close(weights({4: may[None]}), kept / kept.sum(dim=1, keepdim=True))
    torch.testing.assert_close(plain.sum(dim=1), torch.ones(4))


def test_without_a_mask_it_is_the_attention_of_diffusers() -> None:
    network = UNet2DConditionModel(sample_size=8, up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), **CROSS)
    z, text = torch.randn(2, 4, 4, 8), torch.randn(2, 6, 16)
    before = network(z, 10, text).sample
    Rectified(network, (8, 4))
    assert torch.equal(network(z, 10, text).sample, before)


@given(side=st.sampled_from([1, 2, 4, 8]), seed=st.integers(0, 99))
def test_masks_are_resized_as_the_authors_do(side: int, seed: int) -> None:
    """Position (i, j) of a grid of side s is of the class of pixel (i·8/s, j·8/s); ignored ones see open tokens."""
    mask = torch.randint(0, 3, (1, 8, 8), generator=torch.manual_seed(seed))
    mask[mask == 2] = 255
    may = allowed(mask, TOKENS, (side, side))[0].reshape(side, side, 5)
    for i in range(side):
        for j in range(side):
            label = int(mask[0, i * 8 // side, j * 8 // side])
            assert may[i, j].tolist() == [True, label == A, label == A, label == B, True]


def test_each_resolution_of_the_unet_is_provided_for() -> None:
    network = UNet2DConditionModel(sample_size=8, up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), **CROSS)
    prepared = Rectified(network, (8, 4)).prepare(torch.zeros(2, 8, 16, dtype=torch.long), TOKENS.repeat(2, 1))
    assert {positions: tuple(may.shape) for positions, may in prepared.items()} == {32: (2, 32, 5), 8: (2, 8, 5)}
