"""Students learn, go on where they were stopped, and depend on the seed alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from d3s2bench import IGNORE, ConfigError, Context, DatasetError
from d3s2bench.errors import UnknownNameError
from d3s2bench_evaluators.losses import HardLabels, SoftLabels, Step
from d3s2bench_evaluators.networks import FAMILIES
from d3s2bench_evaluators.protocol import RECIPES
from d3s2bench_evaluators.torch_evaluator import Torch
from d3s2bench_evaluators.training import Student, build_network

MakeContext = Callable[..., Context]
SIZE = (48, 32)


def short(arch: str = "unet", **changes: Any) -> dict[str, Any]:
    return Torch().protocol(arch, SIZE) | {"iterations": 6, "batch_size": 4} | changes


def weights(student: Student) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in student.network.state_dict().items()}


@pytest.mark.parametrize("arch", RECIPES)
def test_overfits_a_tiny_set(arch: str, rectangles: Any, context: MakeContext) -> None:
    pairs, work = rectangles(4), context()
    protocol = short(arch, iterations=120, scale=[1, 1], photometric=0.0, learning_rate=1e-2)
    student = Torch().train(pairs, arch, protocol, work)
    confusion = Torch().evaluate(student, pairs, protocol, work).total
    assert np.trace(confusion) / confusion.sum() > 0.97
    assert student.curve[-1] < 0.2 < student.curve[0]


@pytest.mark.parametrize("arch", RECIPES)
def test_same_seed_same_bytes(arch: str, rectangles: Any, context: MakeContext) -> None:
    first, again, other = (Torch().train(rectangles(5), arch, short(arch), context(seed=seed)) for seed in (1, 1, 2))
    assert weights(first) == weights(again) != weights(other)


class Interrupted(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize(
    ("labels", "arch", "optimizer"),
    [("hard", "unet", "adamw"), ("hard", "unet", "sgd"), ("wdpd", "unet", "adamw"), ("attnfd", "deeplab", "adamw")],
)
def test_resumed_equals_unbroken(
    labels: str,
    arch: str,
    optimizer: str,
    rectangles: Any,
    teachers: Any,
    context: MakeContext,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    def train(**entries: Any) -> Student:
        protocol = short(arch, optimizer=optimizer, iterations=7)
        return Torch(labels).train(
            rectangles(5), arch, protocol, context(load_teacher=lambda: teachers["unet"], **entries)
        )

    unbroken = train()
    monkeypatch.setattr("d3s2bench.checkpoint.train_steps.__defaults__", (0.0,))  # a checkpoint after each step
    with pytest.raises(Interrupted):
        train(folder=tmp_path, progress=interrupt_at(4))
    resumed = train(folder=tmp_path)
    assert weights(resumed) == weights(unbroken) and resumed.curve == unbroken.curve


def interrupt_at(iteration: int) -> Callable[[int, int, str], None]:
    def progress(done: int, total: int, note: str) -> None:
        if done == iteration:
            raise Interrupted

    return progress


def test_batches_do_not_depend_on_the_pairs(rectangles: Any, context: MakeContext) -> None:
    """Common random numbers: another method's set of the same size meets the same order and the same augmentation."""
    from d3s2bench_evaluators.batches import Resized
    from d3s2bench_evaluators.training import _batch

    inverted = Inverted(rectangles(6))
    a, b = (
        _batch(Resized(pairs, SIZE), 3, short(photometric=0.0), context(seed=9)) for pairs in (inverted.pairs, inverted)
    )
    assert a[0] == b[0] and torch.equal(a[2], b[2])
    torch.testing.assert_close(a[1], 1 - b[1])


class Inverted:
    """The pairs with photographic negatives for images."""

    def __init__(self, pairs: Any) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def image(self, i: int) -> Any:
        return 255 - self.pairs.image(i)

    def mask(self, i: int) -> Any:
        return self.pairs.mask(i)

    def item_name(self, i: int) -> str:
        return str(i)


def test_pairs_of_any_size_are_brought_to_the_protocols(rectangles: Any, context: MakeContext) -> None:
    student = Torch().train(rectangles(3, 50, 61), "unet", short(), context())
    counts = Torch().evaluate(student, rectangles(3, 70, 40), short(), context())
    assert counts.confusion.sum((1, 2)).tolist() == [69 * 40] * 3


@pytest.mark.parametrize("arch", RECIPES)
@pytest.mark.parametrize("size", [(64, 96), (33, 47), (72, 90)])
def test_logits_have_the_size_of_the_image(arch: str, size: tuple[int, int]) -> None:
    network = build_network(arch, 5, Torch().protocol(arch, SIZE)).eval()
    assert network(torch.rand(2, 3, *size)).shape == (2, 5, *size)
    assert network.pooled_layer in network.blocks and set(FAMILIES) == set(RECIPES)


def test_bf16_is_another_training(rectangles: Any, context: MakeContext) -> None:
    full, half = (Torch().train(rectangles(4), "unet", short(precision=p), context()) for p in ("fp32", "bf16"))
    assert weights(full) != weights(half) and half.network.head.weight.dtype == torch.float32


class Certain:
    """A teacher that is sure of the mask it was told."""

    def __init__(self, masks: Tensor, classes: int) -> None:
        known = torch.where(masks == IGNORE, 0, masks)
        self.logits = 100 * nn.functional.one_hot(known, classes).permute(0, 3, 1, 2).float()

    def features(self, images: Tensor, tap: str = "activation") -> tuple[Tensor, dict[str, Tensor]]:
        return self.logits, {}


def batch() -> Step:
    draws = torch.Generator().manual_seed(0)
    masks = torch.randint(0, 4, (2, 6, 5), generator=draws)
    masks[0, :3] = IGNORE
    return Step(torch.randn(2, 4, 6, 5, generator=draws), torch.rand(2, 3, 6, 5, generator=draws), masks)


def test_soft_labels_of_a_certain_teacher_are_hard_labels() -> None:
    step = batch()
    hard = HardLabels()(step)
    torch.testing.assert_close(SoftLabels(Certain(step.masks, 4), 1.0)(step), hard)  # type: ignore[arg-type]
    torch.testing.assert_close(hard, nn.functional.cross_entropy(step.logits, step.masks, ignore_index=IGNORE))


def test_soft_labels_at_a_temperature_by_formula() -> None:
    step = batch()
    teacher = Certain(step.masks, 4)
    teacher.logits = torch.randn(2, 4, 6, 5, generator=torch.Generator().manual_seed(1))
    p, q = (teacher.logits / 3).softmax(1), (step.logits / 3).log_softmax(1)
    expected = 9 * -(p * q).sum(1)[step.masks != IGNORE].mean()
    torch.testing.assert_close(SoftLabels(teacher, 3.0)(step), expected)  # type: ignore[arg-type]


def test_a_batch_without_labels_has_loss_zero() -> None:
    step = batch()
    assert HardLabels()(replace(step, masks=torch.full_like(step.masks, IGNORE))) == 0


def test_soft_training_asks_for_the_teacher(rectangles: Any, context: MakeContext) -> None:
    assert Torch().needs == () and all(Torch(labels).needs == ("teacher",) for labels in ("soft", "wdpd", "attnfd"))
    soft = Torch(labels="soft").train(rectangles(4), "unet", short(), context(load_teacher=Flat))
    hard = Torch().train(rectangles(4), "unet", short(), context())
    assert weights(soft) != weights(hard)


class Flat:
    """A teacher that finds all classes equally likely."""

    def features(self, images: Tensor, tap: str = "activation") -> tuple[Tensor, dict[str, Tensor]]:
        return torch.zeros(len(images), 4, *images.shape[-2:]), {}


def test_wrong_names_and_values_are_told(rectangles: Any, context: MakeContext) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'unet'"):
        Torch().protocol("umet", SIZE)
    with pytest.raises(ConfigError, match="labels"):
        Torch(labels="warm")
    with pytest.raises(ConfigError, match="temperature"):
        Torch(temperature=0.0)
    with pytest.raises(ConfigError, match="ramp"):
        Torch("wdpd", ramp=0.0)
    with pytest.raises(ConfigError, match="alpha"):
        Torch("attnfd", alpha=-1.0)
    for change in ({"optimizer": "x"}, {"schedule": "x"}, {"precision": "x"}):
        with pytest.raises(ConfigError, match=next(iter(change))):
            Torch().train(rectangles(2), "unet", short(**change), context())
    with pytest.raises(DatasetError, match="no pairs"):
        Torch().train(rectangles(0), "unet", short(), context())
