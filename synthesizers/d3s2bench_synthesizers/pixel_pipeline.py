"""A layout-to-image diffusion model in pixel space, as a diffusers pipeline that is a d3s2bench ``Generator`` too."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, DiffusionPipeline, UNet2DModel
from torch import Tensor
from torch.nn import functional as F

from d3s2bench import IGNORE, ModelError, file_sha256, first_line
from d3s2bench_synthesizers.sampling import sample

RECORD = "generator.json"
TRAIN = "train one with `d3s2bench train generator --dataset NAME`"


class LayoutToImagePipeline(DiffusionPipeline):  # type: ignore[misc]
    """Paints images for masks. The UNet sees ``patch × patch`` pixels as one position (space-to-depth), the mask as
    one-hot channels beside the noisy image, and ignored pixels as a class of their own ("unlabelled").

    Latents are images in -2…2, ``(B, 3, H, W)``: photographs then vary about as much as the noise that is added.
    The layout follows from the UNet: ``3·patch²`` output channels and ``(3 + classes + 1)·patch²`` input channels.
    """

    def __init__(self, unet: UNet2DModel, scheduler: DDIMScheduler) -> None:
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler)
        self.patch = math.isqrt(unet.config.out_channels // 3)
        self.num_classes = unet.config.in_channels // self.patch**2 - 4
        height, width = unet.config.sample_size
        self.size = (width * self.patch, height * self.patch)
        self.identity = "pixel"

    def latents(self, seeds: Sequence[int]) -> Tensor:
        """Starting noise ``(B, 3, H, W)``, row i from ``seeds[i]`` alone (drawn on the CPU: the same everywhere)."""
        shape = (3, self.size[1], self.size[0])
        rows = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return torch.stack(rows).to(self.device)

    def condition(self, masks: Tensor) -> Tensor:
        """Masks ``(B, H, W) int64`` → space-to-depth one-hot channels ``(B, (C + 1)·patch², h, w)``.

        Raises:
            ModelError: a label the model was not trained on.
        """
        unknown = masks[(masks >= self.num_classes) & (masks != IGNORE)]
        if len(unknown):
            raise ModelError(
                f"label {int(unknown[0])} is unknown to a generator of {self.num_classes} classes: {TRAIN}"
            )
        known = torch.where(masks == IGNORE, self.num_classes, masks)
        one_hot = F.one_hot(known, self.num_classes + 1).movedim(-1, 1)
        return F.pixel_unshuffle(one_hot.to(self.device, self.unet.dtype), self.patch)

    def denoise(self, z: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        """The UNet's prediction, ``(B, 3, H, W)``; ``t`` is one timestep or one per row."""
        folded = torch.cat([F.pixel_unshuffle(z, self.patch), condition], dim=1)
        return F.pixel_shuffle(self.unet(folded, t).sample, self.patch)

    def decode(self, z: Tensor) -> Tensor:
        """-2…2 → 0…1."""
        return z / 4 + 0.5

    def encode(self, images: Tensor) -> Tensor:
        """0…1 → -2…2."""
        return images * 4 - 2

    def __call__(self, masks: Tensor, seeds: Sequence[int], num_inference_steps: int = 25) -> Tensor:
        """Images ``(B, 3, H, W)`` in 0…1 for masks ``(B, H, W) int64``: plain deterministic DDIM (Song et al. 2021)."""
        return sample(self, masks, seeds, num_inference_steps)


def build(
    num_classes: int, size: tuple[int, int], patch: int, channels: Sequence[int], seed: int = 0, attention: int = 1
) -> LayoutToImagePipeline:
    """An untrained model for ``size = (width, height)``; self-attention at the ``attention`` coarsest levels; weights
    from ``seed``."""
    plain = len(channels) - attention
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet2DModel(
            sample_size=(size[1] // patch, size[0] // patch),
            in_channels=(3 + num_classes + 1) * patch**2,
            out_channels=3 * patch**2,
            block_out_channels=tuple(channels),
            down_block_types=("DownBlock2D",) * plain + ("AttnDownBlock2D",) * attention,
            up_block_types=("AttnUpBlock2D",) * attention + ("UpBlock2D",) * plain,
            add_attention=attention > 0,  # between down and up
            layers_per_block=1,
            norm_num_groups=8,
            attention_head_dim=16,
            resnet_time_scale_shift="scale_shift",
        )
    return LayoutToImagePipeline(unet, _scheduler())


def _scheduler() -> DDIMScheduler:
    """Cosine schedule (Nichol and Dhariwal 2021), v-prediction (Salimans and Ho 2022), sampling that starts from pure
    noise (Lin et al. 2024: trailing steps); clean estimates are not clipped, so that guidance can move them."""
    return DDIMScheduler(
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        clip_sample=False,
    )


def load(folder: Path, device: str) -> LayoutToImagePipeline:
    """The model that ``folder`` holds, fp32, frozen.

    Raises:
        ModelError: the folder is missing, is of another family, or is corrupt.
    """
    try:
        record = json.loads((folder / RECORD).read_text())
        if record["family"] != "pixel":
            raise ValueError(f"it is of family '{record['family']}'")
        if checksum(folder) != record["weights"]:
            raise ValueError(f"its weights are not those of {RECORD}")
        unet = UNet2DModel.from_pretrained(folder / "unet", local_files_only=True).float()
        pipeline = LayoutToImagePipeline(unet, DDIMScheduler.from_pretrained(folder / "scheduler"))
    except Exception as error:  # reading a foreign folder fails in as many ways as there are libraries
        raise ModelError(f"no pixel generator can be read from {folder} ({first_line(error)}): {TRAIN}") from error
    pipeline.identity = f"pixel {record['dataset']['name']} {record['weights'][:12]}"
    unet.requires_grad_(False).eval()
    pipeline.to(device)
    return pipeline


def save(pipeline: LayoutToImagePipeline, folder: Path, record: Mapping[str, Any]) -> None:
    """Writes the pipeline in half precision, and its record with size, patch and checksum."""
    unet = copy.deepcopy(pipeline.unet)
    for parameter in unet.parameters():
        parameter.data = parameter.data.half()
    LayoutToImagePipeline(unet, pipeline.scheduler).save_pretrained(folder)
    record = {**record, "size": pipeline.size, "patch": pipeline.patch, "weights": checksum(folder)}
    (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n")


def checksum(folder: Path) -> str:
    """SHA-256 of the weights file."""
    return file_sha256(folder / "unet" / "diffusion_pytorch_model.safetensors")
