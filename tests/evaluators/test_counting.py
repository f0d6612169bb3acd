"""Confusion per image against annotations at their own resolution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from d3s2bench import IGNORE, Context, Image, Mask
from d3s2bench_evaluators.counting import confusion, count


def test_confusion_by_hand() -> None:
    truth = torch.tensor([[[0, 0, 1], [2, 255, 1]], [[255, 255, 255], [1, 1, 1]]])
    predicted = torch.tensor([[[0, 1, 1], [0, 2, 1]], [[0, 1, 2], [2, 2, 0]]])
    expected = [[[1, 1, 0], [0, 2, 0], [1, 0, 0]], [[0, 0, 0], [1, 0, 2], [0, 0, 0]]]
    counted = confusion(truth, predicted, 3)
    assert counted.dtype == np.int64 and counted.tolist() == expected


@given(st.integers(0, 1000))
def test_confusion_counts_every_labelled_pixel(seed: int) -> None:
    draws = np.random.default_rng(seed)
    truth = torch.from_numpy(draws.choice([0, 1, 2, 3, IGNORE], (3, 5, 7)))
    predicted = torch.from_numpy(draws.integers(0, 4, (3, 5, 7)))
    counted = confusion(truth, predicted, 4)
    for k in range(3):
        for a in range(4):
            assert counted[k, a].tolist() == [int(((truth[k] == a) & (predicted[k] == b)).sum()) for b in range(4)]


class Brightness(nn.Module):
    """Class 1 where the image is bright, else class 0."""

    def forward(self, images: Tensor) -> Tensor:
        bright = images.mean(1, keepdim=True)
        return torch.cat([0.5 - bright, bright - 0.5, torch.full_like(bright, -9.0), torch.full_like(bright, -9.0)], 1)

    def scores(self, images: Tensor) -> Tensor:
        return self(images)


@dataclass
class Listed:
    pairs: list[tuple[Image, Mask]]

    def __len__(self) -> int:
        return len(self.pairs)

    def image(self, i: int) -> Image:
        return self.pairs[i][0]

    def mask(self, i: int) -> Mask:
        return self.pairs[i][1]

    def item_name(self, i: int) -> str:
        return str(i)


def half_bright(height: int, width: int) -> tuple[Image, NDArray[np.uint8]]:
    image = np.zeros((height, width, 3), np.uint8)
    image[:, width // 2 :] = 255
    return image, (image[..., 0] > 0).astype(np.uint8)


def test_scored_at_the_resolution_of_the_annotation(context: Callable[..., Context]) -> None:
    sizes = [(40, 60), (40, 60), (33, 47), (8, 12)]
    pairs = [half_bright(*size) for size in sizes]
    pairs[1][1][:, :10] = IGNORE
    counts = count(Brightness(), Listed(pairs), {"size": [24, 16]}, context()).confusion
    assert counts.shape == (4, 4, 4)
    assert counts.sum((1, 2)).tolist() == [40 * 60, 40 * 50, 33 * 47, 8 * 12]
    assert counts[0, 0, 0] == 40 * 30 and counts[0, 1, 1] == 40 * 30 and counts[3, 0, 0] == 8 * 6
    assert counts[1, 0].tolist() == [40 * 20, 0, 0, 0]


def test_an_empty_split_counts_nothing(context: Callable[..., Context]) -> None:
    assert count(Brightness(), Listed([]), {"size": [24, 16]}, context()).confusion.shape == (0, 4, 4)
