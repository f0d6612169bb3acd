"""Weights of images by their distance from the teacher's BatchNorm statistics, and their way to one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from d3s2bench import IGNORE, Context, Image, Mask, ModelError
from d3s2bench_evaluators.batches import Resized
from d3s2bench_evaluators.losses import SoftLabels, Step
from d3s2bench_evaluators.torch_evaluator import Torch
from d3s2bench_evaluators.training import Student
from d3s2bench_evaluators.wdpd import Wdpd, distances, reliability

MakeContext = Callable[..., Context]
SIZE = (48, 32)


class Mirror:
    """A teacher with two layers before BatchNorm: the image's colours, and its red."""

    batchnorm: ClassVar[dict[str, tuple[Tensor, Tensor]]] = {
        "colours": (torch.full((3,), 0.5), torch.zeros(3)),
        "red": (torch.zeros(1), torch.full((1,), 0.25)),
    }

    def features(self, images: Tensor, tap: str = "activation") -> tuple[Tensor, dict[str, Tensor]]:
        assert tap == "batchnorm_input"
        return images[:, :1], {"colours": images, "red": images[:, :1]}


class Plain(Mirror):
    """The same without BatchNorm."""

    batchnorm: ClassVar[dict[str, tuple[Tensor, Tensor]]] = {}


@dataclass(frozen=True)
class Halves:
    """Images half of one grey and half of another, ``(left, right)`` each."""

    greys: list[tuple[int, int]]

    def __len__(self) -> int:
        return len(self.greys)

    def image(self, i: int) -> Image:
        row = np.repeat(np.array(self.greys[i], np.uint8), 8)
        return np.broadcast_to(row[None, :, None], (16, 16, 3)).copy()

    def mask(self, i: int) -> Mask:
        return np.zeros((16, 16), np.uint8)

    def item_name(self, i: int) -> str:
        return str(i)


def test_distances_by_hand(context: MakeContext) -> None:
    # Black: mean 0, variance 0. White: mean 1, variance 0. Half of each: mean 1/2, variance 1/4.
    greys = [(0, 0), (255, 255), (0, 255)]
    root = 3**0.5
    expected = [root / 2 + 0.25, root / 2 + 1 + 0.25, root / 4 + 0.5]
    pairs = Resized(Halves(greys * 6), (16, 16))  # 18: more than one batch
    found = distances(Mirror(), pairs, context())  # type: ignore[arg-type]
    torch.testing.assert_close(found, torch.tensor(expected * 6, dtype=torch.float64))


def test_a_teacher_without_batchnorm_is_told(context: MakeContext) -> None:
    with pytest.raises(ModelError, match="BatchNorm"):
        distances(Plain(), Resized(Halves([(0, 0)]), (16, 16)), context())  # type: ignore[arg-type]


def test_the_nearest_weighs_one_and_the_farthest_nothing() -> None:
    assert reliability(torch.tensor([3.0, 1.0, 2.5, 1.0])).tolist() == [0, 1, 0.25, 1]
    assert reliability(torch.tensor([2.0, 2.0])).tolist() == [1, 1]


@pytest.mark.parametrize(
    ("done", "expected"), [(0.0, [0.0, 1.0, 0.5]), (0.125, [0.25, 1.0, 0.625]), (0.5, [1.0] * 3), (0.9, [1.0] * 3)]
)
def test_weights_ramp_to_one(done: float, expected: list[float]) -> None:
    loss = Wdpd(Mirror(), 1.0, torch.tensor([1.0, 2.0, 3.0]), ramp=0.5)  # type: ignore[arg-type]
    empty = torch.zeros(0)
    assert loss.weights(Step(empty, empty, empty, items=[2, 0, 1], done=done)).tolist() == expected


class Drawn:
    """A teacher with random logits of four classes."""

    def features(self, images: Tensor, tap: str = "activation") -> tuple[Tensor, dict[str, Tensor]]:
        return torch.randn(len(images), 4, *images.shape[-2:], generator=torch.Generator().manual_seed(5)), {}


def test_each_image_counts_by_its_weight() -> None:
    draws = torch.Generator().manual_seed(0)
    masks = torch.randint(0, 4, (2, 6, 5), generator=draws)
    masks[0, :3] = IGNORE
    step = Step(torch.randn(2, 4, 6, 5, generator=draws), torch.rand(2, 3, 6, 5), masks, items=[0, 1])
    loss = Wdpd(Drawn(), 2.0, torch.tensor([1.0, 2.0, 5.0]), ramp=1.0)  # type: ignore[arg-type]
    soft = SoftLabels(Drawn(), 2.0)  # type: ignore[arg-type]
    alone = [replace(step, masks=masks.where(torch.arange(2)[:, None, None] == i, IGNORE)) for i in range(2)]
    sums = [soft(alone[0]) * 15, soft(alone[1]) * 30]  # labelled pixels: half of the first image, all of the second
    torch.testing.assert_close(loss(step), (sums[0] + 0.75 * sums[1]) / 45)
    assert loss(replace(step, done=1.0)) == soft(step)


def test_one_image_is_trained_on_as_with_soft_labels(rectangles: Any, teachers: Any, context: MakeContext) -> None:
    def train(labels: str, count: int) -> Student:
        protocol = Torch().protocol("unet", SIZE) | {"iterations": 4}
        return Torch(labels).train(rectangles(count), "unet", protocol, context(load_teacher=lambda: teachers["unet"]))

    assert torch.equal(train("wdpd", 1).network.head.weight, train("soft", 1).network.head.weight)
    assert not torch.equal(train("wdpd", 3).network.head.weight, train("soft", 3).network.head.weight)
