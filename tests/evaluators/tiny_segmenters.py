"""The field's networks, so small that they train in seconds."""

from __future__ import annotations

from typing import Any

from d3s2bench_evaluators.torch_evaluator import Torch

SWIN = {"embed_dim": 16, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2], "window_size": 4}
STAGED = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}
UPERNET = {"hidden_size": 16, "auxiliary_channels": 8}
MASK2FORMER = {
    "num_queries": 12,
    "encoder_layers": 1,
    "decoder_layers": 3,
    "feature_size": 32,
    "mask_feature_size": 32,
    "hidden_dim": 32,
    "num_attention_heads": 2,
    "encoder_feedforward_dim": 32,
    "dim_feedforward": 32,
    "train_num_points": 128,
}
PARTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "segformer-b0": ({**STAGED, "num_attention_heads": [1, 1, 2, 2]}, {"decoder_hidden_size": 16}),
    "upernet-swin-t": (SWIN, UPERNET),
    "upernet-convnext-t": (STAGED, UPERNET),
    "mask2former-swin-t": (SWIN, MASK2FORMER),
}
"""Architecture → its encoder and decoder."""


def tiny_protocol(arch: str, size: tuple[int, int] = (48, 32), **changes: Any) -> dict[str, Any]:
    """A few steps with small batches."""
    encoder, decoder = PARTS[arch]
    short = {"iterations": 4, "batch_size": 4, "warm_up": 0, "precision": "fp32", "photometric": 0.0}
    return Torch().protocol(arch, size) | {"encoder": encoder, "decoder": decoder} | short | changes
