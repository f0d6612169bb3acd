"""A teacher and a generator of a few numbers, and the context that hands them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d3s2bench.interfaces import Context
from d3s2bench.testing.tiny import CLASSES, PALETTE, SIZE, TinyDataset
from d3s2bench.values import IGNORE

if TYPE_CHECKING:
    from torch import Tensor


class TinyTeacher:
    """Two convolutions with fixed random weights: layers ``shallow`` (4 channels, half the size) and ``deep`` (as many
    as classes). Smooth, so that finite differences hold."""

    layers = ("shallow", "deep")
    pooled_layer = "deep"

    def __init__(self, device: str = "cpu", classes: int = len(CLASSES)) -> None:
        import torch
        from torch import nn

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            self.shallow = nn.Conv2d(3, 4, 3, stride=2, padding=1).requires_grad_(False).to(device)
            self.deep = nn.Conv2d(4, classes, 3, padding=1).requires_grad_(False).to(device)
            widths = {"shallow": 4, "deep": classes}
            self.batchnorm = {k: (torch.randn(d).to(device), torch.rand(d).to(device)) for k, d in widths.items()}
            self.class_features = {
                k: (torch.randn(classes, d).to(device), torch.rand(classes, d).to(device)) for k, d in widths.items()
            }

    def features(self, images: Tensor, tap: str = "activation") -> tuple[Tensor, Mapping[str, Tensor]]:
        """Images ``(B, 3, H, W) float32`` → logits ``(B, C, H, W)`` and the two layers."""
        from torch.nn.functional import interpolate

        shallow = self.shallow(images)
        deep = self.deep(shallow.tanh())
        logits = 4 * interpolate(deep.tanh(), images.shape[2:])
        before, after = {"shallow": shallow, "deep": deep}, {"shallow": shallow.tanh(), "deep": deep.tanh()}
        return logits, before if tap == "batchnorm_input" else after


class TinyGenerator:
    """The exact diffusion model of pixels that are drawn independently around the colour of their class.

    For clean pixels x ~ N(μ, s²) and z = √a·x + √(1-a)·noise, the mean of x given z is μ + k(z - √a·μ) with
    k = √a·s² / (a·s² + 1 - a): ``denoise`` returns that, prediction type ``sample``. Latents are images in -1…1.
    """

    size = SIZE
    num_classes = len(CLASSES)
    spread = 0.2

    def __init__(self, device: str = "cpu") -> None:
        import torch
        from diffusers import DDIMScheduler

        form = {"prediction_type": "sample", "clip_sample": False, "timestep_spacing": "trailing"}
        self.scheduler: Any = DDIMScheduler(**form)
        self.device = device
        self.colours = torch.tensor([*PALETTE, (128, 128, 128)], dtype=torch.float32).to(device) / 127.5 - 1

    def latents(self, seeds: Sequence[int]) -> Tensor:
        import torch

        shape = (3, self.size[1], self.size[0])
        rows = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return torch.stack(rows).to(self.device)

    def condition(self, masks: Tensor) -> Tensor:
        """The mean colour of each pixel, ``(B, 3, H, W)``; ignored ones are grey."""
        assert masks.shape[1:] == self.size[::-1], f"masks of {tuple(masks.shape)} for images of {self.size}"
        known = masks.where(masks != IGNORE, self.num_classes).to(self.device)
        return self.colours[known].movedim(-1, 1)

    def denoise(self, z: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        share = self.scheduler.alphas_cumprod.to(z.device)[t].reshape(-1, 1, 1, 1)
        alpha, variance = share.sqrt(), self.spread**2
        clean: Tensor = condition + alpha * variance / (share * variance + 1 - share) * (z - alpha * condition)
        return clean

    def decode(self, z: Tensor) -> Tensor:
        return z / 2 + 0.5

    def encode(self, images: Tensor) -> Tensor:
        return images * 2 - 1


@cache
def tiny_teacher(device: str = "cpu") -> Any:
    return TinyTeacher(device)


@cache
def tiny_generator(device: str = "cpu") -> Any:
    return TinyGenerator(device)


def tiny_context(
    component: Any, dataset: Any = None, seed: int = 0, device: str = "cpu", workdir: Path | None = None
) -> Context:
    """What the engine would hand the component: the models that it says it needs, and no other."""
    makers = {"teacher": tiny_teacher, "generator": tiny_generator}
    loaders: dict[str, Any] = {f"load_{k}": partial(make, device) for k, make in makers.items() if k in component.needs}
    return Context(dataset or TinyDataset(), seed, device, workdir or Path("unused"), **loaders)
