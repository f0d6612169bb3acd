"""Random colour, flip, scale and crop of images with their masks, whole batches at a time."""

from __future__ import annotations

import numpy as np
import torch
from numpy.random import Generator as Draws
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from d3s2bench import IGNORE, Json

GREY = 0.5
"""What lies outside an image that was scaled down."""
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the brightness of a colour (ITU-R BT.601)."""


def augment(images: Tensor, masks: Tensor, protocol: Json, draws: Draws) -> tuple[Tensor, Tensor]:
    """Images ``(B, 3, H, W)`` in 0…1 and masks ``(B, H, W) int64`` → the same shapes, each item changed at random.

    Images are sampled bilinearly, masks with nearest neighbour; outside the picture the image is grey and the mask
    255. The protocol's ``scale`` gives the range of the zoom, ``flip`` its probability, ``photometric`` the strength.
    """
    count = len(images)
    factors = draws.uniform(1 - protocol["photometric"], 1 + protocol["photometric"], (3, count))
    theta = torch.from_numpy(_affine(count, protocol, draws)).to(images)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return _warp_images(_recolour(images, torch.from_numpy(factors).to(images)), grid), _warp_masks(masks, grid)


def _affine(count: int, protocol: Json, draws: Draws) -> NDArray[np.float64]:
    """``(B, 2, 3)``: maps output to input coordinates, both in −1…1.

    A zoom of s shows 1/s of the picture (or the picture within a frame, when s < 1), anywhere inside.
    """
    low, high = protocol["scale"]
    part = 1 / np.exp(draws.uniform(np.log(low), np.log(high), count))
    flip = np.where(draws.random(count) < protocol["flip"], -1.0, 1.0)
    shift = draws.uniform(-1, 1, (2, count)) * np.abs(1 - part)
    zero = np.zeros(count)
    return np.stack([[part * flip, zero, shift[0]], [zero, part, shift[1]]]).transpose(2, 0, 1)


def _recolour(images: Tensor, factors: Tensor) -> Tensor:
    """Brightness, contrast about the image's mean and saturation about its grey, each times its factor ``(3, B)``."""
    brightness, contrast, saturation = factors[..., None, None, None]
    images = images * brightness
    mean = images.mean((1, 2, 3), keepdim=True)
    images = mean + (images - mean) * contrast
    luma = torch.tensor(LUMA).to(images)[:, None, None]
    grey = (images * luma).sum(1, keepdim=True)
    saturated: Tensor = grey + (images - grey) * saturation
    return saturated.clamp(0, 1)


def _warp_images(images: Tensor, grid: Tensor) -> Tensor:
    warped: Tensor = F.grid_sample(images - GREY, grid, "bilinear", "zeros", align_corners=False)
    return warped + GREY


def _warp_masks(masks: Tensor, grid: Tensor) -> Tensor:
    # grid_sample pads with 0, so 0 stands for "ignore" while a mask is warped and classes are one higher.
    shifted = torch.where(masks == IGNORE, 0, masks + 1)[:, None].float()
    warped = F.grid_sample(shifted, grid, "nearest", "zeros", align_corners=False)[:, 0].long()
    return torch.where(warped == 0, IGNORE, warped - 1)
