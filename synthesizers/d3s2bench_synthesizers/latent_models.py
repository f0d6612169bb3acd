"""Stable Diffusion 1.x and what is plugged into it, from folders in the diffusers layout: safetensors, no code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from diffusers.utils import is_accelerate_available
from torch import nn
from transformers import CLIPTextModel, CLIPTokenizer
from transformers.utils.logging import disable_progress_bar

from d3s2bench import ModelError, first_line, require_weights
from d3s2bench_synthesizers.latent_options import PRECISIONS, SAVINGS

LOCAL = {"local_files_only": True, "use_safetensors": True}


@dataclass
class StableDiffusion:
    """The parts of Stable Diffusion 1.x; the scheduler is of the DDIM kind."""

    unet: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    scheduler: Any

    @property
    def factor(self) -> int:
        """Pixels per latent, along a side."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def unit(self) -> int:
        """What both sides of an image must be divisible by: each level of the U-Net can then be halved."""
        return int(self.factor * 2 ** (len(self.unet.config.block_out_channels) - 1))


@dataclass(frozen=True)
class Loader:
    """Reads networks for inference: frozen, on the device, in the precision.

    Attributes:
        folders: option → where its model lies; ``base`` is Stable Diffusion.
        memory: names of ``SAVINGS`` for the networks that gradients pass through.
    """

    folders: Mapping[str, Path]
    device: str
    precision: str = "fp32"
    memory: Sequence[str] = ()

    def stable_diffusion(self) -> StableDiffusion:
        """``base``, with the U-Net of ``unet`` where there is one. Raises ModelError for a folder that is none."""
        base = self.folders["base"]
        return StableDiffusion(
            self.network(UNet2DConditionModel, self.folders.get("unet", base / "unet")),
            self.network(AutoencoderKL, base / "vae", decoder_precision(self.precision)),
            self._frozen(_text_encoder(base / "text_encoder").to(dtype(self.precision))),
            _tokenizer(base / "tokenizer"),
            _scheduler(base / "scheduler"),
        )

    def network(self, kind: Any, folder: Path, precision: str = "") -> Any:
        """A network of this class of diffusers. Raises ModelError for a folder that holds none."""
        given = {"torch_dtype": dtype(precision or self.precision), "low_cpu_mem_usage": is_accelerate_available()}
        with _opened(kind.__name__, folder):
            network, about = kind.from_pretrained(folder, output_loading_info=True, **given, **LOCAL)
            require_weights(about)
        if getattr(network, "_supports_gradient_checkpointing", False):
            spare(network, self.memory)
        return self._frozen(network)

    def _frozen(self, network: nn.Module) -> nn.Module:
        return network.to(self.device).requires_grad_(False).eval()


def decoder_precision(precision: str) -> str:
    """Of the VAE: fp32 in place of fp16, in which the small gradients of guidance would vanish."""
    return "fp32" if precision == "fp16" else precision


def dtype(precision: str) -> torch.dtype:
    """``"bf16"`` → ``torch.bfloat16``."""
    found: torch.dtype = getattr(torch, PRECISIONS[precision])
    return found


def spare(network: Any, memory: Sequence[str]) -> None:
    """Turns on what saves memory."""
    for saving in memory:
        name, *argument = SAVINGS[saving]
        if method := getattr(network, name, None):
            method(*argument)


def ddim(config: Any) -> Any:
    """The DDIM scheduler of the noise that any scheduler's configuration describes. Clean estimates are not clipped:
    latents know no bounds, and guidance moves them."""
    return DDIMScheduler.from_config(config, clip_sample=False)


def _text_encoder(folder: Path) -> Any:
    disable_progress_bar()  # it would be drawn over ours
    with _opened("CLIPTextModel", folder):
        encoder, about = CLIPTextModel.from_pretrained(folder, output_loading_info=True, **LOCAL)
        require_weights(about)
        return encoder


def _tokenizer(folder: Path) -> Any:
    with _opened("CLIPTokenizer", folder):
        return CLIPTokenizer.from_pretrained(folder, local_files_only=True)


def _scheduler(folder: Path) -> Any:
    with _opened("scheduler", folder):
        return ddim(DDIMScheduler.load_config(folder, local_files_only=True))


@contextmanager
def _opened(what: str, folder: Path) -> Iterator[None]:
    """What reading a foreign folder raises, in as many ways as there are libraries, as one error that names it."""
    try:
        yield
    except Exception as error:
        layout = "give a folder in the diffusers layout, with safetensors"
        raise ModelError(f"no {what} can be read from {folder} ({first_line(error)}): {layout}") from error
