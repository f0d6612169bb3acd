"""What all students look like, and the small ones that learn from random initialisation on one CPU core in seconds.

Each network keeps its ``blocks`` by name, from shallow to deep to output, which is where a teacher is tapped; those of
the small networks end in BatchNorm and ReLU. ``pooled_layer`` names the last block of the encoder.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from d3s2bench import ModelError, Tap

INPUT_MEAN, INPUT_STD = 0.5, 0.25
"""Images in 0…1 are brought to about zero mean and unit variance inside the network."""


class Network(nn.Module, ABC):
    """Images ``(B, 3, H, W)`` in 0…1 → logits ``(B, C, H, W)`` at their size."""

    classes: int

    @property
    @abstractmethod
    def blocks(self) -> Mapping[str, nn.Module]: ...

    @property
    @abstractmethod
    def widths(self) -> Mapping[str, int]:
        """Block → the channels that leave it."""

    @property
    @abstractmethod
    def pooled_layer(self) -> str: ...

    @property
    def norms(self) -> Mapping[str, nn.BatchNorm2d]:
        """Block → the BatchNorm that it ends in; empty for a network whose blocks end in none."""
        return {}

    def scores(self, images: Tensor) -> Tensor:
        """What is averaged over windows and brought to the annotation's size before the largest wins."""
        scores: Tensor = self(images)
        return scores


class Block(nn.Module):
    """A residual block (He et al. 2016): two 3×3 convolutions with BatchNorm, ReLU after each."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, dilation, dilation, bias=False)
        self.last_norm = nn.BatchNorm2d(outputs)
        self.shortcut = _shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.first_norm(self.first(x)))
        return F.relu(self.last_norm(self.second(out)) + self.shortcut(x))


class ConvBlock(nn.Module):
    """One 3×3 convolution with BatchNorm and ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.last_norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.last_norm(self.conv(x)))


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    if inputs == outputs and stride == 1:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class Pyramid(nn.Module):
    """Atrous spatial pyramid pooling: dilated convolutions and the image mean, side by side, then a 1×1 convolution."""

    def __init__(self, inputs: int, outputs: int, rates: Sequence[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Conv2d(inputs, outputs, 3, padding=r, dilation=r, bias=False) for r in rates)
        self.pooled = nn.Conv2d(inputs, outputs, 1)
        self.norm = nn.BatchNorm2d(outputs * len(rates))
        self.project = nn.Conv2d(outputs * len(rates), outputs, 1, bias=False)
        self.last_norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        wide = F.relu(self.norm(torch.cat([branch(x) for branch in self.branches], dim=1)))
        return F.relu(self.last_norm(self.project(wide) + self.pooled(x.mean((2, 3), keepdim=True))))


Tappable: TypeAlias = Block | ConvBlock | Pyramid
"""What ends in ``last_norm`` and ReLU."""


class Normed(Network):
    """A network whose blocks end in BatchNorm and ReLU."""

    @property
    @abstractmethod
    def blocks(self) -> dict[str, Tappable]: ...

    @property
    def norms(self) -> dict[str, nn.BatchNorm2d]:
        return {name: block.last_norm for name, block in self.blocks.items()}

    @property
    def widths(self) -> dict[str, int]:
        return {name: norm.num_features for name, norm in self.norms.items()}


class UNet(Normed):
    """A U-Net (Ronneberger et al. 2015) of residual blocks: strided on the way down, bilinear on the way up.

    ``channels`` are those of the stages from 1/2 resolution to 1/4, 1/8, … For speed, full resolution is left to the
    sub-pixel convolutions (Shi et al. 2016) that open and close the network, and skips are added, not concatenated.
    """

    def __init__(self, classes: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.classes = classes
        self.down = nn.ModuleList([Block(12, channels[0])])
        self.down.extend(Block(a, b, stride=2) for a, b in pairwise(channels))
        self.thin = nn.ModuleList(nn.Conv2d(b, a, 1, bias=False) for a, b in pairwise(channels))
        self.up = nn.ModuleList(Block(a, a) for a in channels[:-1])
        self.head = nn.Conv2d(channels[0], 4 * classes, 1)

    @property
    def blocks(self) -> dict[str, Tappable]:
        down = {f"down{i}": block for i, block in enumerate(self.down)}
        return cast("dict[str, Tappable]", down | {f"up{i}": self.up[i] for i in reversed(range(len(self.up)))})

    @property
    def pooled_layer(self) -> str:
        return f"down{len(self.down) - 1}"

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        even = F.pad((images - INPUT_MEAN) / INPUT_STD, (0, width % 2, 0, height % 2))
        x = F.pixel_unshuffle(even, 2)
        skips = []
        for block in self.down:
            x = block(x)
            skips.append(x)
        for thin, up, skip in zip(reversed(self.thin), reversed(self.up), reversed(skips[:-1]), strict=True):
            x = up(resize(thin(x), skip.shape[-2:]) + skip)
        return F.pixel_shuffle(self.head(x), 2)[..., :height, :width]


class DeepLab(Normed):
    """A small DeepLabV3+ (Chen et al. 2018): dilated residual encoder, atrous pyramid, one skip from 1/2 resolution.

    ``channels`` are those of the stem at 1/2, of the residual stage at 1/4 and of the two dilated stages at 1/8.
    """

    def __init__(self, classes: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.classes = classes
        stem, quarter, eighth, deep = channels
        self.stem = ConvBlock(3, stem, stride=2)
        self.stages = nn.ModuleList([Block(stem, quarter, stride=2)])
        self.stages.append(Block(quarter, eighth, stride=2))
        self.stages.append(Block(eighth, deep, dilation=2))
        self.pyramid = Pyramid(deep, quarter, rates=(1, 2, 4))
        self.decoder = Block(stem + quarter, stem)
        self.head = nn.Conv2d(stem, classes, 1)

    @property
    def blocks(self) -> dict[str, Tappable]:
        stages = {f"stage{i}": cast("Block", stage) for i, stage in enumerate(self.stages, 1)}
        return {"stem": self.stem, **stages, "pyramid": self.pyramid, "decoder": self.decoder}

    @property
    def pooled_layer(self) -> str:
        return f"stage{len(self.stages)}"

    def forward(self, images: Tensor) -> Tensor:
        skip = x = self.stem((images - INPUT_MEAN) / INPUT_STD)
        for stage in self.stages:
            x = stage(x)
        x = resize(self.pyramid(x), skip.shape[-2:])
        x = self.head(self.decoder(torch.cat([x, skip], dim=1)))
        return resize(x, images.shape[-2:])


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """``(B, D, h, w)`` → ``(B, D, *size)``, bilinear; the same tensor when it has the size already."""
    if x.shape[-2:] == torch.Size(size):
        return x
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)


FAMILIES: Mapping[str, type[UNet | DeepLab]] = {"unet": UNet, "deeplab": DeepLab}


@contextmanager
def tapped(network: Network, tap: Tap, layers: Iterable[str]) -> Iterator[dict[str, Tensor]]:
    """Collects these blocks' taps during a forward pass. Raises ModelError where there is no such tap."""
    seen: dict[str, Tensor] = {}
    with ExitStack() as hooks:
        for name in layers:
            hooks.enter_context(_hook(network, tap, name, seen))
        yield seen


def _hook(network: Network, tap: Tap, name: str, seen: dict[str, Tensor]) -> Any:
    if tap == "activation":
        block = network.blocks[name]
        return block.register_forward_hook(lambda module, inputs, output: seen.__setitem__(name, output))
    if name not in network.norms:
        raise ModelError(f"{name} of the teacher ends in no BatchNorm: use a teacher of an architecture with")
    return network.norms[name].register_forward_pre_hook(lambda module, inputs: seen.__setitem__(name, inputs[0]))
