"""Stable Diffusion, ControlNet and T2I-Adapter of a few thousand random weights each, as folders of diffusers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from diffusers import AutoencoderKL, ControlNetModel, PNDMScheduler, T2IAdapter, UNet2DConditionModel
from synthesis_fakes import Squares
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from d3s2bench import Context, Dataset
from d3s2bench_synthesizers.latent_families import AdapterFamily, ControlNetFamily, FreestyleFamily
from d3s2bench_synthesizers.latent_family import LatentFamily
from d3s2bench_synthesizers.latent_generator import LatentGenerator
from d3s2bench_synthesizers.latent_prompts import Tokens

SIZE = (16, 8)
LENGTH = 24
BLOCKS: dict[str, Any] = {"block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4}
CROSS: dict[str, Any] = {
    **BLOCKS,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "cross_attention_dim": 16,
    "attention_head_dim": 2,
}


@dataclass(frozen=True)
class Streets(Squares):
    """Squares with the sizes of the models here."""

    size: tuple[int, int] = SIZE


def in_context(dataset: Squares | None = None) -> Context:
    return Context(cast(Dataset, dataset or Squares()))


def families(models: Path) -> list[LatentFamily]:
    """Each family on the models of ``write_models``."""
    common: dict[str, Any] = {"base": str(models / "base"), "size": SIZE, "template": "a <classes>"}
    return [
        ControlNetFamily(controlnet=str(models / "controlnet"), **common),
        AdapterFamily(adapter=str(models / "adapter"), **common),
        FreestyleFamily(**common),
    ]


def write_models(folder: Path) -> Path:
    """``base`` (with the scheduler of Stable Diffusion 1.5), ``controlnet`` and ``adapter``."""
    vocabulary = write_tokenizer(folder / "base" / "tokenizer")
    parts: dict[str, nn.Module] = {
        "base/unet": UNet2DConditionModel(
            sample_size=8, up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), **CROSS
        ),
        "base/vae": AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, **BLOCKS
        ),
        "base/text_encoder": CLIPTextModel(
            CLIPTextConfig(
                vocab_size=vocabulary, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
                num_attention_heads=2, max_position_embeddings=LENGTH, projection_dim=16,
            )
        ),
        "controlnet": ControlNetModel(conditioning_embedding_out_channels=(4, 8), **CROSS),
        "adapter": T2IAdapter(channels=[8, 16], num_res_blocks=1, downscale_factor=2),
    }  # fmt: skip
    for name, network in parts.items():
        randomise(network)
        cast(Any, network).save_pretrained(folder / name)
    PNDMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1
    ).save_pretrained(folder / "base" / "scheduler")
    return folder


def randomise(network: nn.Module) -> None:
    """No weight stays 0, as those do that a ControlNet begins with."""
    numbers = torch.Generator().manual_seed(5)
    for parameter in network.parameters():
        spread = parameter[0].numel() ** -0.5 if parameter.dim() > 1 else 0.1
        noise = torch.randn(parameter.shape, generator=numbers) * spread
        parameter.data = noise if parameter.dim() > 1 else parameter.data + noise


def write_tokenizer(folder: Path) -> int:
    """A tokenizer of CLIP's kind that knows letters and three words; gives back how many tokens it has."""
    letters = [chr(code) for code in range(33, 127)]
    merges = ["s k", "sk y</w>", "r o", "a d</w>", "ro ad</w>", "c a", "ca r</w>"]
    marks = ["<|startoftext|>", "<|endoftext|>"]
    tokens = [*letters, *[letter + "</w>" for letter in letters], *[m.replace(" ", "") for m in merges], *marks]
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": LENGTH})
    )
    return len(tokens)


def double(generator: LatentGenerator) -> LatentGenerator:
    """The generator in float64, for finite differences."""
    models = generator.models
    for network in (models.unet, models.vae, models.text_encoder, getattr(generator.control, "network", None)):
        if network is not None:
            network.double()
    latents = generator.latents
    generator.latents = lambda seeds: latents(seeds).double()  # type: ignore[method-assign]
    return generator


def spelled(tokenizer: CLIPTokenizer, tokens: Tokens, row: int = 0) -> str:
    """What a row of tokens says, start, end and padding left out."""
    return str(tokenizer.decode(tokens.ids[row], skip_special_tokens=True)).strip()


def masks_of(*rows: Sequence[Sequence[int]]) -> torch.Tensor:
    """Masks of the models' size from coarse ones."""
    coarse = torch.tensor(rows)
    return coarse.repeat_interleave(SIZE[1] // coarse.shape[1], 1).repeat_interleave(SIZE[0] // coarse.shape[2], 2)
