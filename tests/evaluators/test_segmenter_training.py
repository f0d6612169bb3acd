"""The field's networks learn, go on where they were stopped, and learn the same in parts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_segmenters import PARTS, tiny_protocol

from d3s2bench import ConfigError, Context
from d3s2bench_evaluators.torch_evaluator import Torch
from d3s2bench_evaluators.training import Student

MakeContext = Callable[..., Context]
PLAIN = {"drop_path_rate": 0.0}


def weights(student: Student) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in student.network.state_dict().items()}


@pytest.mark.parametrize("arch", PARTS)
def test_learns_and_is_counted(arch: str, rectangles: Any, context: MakeContext) -> None:
    protocol = tiny_protocol(arch, iterations=25, learning_rate=3e-3, encoder_rate=1.0, decoder_rate=1.0, clip=1.0)
    student = Torch().train(rectangles(4), arch, protocol, context())
    assert np.mean(student.curve[-5:]) < 0.8 * np.mean(student.curve[:3])
    counts = Torch().evaluate(student, rectangles(3, 50, 61), protocol, context())
    assert counts.confusion.sum((1, 2)).tolist() == [49 * 61] * 3


class Interrupted(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("arch", ["segformer-b0", "mask2former-swin-t"])
def test_resumed_equals_unbroken(
    arch: str, rectangles: Any, context: MakeContext, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With dropout, drop paths and random points: what iteration k draws depends on the seed and on k."""
    encoder = PARTS[arch][0] | {"drop_path_rate": 0.5}
    protocol = tiny_protocol(arch, encoder=encoder, iterations=5, accumulate=2)

    def interrupt(done: int, total: int, note: str) -> None:
        if done == 3:
            raise Interrupted

    unbroken = Torch().train(rectangles(5), arch, protocol, context(seed=1))
    monkeypatch.setattr("d3s2bench.checkpoint.train_steps.__defaults__", (0.0,))  # a checkpoint after each step
    with pytest.raises(Interrupted):
        Torch().train(rectangles(5), arch, protocol, context(seed=1, folder=tmp_path, progress=interrupt))
    torch.rand(7)  # what others draw in between is nothing to it
    resumed = Torch().train(rectangles(5), arch, protocol, context(seed=1, folder=tmp_path))
    assert weights(resumed) == weights(unbroken) and resumed.curve == unbroken.curve
    other = Torch().train(rectangles(5), arch, protocol, context(seed=2))
    assert weights(other) != weights(unbroken)


@pytest.mark.parametrize("parts", [2, 4])
def test_micro_batches_add_up_to_the_batch(parts: int, rectangles: Any, context: MakeContext) -> None:
    """In a network without BatchNorm and dropout; crops of unlike shares of ignored pixels."""
    from d3s2bench_evaluators.losses import HardLabels
    from d3s2bench_evaluators.segmenter_training import crop_training
    from d3s2bench_evaluators.training import initial_network

    def gradients(accumulate: int) -> tuple[float, list[torch.Tensor]]:
        encoder, decoder = PARTS["segformer-b0"][0] | PLAIN, PARTS["segformer-b0"][1] | {"classifier_dropout_prob": 0.0}
        protocol = tiny_protocol("segformer-b0", encoder=encoder, decoder=decoder, accumulate=accumulate)
        network: Any = initial_network("segformer-b0", 4, protocol, context())
        network.model.decode_head.batch_norm = torch.nn.Identity()
        training = crop_training(network, HardLabels(), rectangles(5), protocol, context())
        value = training.step(0)
        return float(value), [p.grad for p in network.parameters() if p.grad is not None]

    whole, divided = gradients(1), gradients(parts)
    assert divided[0] == pytest.approx(whole[0], rel=1e-5)
    torch.testing.assert_close(divided[1], whole[1], rtol=1e-3, atol=1e-6)


def test_gradients_are_clipped(rectangles: Any, context: MakeContext) -> None:
    def first_step(clip: float) -> Student:
        protocol = tiny_protocol("segformer-b0", iterations=1, clip=clip, optimizer="sgd", decoder_rate=1.0)
        return Torch().train(rectangles(4), "segformer-b0", protocol | {"weight_decay": 0.0}, context())

    start = first_step(1e-12).network.state_dict()
    moved = [
        sum(float((v - start[k]).square().sum()) for k, v in first_step(clip).network.state_dict().items()) ** 0.5
        for clip in (1e-3, 2e-3)
    ]
    assert moved[0] == pytest.approx(1e-3 * 6e-5, rel=0.05) and moved[1] == pytest.approx(2 * moved[0], rel=0.05)


def test_bf16_is_another_training(rectangles: Any, context: MakeContext) -> None:
    for arch in ("segformer-b0", "mask2former-swin-t"):
        full, half = (
            Torch().train(rectangles(4), arch, tiny_protocol(arch, precision=precision, iterations=2), context())
            for precision in ("fp32", "bf16")
        )
        assert weights(full) != weights(half)
        assert {value.dtype for value in half.network.parameters()} == {torch.float32}
        assert all(value.isfinite().all() for value in half.network.parameters())


class Flat:
    """A teacher that finds all classes equally likely."""

    def features(self, images: torch.Tensor, tap: str = "activation") -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        return torch.zeros(len(images), 4, *images.shape[-2:]), {}


def test_soft_labels_go_with_pixels_only(rectangles: Any, context: MakeContext) -> None:
    teacher = context(load_teacher=Flat)
    soft, hard = (
        Torch(labels).train(rectangles(4), "segformer-b0", tiny_protocol("segformer-b0"), teacher)
        for labels in ("soft", "hard")
    )
    assert weights(soft) != weights(hard)
    with pytest.raises(ConfigError, match="learns from masks"):
        Torch("soft").train(rectangles(4), "mask2former-swin-t", tiny_protocol("mask2former-swin-t"), teacher)


def test_batches_that_cannot_be_divided_are_told(rectangles: Any, context: MakeContext) -> None:
    with pytest.raises(ConfigError, match="must be a multiple of accumulate"):
        Torch().train(rectangles(4), "segformer-b0", tiny_protocol("segformer-b0", accumulate=3), context())
    with pytest.raises(ConfigError, match="two crops"):
        Torch().train(rectangles(4), "upernet-swin-t", tiny_protocol("upernet-swin-t", accumulate=4), context())
