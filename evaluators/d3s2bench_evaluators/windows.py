"""The scores of a whole picture, in one piece or averaged over windows that slide over it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor

from d3s2bench import ConfigError, Json
from d3s2bench_evaluators.networks import Network

Scores = Callable[[Tensor], Tensor]
"""Images ``(B, 3, H, W)`` in 0…1 → scores ``(B, C, H, W)``."""


def inference(network: Network, protocol: Json) -> Scores:
    """How the protocol has pictures read. Raises ConfigError for a way that is not known, or windows with gaps."""
    match protocol.get("inference", "whole"):
        case "whole":
            return network.scores
        case "slide":
            width, height = protocol["size"]
            stride = tuple(int(side * protocol["window_stride"]) for side in (height, width))
            if not (0 < stride[0] <= height and 0 < stride[1] <= width):
                raise ConfigError(f"protocol.window_stride is {protocol['window_stride']}: it must be in 0…1, above 0")
            return lambda images: sliding(network.scores, images, (height, width), (stride[0], stride[1]))
    raise ConfigError(f"protocol.inference is '{protocol['inference']}': it must be 'whole' or 'slide'")


def sliding(scores: Scores, images: Tensor, window: tuple[int, int], stride: tuple[int, int]) -> Tensor:
    """Scores ``(B, C, H, W)``: in each pixel the mean over the windows (height, width) that show it.

    Windows start every ``stride``; the last of a row and of a column is moved back to end with the picture, which
    makes a window as large as the picture where that is smaller.
    """
    total, shown = torch.zeros(()), torch.zeros(images.shape[-2:], device=images.device)
    rows, columns = (starts(*sides) for sides in zip(images.shape[-2:], window, stride, strict=True))
    for y, x in product(rows, columns):
        place = (..., slice(y, y + window[0]), slice(x, x + window[1]))
        part = scores(images[place])
        if not total.ndim:
            total = part.new_zeros((*part.shape[:2], *images.shape[-2:]))
        total[place] += part
        shown[place] += 1
    return total / shown


def starts(length: int, window: int, stride: int) -> list[int]:
    """Where windows begin along a side."""
    last = max(length - window, 0)
    return sorted({min(start, last) for start in range(0, last + stride, stride)})
