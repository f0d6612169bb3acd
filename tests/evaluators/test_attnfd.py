"""Refined features of paired layers, their distance, and what of it stays in the student."""

from __future__ import annotations

from collections.abc import Callable
from math import exp
from typing import Any

import pytest
import torch
from torch import nn

from d3s2bench import Context
from d3s2bench_evaluators.attnfd import AttnFd, Bridge, Cbam, attnfd, paired
from d3s2bench_evaluators.losses import HardLabels, Step
from d3s2bench_evaluators.networks import tapped
from d3s2bench_evaluators.teacher import TorchTeacher
from d3s2bench_evaluators.torch_evaluator import Torch
from d3s2bench_evaluators.training import Student, build_network

MakeContext = Callable[..., Context]
SIZE = (48, 32)


def teacher_of(arch: str, channels: list[int]) -> TorchTeacher:
    return TorchTeacher(build_network(arch, 4, {"channels": channels}), SIZE)


UNET, DEEP_UNET, DEEPLAB = ("unet", [4, 5, 6]), ("unet", [4, 5, 6, 7]), ("deeplab", [4, 5, 6, 7])


@pytest.mark.parametrize(
    ("student", "teacher", "expected"),
    [
        (UNET, UNET, [("down2", "down2"), ("up0", "up0"), ("up1", "up1")]),
        (DEEPLAB, UNET, [("stage3", "down2"), ("decoder", "up0"), ("pyramid", "up1")]),
        (UNET, DEEPLAB, [("down2", "stage3"), ("up0", "decoder"), ("up1", "pyramid")]),
        (DEEP_UNET, UNET, [("down3", "down2"), ("up0", "up0"), ("up1", "up1")]),
        (UNET, ("unet", [4]), [("down2", "down0")]),
    ],
)
def test_layers_are_paired_by_depth(student: Any, teacher: Any, expected: list[tuple[str, str]]) -> None:
    network = build_network(student[0], 4, {"channels": student[1]})
    assert paired(network, teacher_of(*teacher)) == tuple(expected)


def bridges(loss: AttnFd) -> list[Any]:
    return list(loss.bridges)


def sigmoid(x: float) -> float:
    return 1 / (1 + exp(-x))


def test_attention_by_hand() -> None:
    """One channel; the hidden layer passes its input on, the convolution sees the maximum over channels alone."""
    cbam: Any = Cbam(1).eval()
    for name, value in cbam.state_dict().items():
        value.fill_(1.0 if name in ("channel.0.weight", "channel.2.weight", "pixel.1.weight") else 0.0)
    cbam.pixel[1].running_var.fill_(1.0)
    cbam.pixel[0].weight.data[0, 0, 3, 3] = 2.0
    gated = [x * sigmoid(1.5 + 3) for x in (0, 1, 2, 3)]  # mean 1.5, maximum 3
    expected = torch.tensor([x * sigmoid(2 * x) for x in gated]).view(1, 1, 2, 2)
    torch.testing.assert_close(cbam(torch.arange(4.0).view(1, 1, 2, 2)), expected, atol=1e-4, rtol=0)


def test_distance_by_hand() -> None:
    bridge: Any = Bridge(2, 2)
    bridge.student = bridge.teacher = nn.Identity()
    ours, theirs = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1), torch.tensor([8.0, 6.0]).view(1, 2, 1, 1)
    torch.testing.assert_close(bridge(ours, theirs), torch.tensor(0.08))  # (0.6, 0.8) and (0.8, 0.6)
    torch.testing.assert_close(bridge(ours, -ours), torch.tensor(4.0))
    both = torch.cat([ours, 0 * ours]), torch.cat([0 * ours, theirs])  # the batch has one norm: √2 apart, over two
    torch.testing.assert_close(bridge(*both), torch.tensor(1.0))


def test_loss_by_formula() -> None:
    teacher, network = teacher_of("unet", [4, 5, 6]), build_network("unet", 4, {"channels": [4, 5, 6]})
    teacher.class_features = {name: (torch.zeros(4, len(mean)),) * 2 for name, (mean, _) in teacher.batchnorm.items()}
    loss = AttnFd(teacher, network, alpha=3.0)
    images, masks = torch.rand(2, 3, 32, 48), torch.randint(0, 4, (2, 32, 48))
    with tapped(network, "activation", loss.layers) as features:
        logits = network(images)
    expected = nn.functional.cross_entropy(logits, masks)
    for bridge, (ours, theirs) in zip(bridges(loss), loss.pairs, strict=True):
        s, t = bridge.student(features[ours]), bridge.teacher(teacher.features(images)[1][theirs])
        expected = expected + 3.0 * ((s / s.square().sum().sqrt() - t / t.square().sum().sqrt()) ** 2).sum() / 2
    torch.testing.assert_close(loss(Step(logits, images, masks, features)), expected)


def test_a_student_that_is_the_teacher_has_its_labels_to_learn_alone(teachers: Any) -> None:
    teacher = teachers["unet"]
    loss = AttnFd(teacher, teacher.network, alpha=2.0)
    for bridge in bridges(loss):
        bridge.student.load_state_dict(bridge.teacher.state_dict())
    images, masks = torch.rand(3, 3, 32, 48), torch.randint(0, 4, (3, 32, 48))
    logits, features = teacher.features(images)
    step = Step(logits, images, masks, features)
    torch.testing.assert_close(loss(step), HardLabels()(step))


@pytest.mark.parametrize(("teacher", "arch"), [("unet", "unet"), ("unet", "deeplab"), ("deeplab", "unet")])
def test_all_but_the_teachers_side_learns(teacher: str, arch: str, teachers: Any) -> None:
    """Between networks whose widths and sizes differ, too: down to the student's first layer."""
    network = build_network(arch, 4, Torch().protocol(arch, SIZE))
    loss = AttnFd(teachers[teacher], network, alpha=2.0)
    images = torch.rand(2, 3, 32, 48)
    with tapped(network, "activation", loss.layers) as features:
        logits = network(images)
    loss(Step(logits.detach(), images, torch.full((2, 32, 48), 255), features)).backward()
    first = next(network.parameters())
    assert first.grad is not None and first.grad.abs().sum() > 0
    for bridge in bridges(loss):
        moved = {name.partition(".")[0] for name, p in bridge.named_parameters() if p.grad is not None}
        assert moved == {"student"} | ({"project"} if list(bridge.project.parameters()) else set())
    assert teacher == arch or any(list(bridge.project.parameters()) for bridge in bridges(loss))


def test_the_student_alone_is_scored(rectangles: Any, teachers: Any, context: MakeContext) -> None:
    """Without weight its training is that of hard labels, bit by bit; with it, it is another of the same network."""

    def train(evaluator: Torch) -> Student:
        protocol = Torch().protocol("deeplab", SIZE) | {"iterations": 4}
        work = context(load_teacher=lambda: teachers["unet"])
        return evaluator.train(rectangles(4), "deeplab", protocol, work)

    hard, idle, drawn = (train(e) for e in (Torch(), Torch("attnfd", alpha=0.0), Torch("attnfd")))
    state = [student.network.state_dict() for student in (hard, idle, drawn)]
    assert list(state[0]) == list(state[1]) == list(state[2])
    assert all(torch.equal(state[0][name], state[1][name]) for name in state[0])
    assert not torch.equal(state[0]["head.weight"], state[2]["head.weight"])


def test_starting_weights_follow_from_the_seed_alone(teachers: Any, context: MakeContext) -> None:
    network = build_network("unet", 4, Torch().protocol("unet", SIZE))
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, again, other = (attnfd(teachers["unet"], network, 2.0, context(seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    flat = [torch.cat([p.flatten() for p in loss.parameters()]) for loss in (first, again, other)]
    assert torch.equal(flat[0], flat[1]) and not torch.equal(flat[0], flat[2])
