"""The generator family `pixel`: how its models are trained, saved and loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from d3s2bench import Context, Split
from d3s2bench_synthesizers.options import check_options

if TYPE_CHECKING:
    from d3s2bench_synthesizers.pixel_pipeline import LayoutToImagePipeline


@dataclass(frozen=True)
class PixelFamily:
    """A mask-conditioned diffusion model in pixel space: a small UNet on space-to-depth images.

    Attributes:
        iterations: optimiser steps.
        batch_size: images per step.
        learning_rate: its peak, reached after 100 steps and left for a fall to 0 over the last 40 % of them.
        channels: width of each resolution level; each level after the first halves the resolution.
        attention: how many levels, from the coarsest on, have self-attention; 0 = none. Its cost grows with the square
            of a level's positions.
        patch: side of the square of pixels that space-to-depth folds into one position.
        long_side: of the generated images, in pixels; the other side keeps the dataset's aspect. Both are rounded to
            what the levels can halve.
        crop: share of a side that a random zoomed crop of a pair keeps at least; 1 = pairs are seen whole. Below 1,
            hundreds of photographs are harder to learn by heart. Pairs are held at 1/crop of the size of the generated
            images, so that no crop is blurred.
        ema: decay of the running average of the weights, which is what is saved.
        precision: ``"bf16"`` trains under bfloat16 autocast with fp32 weights: twice as fast on a GPU and on processors
            with avx512_bf16, refused on others, where it takes ten times as long; ``"fp32"`` trains everywhere. Images
            are painted in fp32 in either case.
    """

    iterations: int = 4500
    batch_size: int = 8
    learning_rate: float = 1.5e-3
    channels: tuple[int, ...] = (48, 96, 144)
    attention: int = 1
    patch: int = 2
    long_side: int = 96
    crop: float = 1.0
    ema: float = 0.999
    precision: str = "fp32"

    def __post_init__(self) -> None:
        levels = len(self.channels)
        valid = {
            "precision": (self.precision in ("fp32", "bf16"), "'fp32' or 'bf16'"),
            "channels": (not any(width % 16 for width in self.channels), "multiples of 16"),
            "attention": (0 <= self.attention <= levels, f"0 to {levels} levels"),
            "crop": (0.1 <= self.crop <= 1, "a share of the side, 0.1 to 1"),
        }
        shown = {**vars(self), "precision": repr(self.precision), "channels": list(self.channels)}
        check_options("generator.pixel", shown, valid)

    @property
    def unit(self) -> int:
        """What both sides of an image must be divisible by."""
        return int(self.patch * 2 ** (len(self.channels) - 1))

    def train(self, pairs: Split, folder: Path, context: Context) -> None:
        """Trains on ``pairs`` and writes ``folder`` in the diffusers layout, with ``generator.json`` (the training
        record) and ``samples.png`` (mask | real | generated) beside it. Goes on from a checkpoint in
        ``context.workdir``."""
        from d3s2bench_synthesizers.pixel_training import train

        train(self, pairs, folder, context)

    def load(self, folder: Path, device: str) -> LayoutToImagePipeline:
        """The model in ``folder``, fp32, frozen. Raises ModelError for a folder that is no such model."""
        from d3s2bench_synthesizers.pixel_pipeline import load

        return load(folder, device)
