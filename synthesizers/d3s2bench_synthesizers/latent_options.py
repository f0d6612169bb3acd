"""What options of latent generators may be. Imports nothing, so that options are checked before torch is loaded."""

from __future__ import annotations

SLOT = "<classes>"
"""Stands in a prompt for the classes of a mask."""
PRECISIONS = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
"""Name → dtype of torch."""
SAVINGS = {
    "checkpointing": ("enable_gradient_checkpointing",),
    "attention-slicing": ("set_attention_slice", "auto"),
    "vae-slicing": ("enable_slicing",),
    "vae-tiling": ("enable_tiling",),
}
"""What saves memory → the method of diffusers' networks that does it, where they have it, and its argument."""
PALETTES = ("ade20k", "coco", "dataset")
VOCABULARIES = ("names", "ade20k")
