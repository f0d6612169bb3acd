"""Schedules by known values; each parameter learns once, at the rate and decay that its recipe names."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_segmenters import PARTS, tiny_protocol
from torch.optim import SGD

from d3s2bench import ConfigError
from d3s2bench_evaluators.optimizers import groups, make_optimizer, schedule, set_rate
from d3s2bench_evaluators.segmenters import Segmenter, build_segmenter
from d3s2bench_evaluators.torch_evaluator import Torch


def test_poly_after_a_linear_warm_up() -> None:
    protocol = {"learning_rate": 8.0, "iterations": 100, "schedule": "poly", "power": 2.0, "warm_up": 0.1}
    rate = schedule(protocol)
    assert rate(0) == pytest.approx(8 * 0.1) and rate(4) == pytest.approx(8 * 0.5) and rate(9) == rate(10) == 8
    assert rate(55) == pytest.approx(8 * 0.25) and rate(99) == pytest.approx(8 / 90**2)
    assert schedule(protocol | {"warm_up": 1.0})(99) == 8
    assert schedule(protocol | {"warm_up": 0})(0) == 8 and schedule(protocol | {"schedule": "constant"})(70) == 8


def test_the_schedule_is_that_of_mmengine() -> None:
    """To an iteration: theirs starts from nothing, and the last has no rate."""
    optim = pytest.importorskip("mmengine.optim")
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    common = {"optimizer": optimizer, "by_epoch": False}
    theirs = [optim.LinearLR(start_factor=1e-6, begin=0, end=15, **common)]
    theirs.append(optim.PolyLR(eta_min=0, power=0.9, begin=15, end=100, **common))
    rate = schedule({"learning_rate": 2.0, "iterations": 100, "schedule": "poly", "power": 0.9, "warm_up": 0.15})
    for k in range(100):
        assert abs(rate(k) - optimizer.param_groups[0]["lr"]) < (2 / 14 if k < 15 else 2 / 50)
        optimizer.step()
        for each in theirs:
            each.step()


@pytest.mark.parametrize("iterations", [40, 1_000, 10_000, 160_000])
def test_a_short_training_warms_up_as_small_a_part_of_it(iterations: int) -> None:
    protocol = Torch().protocol("segformer-b0", (512, 512)) | {"iterations": iterations}
    rate = schedule(protocol)
    assert max(range(iterations), key=rate) < 0.02 * iterations
    assert rate(round(0.02 * iterations)) > 0.97 * protocol["learning_rate"]


def named(arch: str, **changes: Any) -> tuple[Segmenter, dict[str, tuple[float, float]]]:
    """The network, and for each parameter's name its factor and weight decay."""
    protocol = tiny_protocol(arch, **changes)
    network = build_segmenter(arch, 4, protocol)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    found = groups(network, [], protocol)
    held = [(names[id(p)], (group["factor"], group["weight_decay"])) for group in found for p in group["params"]]
    assert len(held) == len(dict(held)) == len(names)  # each exactly once
    return network, dict(held)


@pytest.mark.parametrize("arch", PARTS)
def test_norms_do_not_decay_and_weights_do(arch: str) -> None:
    network, held = named(arch)
    for name, module in network.named_modules():
        decays = {held[f"{name}.{each}"][1] for each, _ in module.named_parameters(recurse=False)}
        kind = type(module).__name__
        if kind.endswith(("Norm", "Norm2d")):
            assert decays <= {0.0}
        elif kind in ("Linear", "Conv2d"):
            assert held[f"{name}.weight"][1] == tiny_protocol(arch)["weight_decay"] > 0


def test_mask2former_spares_embeddings_and_slows_its_backbone() -> None:
    _, held = named("mask2former-swin-t")
    encoder = "model.model.pixel_level_module.encoder."
    assert {factor for name, (factor, _) in held.items() if name.startswith(encoder)} == {0.1}
    assert {factor for name, (factor, _) in held.items() if not name.startswith(encoder)} == {1.0}
    spared = ("relative_position_bias_table", "queries_embedder.weight", "queries_features.weight", "level_embed")
    for part in spared:
        assert {decay for name, (_, decay) in held.items() if part in name} == {0.0}, part


def test_segformers_head_learns_ten_times_as_fast() -> None:
    _, held = named("segformer-b0")
    assert {factor for name, (factor, _) in held.items() if ".decode_head." in name} == {10.0}
    assert {factor for name, (factor, _) in held.items() if ".segformer." in name} == {1.0}


def test_stage_wise_decay_of_a_convnext() -> None:
    """As mmsegmentation numbers it with 6 layers: 0 downsampling, 1 … 4 the stages, 7 all else."""
    _, held = named("upernet-convnext-t")
    part = {
        "backbone.embeddings.patch_embeddings.weight": 0.9**7,
        "backbone.encoder.stages.0.layers.0.dwconv.weight": 0.9**6,
        "backbone.encoder.stages.1.downsampling_layer.1.weight": 0.9**7,
        "backbone.encoder.stages.3.layers.0.dwconv.weight": 0.9**3,
        "backbone.hidden_states_norms.stage1.weight": 1.0,
        "decode_head.classifier.weight": 1.0,
    }
    for name, factor in part.items():
        assert held[f"model.{name}"][0] == pytest.approx(factor), name
    assert held["model.decode_head.classifier.bias"][1] == 0 < held["model.decode_head.classifier.weight"][1]


@pytest.mark.parametrize("arch", ["segformer-b0", "upernet-swin-t", "upernet-convnext-t"])
def test_each_stage_of_any_encoder_is_found(arch: str) -> None:
    _, held = named(arch, stage_decay=0.5, stage_decay_layers=4, encoder_rate=1.0)
    factors = {factor for name, (factor, _) in held.items() if "decode_head" not in name}
    assert factors == {0.5**5, 0.5**4, 0.5**3, 0.5**2, 0.5, 1.0} or factors == {0.5**5, 0.5**4, 0.5**3, 0.5**2, 0.5}


def test_groups_keep_their_factor() -> None:
    protocol = tiny_protocol("segformer-b0")
    optimizer = make_optimizer(groups(build_segmenter("segformer-b0", 4, protocol), [], protocol), protocol)
    set_rate(optimizer, 2.0)
    assert {group["lr"] for group in optimizer.param_groups} == {2.0, 20.0}


def test_wrong_values_are_told() -> None:
    with pytest.raises(ConfigError, match="undecayed"):
        named("segformer-b0", undecayed="x")
