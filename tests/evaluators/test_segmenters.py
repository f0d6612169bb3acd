"""The field's networks have the face of the small ones; Mask2Former reads masks as transformers does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from tiny_segmenters import PARTS, tiny_protocol
from torch import Tensor
from torch.nn import functional as F
from transformers.models.mask2former import modeling_mask2former
from transformers.models.mask2former.modeling_mask2former import Mask2FormerLoss

from d3s2bench import IGNORE, Context, ModelError
from d3s2bench_evaluators.networks import tapped
from d3s2bench_evaluators.segmenters import IMAGENET_MEAN, IMAGENET_STD, Mask2Former, Segmenter, build_segmenter
from d3s2bench_evaluators.torch_evaluator import Torch


def tiny(arch: str, classes: int = 5) -> Segmenter:
    torch.manual_seed(0)
    return build_segmenter(arch, classes, tiny_protocol(arch)).eval()


@pytest.mark.parametrize("arch", PARTS)
def test_logits_and_stages(arch: str) -> None:
    network = tiny(arch)
    for size in [(64, 96), (33, 47)]:
        with torch.no_grad(), tapped(network, "activation", network.blocks) as seen:
            assert network(torch.rand(2, 3, *size)).shape == (2, 5, *size)
        assert {name: feature.shape[1] for name, feature in seen.items()} == network.widths
        assert seen["stage1"].shape[-1] in (size[1] // 4, -(-size[1] // 4)) and seen[network.pooled_layer].ndim == 4


@pytest.mark.parametrize("arch", PARTS)
def test_images_are_standardised_inside(arch: str) -> None:
    network, entered = tiny(arch), []
    network.encoder.register_forward_pre_hook(
        lambda module, args, kwargs: entered.append((*args, *kwargs.values())[0]), with_kwargs=True
    )
    images = torch.rand(2, 3, 32, 32)
    network(images)
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    torch.testing.assert_close(entered[0], (images - mean) / std)


@pytest.mark.parametrize("arch", PARTS)
def test_the_loss_is_the_models_own(arch: str) -> None:
    network, images = tiny(arch), torch.rand(2, 3, 32, 48)
    masks = torch.randint(0, 5, (2, 32, 48))
    masks[0, :7], masks[1] = IGNORE, 2
    torch.manual_seed(1)
    ours = network.loss(images, masks)
    torch.manual_seed(1)
    pixels = network.standardised(images)
    if isinstance(network, Mask2Former):
        present = [[c for c in range(5) if (mask == c).any()] for mask in masks]
        labels = {
            "mask_labels": [torch.stack([(m == c).float() for c in cs]) for m, cs in zip(masks, present, strict=True)],
            "class_labels": [torch.tensor(cs) for cs in present],
        }
        assert network.amount(masks) == 6
        torch.testing.assert_close(ours, network.model(pixels, **labels).loss)
    else:
        assert network.amount(masks) == 2 * 32 * 48 - 7 * 48
        torch.testing.assert_close(ours, network.model(pixels, labels=masks).loss)


def test_mask2former_learns_nothing_from_an_image_without_labels() -> None:
    network = tiny("mask2former-swin-t")
    masks = torch.full((2, 32, 48), IGNORE)
    assert network.loss(torch.rand(2, 3, 32, 48), masks).isfinite() and network.amount(masks) == 1


def test_mask2former_reads_masks_as_transformers_does(monkeypatch: pytest.MonkeyPatch) -> None:
    processing = processor()
    draws = torch.Generator().manual_seed(0)
    seen = SimpleNamespace(
        class_queries_logits=3 * torch.randn(2, 12, 6, generator=draws),
        masks_queries_logits=3 * torch.randn(2, 12, 96, 96, generator=draws),
        encoder_hidden_states=[torch.zeros(1)] * 4,
    )
    network = tiny("mask2former-swin-t")
    monkeypatch.setattr(network, "_predict", lambda images: seen)
    images = torch.rand(2, 3, 384, 384, generator=draws)  # the size that transformers brings masks to
    expected = torch.stack(processing.post_process_semantic_segmentation(seen, [(200, 300), (200, 300)]))
    scores = network.scores(images)
    assert torch.equal(F.interpolate(scores, (200, 300), mode="bilinear").argmax(1), expected)
    assert len(expected.unique()) == 5
    torch.testing.assert_close(network(images).softmax(1), scores / scores.sum(1, keepdim=True))


def processor() -> Any:
    """The image processor without torchvision."""
    try:
        from transformers import Mask2FormerImageProcessorPil as Processor
    except ImportError:
        from transformers import Mask2FormerImageProcessor as Processor
    return Processor()


@pytest.mark.parametrize("arch", ["segformer-b0", "mask2former-swin-t"])
def test_as_a_teacher(arch: str, rectangles: Any, context: Callable[..., Context], tmp_path: Path) -> None:
    pairs, work = rectangles(5, 40, 60), context()
    student = Torch().train(pairs, arch, tiny_protocol(arch), work)
    Torch().save_teacher(student, pairs, tmp_path, work)
    teacher: Any = Torch().load_teacher(tmp_path, "cpu")
    images = torch.rand(2, 3, 32, 48, requires_grad=True)
    logits, features = teacher.features(images)
    with torch.no_grad():
        torch.testing.assert_close(logits, student.network(images), atol=0.05, rtol=0.05)  # stored as float16
    assert tuple(features) == teacher.layers == ("stage1", "stage2", "stage3", "stage4")
    assert {name: mean.shape for name, (mean, _) in teacher.class_features.items()} == {
        name: (4, width) for name, width in student.network.widths.items()
    }
    (logits.sum() + features["stage4"].sum()).backward()
    assert images.grad is not None and images.grad.abs().sum() > 0
    assert not teacher.batchnorm
    with pytest.raises(ModelError, match="BatchNorm"):
        teacher.features(images, "batchnorm_input")
    with pytest.raises(ModelError, match="no BatchNorm"):
        Torch("wdpd").train(pairs, "segformer-b0", tiny_protocol("segformer-b0"), context(load_teacher=lambda: teacher))


def test_a_mask2former_counts_its_own_segments_beside_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """accelerate gives the mean of 5 and 3 segments, which transformers divides by the two processes once more."""

    class TwoProcesses:
        _shared_state: ClassVar = {"any": "state"}
        num_processes = 2

    monkeypatch.setattr(modeling_mask2former, "PartialState", TwoProcesses, raising=False)
    monkeypatch.setattr(modeling_mask2former, "reduce", lambda own: (own + 3) / 2, raising=False)
    monkeypatch.setattr(modeling_mask2former, "is_accelerate_available", lambda: True)
    network = build_segmenter("mask2former-swin-t", 4, tiny_protocol("mask2former-swin-t"))
    masks = torch.stack([torch.arange(4).repeat(8, 2), torch.full((8, 8), 255)])
    masks[1, 0, 0] = 2
    labels = [torch.unique(mask[mask != 255]) for mask in masks]
    assert Mask2FormerLoss.get_num_masks(network.model.criterion, labels, masks.device) == 2  # what is mended
    assert network.model.criterion.get_num_masks(labels, masks.device) == network.amount(masks) == 5


def test_a_students_features_follow_a_teachers(rectangles: Any, teachers: Any, context: Callable[..., Context]) -> None:
    student = Torch("attnfd").train(
        rectangles(5),
        "segformer-b0",
        tiny_protocol("segformer-b0", iterations=2),
        context(load_teacher=lambda: teachers["unet"]),
    )
    assert all(torch.isfinite(Tensor(p)).all() for p in student.network.parameters())
