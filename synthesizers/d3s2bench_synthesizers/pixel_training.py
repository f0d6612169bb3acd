"""How a pixel generator is trained: v-prediction on flipped and cropped pairs, running average of the weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import Tensor

from d3s2bench import ConfigError, Context, DatasetError, Split, derive_seed, train_steps
from d3s2bench_synthesizers.crops import Crops
from d3s2bench_synthesizers.pixel_pipeline import LayoutToImagePipeline, build, save
from d3s2bench_synthesizers.resize import resize_image, resize_mask

if TYPE_CHECKING:
    from d3s2bench_synthesizers.pixel_family import PixelFamily

WARM_UP = 100
WEIGHT_CAP = 20.0


def train(options: PixelFamily, pairs: Split, folder: Path, context: Context) -> None:
    """See :meth:`PixelFamily.train`."""
    if not len(pairs):
        raise DatasetError("there is nothing to train a generator on: the split holds no pairs")
    size = working_size(pairs, options.long_side, options.unit)
    images, masks = load_pairs(pairs, Crops(size, options.crop).whole_size, len(pairs))
    num_classes, seed = len(context.dataset.classes), derive_seed("weights", context.seed)
    model = build(num_classes, size, options.patch, options.channels, seed, options.attention)
    model.to(context.device)
    average = copy.deepcopy(model.unet).requires_grad_(False)
    step, state = training_step(options, model, average, images, masks, context)
    curve = train_steps(step, options.iterations, state, context)
    generator = LayoutToImagePipeline(average, model.scheduler)
    save(generator, folder, _record(options, pairs, context, curve, curve.seconds))
    _sheet(generator, pairs, context).save(folder / "samples.png")


def working_size(pairs: Split, long_side: int, unit: int) -> tuple[int, int]:
    """Width and height near ``long_side`` × the median aspect of the first 32 pairs, multiples of ``unit``."""
    shapes = [pairs.mask(i).shape for i in range(min(len(pairs), 32))]
    aspect = float(np.median([width / height for height, width in shapes]))
    sides = (long_side * min(aspect, 1), long_side / max(aspect, 1))
    width, height = (max(unit, int(side / unit + 0.5) * unit) for side in sides)
    return width, height


def load_pairs(pairs: Split, size: tuple[int, int], count: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The first ``count`` images ``(N, H, W, 3)`` and masks ``(N, H, W)``, uint8, in memory: they are small at this
    size."""
    images, masks = np.empty((count, size[1], size[0], 3), np.uint8), np.empty((count, size[1], size[0]), np.uint8)
    for i in range(count):
        images[i], masks[i] = resize_image(pairs.image(i), size), resize_mask(pairs.mask(i), size)
    return images, masks


def training_step(
    options: PixelFamily,
    model: LayoutToImagePipeline,
    average: torch.nn.Module,
    images: NDArray[np.uint8],
    masks: NDArray[np.uint8],
    context: Context,
) -> tuple[Callable[[int], Tensor], dict[str, Any]]:
    """The step of iteration k, all of whose randomness comes from ``context.seed`` and k, and the state it changes."""
    unet = model.unet.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(unet.parameters(), lr=options.learning_rate, betas=(0.9, 0.99), weight_decay=1e-4)
    autocast, crops = _autocast(options.precision, context.device), Crops(model.size, options.crop)

    def step(k: int) -> Tensor:
        optimizer.param_groups[0]["lr"] = options.learning_rate * schedule(k, options.iterations)
        batch = draw(images, masks, options.batch_size, derive_seed("batch", context.seed, k), crops)
        with autocast:
            loss = velocity_loss(model, *batch)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimizer.step()
        follow(average, unet, min(options.ema, (1 + k) / (10 + k)))
        return loss.detach()

    return step, {"model": unet, "average": average, "optimizer": optimizer}


def _autocast(precision: str, device: str) -> torch.autocast:
    """Raises ConfigError for bfloat16 on a processor that only imitates it."""
    if precision == "bf16" and device == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        raise ConfigError("generator.pixel.precision is 'bf16', which this processor does not know: give 'fp32'")
    return torch.autocast(device.split(":")[0], torch.bfloat16, enabled=precision == "bf16")


def schedule(k: int, iterations: int) -> float:
    """Share of the peak learning rate at step k: linear warm-up, a plateau, linear to 0 over the last 40 %."""
    return min(1.0, (k + 1) / WARM_UP, (iterations - k) / (0.4 * iterations))


def draw(
    images: NDArray[np.uint8], masks: NDArray[np.uint8], size: int, seed: int, crops: Crops
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A batch: clean images in 0…1, masks (int64), noise and timesteps in 0…1.

    Pairs are drawn with replacement, cropped and flipped at random; timesteps are stratified, one in each 1/B of the
    range, which lowers the variance of the loss (Kingma et al. 2021, appendix I.1).
    """
    rng = np.random.default_rng(seed)
    rows, flips = rng.integers(len(images), size=size), rng.random(size) < 0.5
    times = (np.arange(size) + rng.random(size)) / size
    shown, named = crops(images[rows], masks[rows], rng)
    picked = torch.from_numpy(shown).movedim(-1, 1).float() / 255
    labels = torch.from_numpy(named).long()
    flip = torch.from_numpy(flips)
    picked = torch.where(flip[:, None, None, None], picked.flip(-1), picked)
    labels = torch.where(flip[:, None, None], labels.flip(-1), labels)
    noise = torch.from_numpy(rng.standard_normal(picked.shape, dtype=np.float32))
    return picked, labels, noise, torch.from_numpy(times).float()


def velocity_loss(model: LayoutToImagePipeline, images: Tensor, masks: Tensor, noise: Tensor, times: Tensor) -> Tensor:
    """Mean squared error of the predicted velocity (Salimans and Ho 2022, appendix D). What it weighs errors of the
    clean image by, SNR + 1, is capped, so that invisible noise does not drown the rest (Hang et al. 2023)."""
    device, scheduler = model.device, model.scheduler
    clean, noise = model.encode(images.to(device)), noise.to(device)
    t = (times * scheduler.config.num_train_timesteps).long().to(device)
    predicted = model.denoise(scheduler.add_noise(clean, noise, t), t, model.condition(masks.to(device)))
    weight = (WEIGHT_CAP * (1 - scheduler.alphas_cumprod.to(device)[t])).clamp(max=1)  # 1 / (SNR + 1) = σ²
    error = (predicted.float() - scheduler.get_velocity(clean, noise, t)).square().mean(dim=(1, 2, 3))
    loss: Tensor = (weight * error).mean()
    return loss


@torch.no_grad()
def follow(average: torch.nn.Module, model: torch.nn.Module, decay: float) -> None:
    """Moves the running average of the weights towards the model."""
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)


def _record(options: PixelFamily, pairs: Split, context: Context, curve: list[float], seconds: float) -> dict[str, Any]:
    dataset = context.dataset
    return {
        "family": "pixel",
        "dataset": {"name": dataset.name, "fingerprint": dataset.fingerprint, "pairs": len(pairs)},
        "classes": dataset.classes,
        # The seconds are those of the optimiser steps, over all parts of a training that was killed.
        "training": {**asdict(options), "seed": context.seed, "loss": curve, "seconds": round(seconds, 1)},
        "versions": {name: version(name) for name in ("torch", "diffusers")},
    }


def _sheet(generator: LayoutToImagePipeline, pairs: Split, context: Context) -> Pillow.Image:
    """Mask | real | generated, for the first eight pairs."""
    images, masks = load_pairs(pairs, generator.size, min(8, len(pairs)))
    seeds = [derive_seed("sample", context.seed, k) for k in range(len(masks))]
    painted = generator(torch.from_numpy(masks).long(), seeds)
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(context.dataset.palette)] = context.dataset.palette
    drawn = (painted.cpu().movedim(1, -1).numpy() * 255 + 0.5).astype(np.uint8)
    rows = [np.hstack(row) for row in zip(colours[masks], images, drawn, strict=True)]
    return Pillow.fromarray(np.vstack(rows))
