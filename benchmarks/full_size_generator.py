"""What a full-size latent generator costs on a GPU: seconds per image and peak memory, without guidance and with it.

    python benchmarks/full_size_generator.py [--family controlnet] [--precision bf16] [--batch 4] [--steps 25]

Stable Diffusion 1.5 at 512×512 and what the family plugs into it, with random weights: no download, the pictures mean
nothing. The teacher is a network of this package, with random weights too. Peak memory is what torch holds for tensors.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from diffusers import AutoencoderKL, ControlNetModel, DDIMScheduler, T2IAdapter, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from d3s2bench_evaluators.teacher import TorchTeacher
from d3s2bench_evaluators.torch_evaluator import Torch
from d3s2bench_evaluators.training import build_network
from d3s2bench_synthesizers.guidance import Guidance
from d3s2bench_synthesizers.latent_adapter import Adapter
from d3s2bench_synthesizers.latent_controlnet import ControlNet
from d3s2bench_synthesizers.latent_freestyle import Rectified
from d3s2bench_synthesizers.latent_generator import Control, LatentGenerator
from d3s2bench_synthesizers.latent_models import StableDiffusion, decoder_precision, dtype, spare
from d3s2bench_synthesizers.latent_options import PRECISIONS
from d3s2bench_synthesizers.latent_prompts import Prompts
from d3s2bench_synthesizers.sampling import sample
from d3s2bench_synthesizers.terms import ClassFeatureMatching, SegmentationConsistency

CLASSES = 150
COLOURS = [(c, 255 - c, c) for c in range(CLASSES)]
TEXT = CLIPTextConfig(
    vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12,
    max_position_embeddings=77, hidden_act="quick_gelu", projection_dim=768,
)  # fmt: skip
VAE: dict[str, Any] = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "sample_size": 512,
}
FAMILIES: dict[str, Callable[[StableDiffusion, tuple[int, int]], Control]] = {
    "controlnet": lambda models, size: ControlNet(ControlNetModel(cross_attention_dim=768), COLOURS),
    "t2i-adapter": lambda models, size: Adapter(T2IAdapter(adapter_type="full_adapter"), COLOURS),
    "freestyle": lambda models, size: Rectified(models.unet, (size[0] // 8, size[1] // 8)),
}


class Words:
    """Stands for CLIP's tokenizer: one token for each word."""

    bos_token_id, eos_token_id, pad_token_id = 49406, 49407, 49407

    def __call__(self, text: str, **given: Any) -> SimpleNamespace:
        return SimpleNamespace(input_ids=[sum(word.encode()) for word in text.split()])


def full_size_generator(
    family: str, size: tuple[int, int] = (512, 512), precision: str = "fp32", device: str = "cpu", cfg: float = 7.5
) -> LatentGenerator:
    """The graph of Stable Diffusion 1.5 with random weights, frozen; gradients are checkpointed."""
    with torch.device(device):
        models = StableDiffusion(
            UNet2DConditionModel(sample_size=64, cross_attention_dim=768),
            AutoencoderKL(**VAE),
            CLIPTextModel(TEXT),
            Words(),
            DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False),
        )
        control = FAMILIES[family](models, size)
    for network in (models.unet, models.text_encoder, getattr(control, "network", None)):
        if network is not None:
            network.to(dtype(precision)).requires_grad_(False).eval()
    models.vae.to(dtype(decoder_precision(precision))).requires_grad_(False).eval()
    for network in (models.unet, models.vae, getattr(control, "network", None)):
        if getattr(network, "_supports_gradient_checkpointing", False):
            spare(network, ["checkpointing"])
    prompts = Prompts(models.tokenizer, 77, tuple(f"thing{c}" for c in range(CLASSES)), "a photo with <classes>")
    return LatentGenerator(models, control, prompts, size, cfg)


def random_teacher(arch: str, size: tuple[int, int], device: str) -> TorchTeacher:
    """A network that has learnt nothing, with standard normal features."""
    teacher = TorchTeacher(build_network(arch, CLASSES, Torch().protocol(arch, size)).to(device), size)
    teacher.class_features = {
        name: (torch.zeros(CLASSES, len(mean), device=device), torch.ones(CLASSES, len(mean), device=device))
        for name, (mean, _) in teacher.batchnorm.items()
    }
    return teacher


def random_masks(batch: int, size: tuple[int, int], device: str) -> Tensor:
    """Squares of 64×64 pixels of some ten classes."""
    rows, columns = -(-size[1] // 64), -(-size[0] // 64)
    coarse = torch.randint(0, 10, (batch, rows, columns), generator=torch.manual_seed(0)) * 15
    fine = coarse.repeat_interleave(64, 1).repeat_interleave(64, 2)
    return fine[:, : size[1], : size[0]].to(device)


def ways(teacher: TorchTeacher) -> dict[str, Guidance | None]:
    """What is measured."""
    terms = (SegmentationConsistency(), ClassFeatureMatching(teacher.class_features))
    return {
        "unguided": None,
        "guided, gradient to the clean estimate": Guidance(teacher, terms, 0.3),
        "guided, gradient through the generator": Guidance(teacher, terms, 0.3, through_generator=True),
    }


def measured(generator: LatentGenerator, masks: Tensor, steps: int, guidance: Guidance | None) -> tuple[float, float]:
    """Seconds per image, and GiB at the peak."""
    seeds = list(range(len(masks)))
    sample(generator, masks, seeds, 2, guidance)  # kernels are chosen and memory is fetched
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    sample(generator, masks, seeds, steps, guidance)
    torch.cuda.synchronize()
    return (time.perf_counter() - started) / len(masks), torch.cuda.max_memory_allocated() / 2**30


def main() -> None:
    options = arguments()
    if not torch.cuda.is_available():
        raise SystemExit("this measures a GPU, and torch sees none here: run it where `torch.cuda.is_available()`")
    size = (options.width, options.height)
    generator = full_size_generator(options.family, size, options.precision, "cuda")
    masks, teacher = random_masks(options.batch, size, "cuda"), random_teacher(options.arch, size, "cuda")
    print(f"{torch.cuda.get_device_name()}: {options.family}, {size[0]}×{size[1]}, {options.precision}, ", end="")
    print(f"batch {options.batch}, {options.steps} steps, teacher {options.arch}")
    for name, guidance in ways(teacher).items():
        seconds, memory = measured(generator, masks, options.steps, guidance)
        print(f"{name:40s} {seconds:7.2f} s/image {memory:7.2f} GiB", flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--family", choices=FAMILIES, default="controlnet")
    parser.add_argument("--precision", choices=PRECISIONS, default="bf16")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--height", type=int, default=512)
    parser.add_argument("--arch", default="deeplab", help="of the teacher")
    return parser.parse_args()


if __name__ == "__main__":
    main()
