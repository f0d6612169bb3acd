"""Encoders start from the weights of a folder, and the protocol tells which these are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_segmenters import STAGED, SWIN, tiny_protocol

from d3s2bench import ConfigError, Context, ModelError
from d3s2bench_evaluators.backbones import identify
from d3s2bench_evaluators.torch_evaluator import Torch
from d3s2bench_evaluators.training import initial_network

HEADS = {"num_attention_heads": [1, 1, 2, 2]}


def save(arch: str, folder: Path) -> Path:
    """An ImageNet classifier of random weights, as the hub has them."""
    from transformers import (
        ConvNextConfig,
        ConvNextForImageClassification,
        SegformerConfig,
        SegformerForImageClassification,
        SwinConfig,
        SwinForImageClassification,
    )

    torch.manual_seed(5)
    model: Any = {
        "segformer-b0": lambda: SegformerForImageClassification(SegformerConfig(**STAGED, **HEADS)),
        "upernet-convnext-t": lambda: ConvNextForImageClassification(ConvNextConfig(**STAGED)),
        "upernet-swin-t": lambda: SwinForImageClassification(SwinConfig(**SWIN)),
        "mask2former-swin-t": lambda: SwinForImageClassification(SwinConfig(**SWIN)),
    }[arch]()
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("arch", ["segformer-b0", "upernet-convnext-t", "upernet-swin-t", "mask2former-swin-t"])
def test_a_folders_weights_are_loaded(arch: str, context: Callable[..., Context], tmp_path: Path) -> None:
    from safetensors.torch import load_file

    folder = save(arch, tmp_path)
    protocol = Torch().completed(arch, tiny_protocol(arch, backbone=str(folder)))
    assert protocol["backbone_sha256"] == identify(str(folder))
    network: Any = initial_network(arch, 4, protocol, context())
    plain: Any = initial_network(arch, 4, tiny_protocol(arch), context())
    stored = [value for name, value in load_file(folder / "model.safetensors").items() if "classifier" not in name]
    held = list(network.encoder.state_dict().values())
    rest = [value for value in stored if not any(value.shape == h.shape and torch.equal(value, h) for h in held)]
    assert len(stored) > 20 and not [value.shape for value in rest if value.ndim > 1]
    before = plain.encoder.state_dict()
    changed = {name for name, value in network.encoder.state_dict().items() if not torch.equal(value, before[name])}
    assert len(changed) > 10 and not any("hidden_states_norms" in name for name in changed)
    again: Any = initial_network(arch, 4, protocol, context(seed=9))
    assert all(torch.equal(a, b) for a, b in zip(again.encoder.parameters(), network.encoder.parameters(), strict=True))


def test_a_backbone_is_named_by_its_content(context: Callable[..., Context], tmp_path: Path, rectangles: Any) -> None:
    folder = save("segformer-b0", tmp_path / "mit")
    protocol = tiny_protocol("segformer-b0", backbone=str(folder), iterations=1)
    with pytest.raises(ConfigError, match=f"backbone_sha256={identify(str(folder))}"):
        Torch().train(rectangles(4), "segformer-b0", protocol, context())
    whole = Torch().completed("segformer-b0", protocol)
    student = Torch().train(rectangles(4), "segformer-b0", whole, context())
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(ModelError, match="its files have changed"):
        Torch().train(rectangles(4), "segformer-b0", whole, context())
    Torch().save_teacher(student, rectangles(4), tmp_path / "teacher", context())
    weights.unlink()
    Torch().load_teacher(tmp_path / "teacher", "cpu")  # what was trained does not need the backbone any more


def without(part: str, folder: Path) -> Path:
    """A ConvNeXt classifier without some of its weights."""
    from safetensors.torch import load_file, save_file

    file = save("upernet-convnext-t", folder) / "model.safetensors"
    save_file({k: v for k, v in load_file(file).items() if part not in k}, file, {"format": "pt"})
    return folder


def test_what_is_no_backbone_is_told(
    context: Callable[..., Context], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    swin = str(save("upernet-swin-t", tmp_path / "swin"))
    (tmp_path / "empty").mkdir()

    def build(arch: str, **changes: Any) -> None:
        initial_network(arch, 4, Torch().completed(arch, tiny_protocol(arch, **changes)), context())

    with pytest.raises(ModelError, match=r"does not hold config\.json"):
        build("segformer-b0", backbone=str(tmp_path / "empty"))
    with pytest.raises(ModelError, match="it is a 'swin', the encoder is a 'segformer'"):
        build("segformer-b0", backbone=swin)
    with pytest.raises(ModelError, match="no backbone"):
        build("upernet-swin-t", backbone=swin, encoder=SWIN | {"embed_dim": 32})
    with pytest.raises(ModelError, match="are missing"):
        build("upernet-swin-t", backbone=swin, encoder=SWIN | {"depths": [1, 1, 2, 1]})
    with pytest.raises(ModelError, match=r"2 of its weights are missing, embeddings\.layernorm\.bias first"):
        build("upernet-convnext-t", backbone=str(without("embeddings.layernorm", tmp_path / "convnext")))
    with pytest.raises(ModelError, match="no such folder"):
        build("segformer-b0", backbone="nobody/has-this")
