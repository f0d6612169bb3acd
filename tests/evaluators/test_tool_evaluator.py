"""What is asked of the evaluators of all tools, as far as it goes without one: planning, first weights, identity."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import test_detectron2_config
import test_mmseg_config
import torch
from safetensors.torch import save_file

from d3s2bench import ConfigError, code_identity
from d3s2bench.protocols import default_protocol
from d3s2bench_evaluators import tool_evaluator
from d3s2bench_evaluators.detectron2_evaluator import Detectron2
from d3s2bench_evaluators.mmseg_evaluator import Mmseg
from d3s2bench_evaluators.tool_evaluator import ToolEvaluator
from d3s2bench_evaluators.tool_scripts.detectron2_jobs import _readable
from d3s2bench_evaluators.tool_scripts.jobs import JobError, first_weights

Plan = Callable[[ToolEvaluator, Any], dict[str, Any]]


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> Plan:
    """The protocol as planning makes it, of a config that the tool has described, with what a user overrides."""

    def plan(evaluator: ToolEvaluator, config: Any, **overrides: Any) -> dict[str, Any]:
        monkeypatch.setattr(tool_evaluator, "_description", lambda *_: {"config": config, "projects": []})
        protocol = evaluator.protocol("any", (96, 64)) | overrides
        return evaluator.completed("any", protocol)

    return plan


MMSEG, DETECTRON2 = Mmseg(config="any.py"), Detectron2(config="any.yaml")


@pytest.mark.parametrize(
    ("changes", "overrides", "reason"),
    [
        ({"model": None}, {}, "has no 'model'"),
        ({"train_cfg": {"max_epochs": 12}}, {}, "trains by epochs"),
        ({"test_dataloader": {"dataset": {}}}, {}, "no pipeline in test_dataloader"),
        ({}, {"precision": "int8"}, "precision is 'int8', must be one of fp32, bf16, fp16"),
        ({}, {"scale": [512]}, r"protocol\.scale is \[512\]: it must be \[width, height\]"),
    ],
)
def test_what_mmseg_cannot_train_is_told_when_planning(
    planned: Any, changes: dict[str, Any], overrides: dict[str, Any], reason: str
) -> None:
    config = test_mmseg_config.CONFIG
    assert planned(MMSEG, repr(config), scale=[512, 256])["scale"] == [512, 256]
    with pytest.raises(ConfigError, match=reason):
        planned(MMSEG, repr(config | changes), **overrides)


@pytest.mark.parametrize(
    ("changes", "overrides", "reason"),
    [
        ({"MODEL.META_ARCHITECTURE": "GeneralizedRCNN"}, {}, "is of a GeneralizedRCNN"),
        ({"INPUT.MIN_SIZE_TEST": 0}, {}, "sets no INPUT.MIN_SIZE_TEST"),
        ({}, {"precision": "bf16"}, "must be one of fp32, fp16 for detectron2"),
    ],
)
def test_what_detectron2_cannot_train_is_told_when_planning(
    planned: Any, changes: dict[str, Any], overrides: dict[str, Any], reason: str
) -> None:
    assert planned(DETECTRON2, test_detectron2_config.with_values({}))["size"] == [96, 64]
    with pytest.raises(ConfigError, match=reason):
        planned(DETECTRON2, test_detectron2_config.with_values(changes), **overrides)


def test_a_recipe_is_for_the_dataset_that_its_config_was_made_for(monkeypatch: pytest.MonkeyPatch) -> None:
    config = deepcopy(test_mmseg_config.CONFIG)
    config["train_dataloader"]["dataset"]["dataset"]["type"] = "ADE20KDataset"
    monkeypatch.setattr(tool_evaluator, "_description", lambda *_: {"config": repr(config)})
    protocol = default_protocol(MMSEG, "any", "ade20k", (512, 512))
    assert (protocol["scale"], protocol["converged_iterations"]) == ([2048, 512], 160_000)
    assert MMSEG.completed("any", protocol) == protocol
    elsewhere = default_protocol(MMSEG, "any", "camvid", (96, 72))
    assert (elsewhere["scale"], elsewhere["converged_iterations"], elsewhere["size"]) == (None, 6400, [96, 72])


def test_a_config_without_a_backbone_has_no_place_for_weights(planned: Any, tmp_path: Path) -> None:
    config = deepcopy(test_mmseg_config.CONFIG)
    del config["model"]["backbone"]
    save_file({"weight": torch.zeros(3)}, tmp_path / "first.safetensors")
    assert planned(MMSEG, repr(config))["pretrained"] is None
    with pytest.raises(ConfigError, match="has no 'backbone' for what is pretrained"):
        planned(Mmseg(config="any.py", pretrained=str(tmp_path / "first.safetensors")), repr(config))


@pytest.mark.parametrize("evaluator", [Mmseg, Detectron2])
def test_weights_that_are_code_are_refused(evaluator: type[ToolEvaluator]) -> None:
    with pytest.raises(ConfigError, match=r"pretrained is R-50.pkl: give a .safetensors file"):
        evaluator(pretrained="R-50.pkl")


class Runs:
    """Leaves a file when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> Any:
        return Path.touch, (self.place,)


def test_reading_first_weights_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")  # torch before 2.6 reads so unless it is told not to
    torch.save({"weight": torch.ones(3), "more": Runs(tmp_path / "ran")}, tmp_path / "code.pth")
    with pytest.raises(
        JobError, match=r"evaluator any: pretrained is .*code\.pth: .*holds more than tensors"
    ) as raised:
        first_weights("any", tmp_path / "code.pth")
    assert not (tmp_path / "ran").exists() and "\n" not in str(raised.value)
    with pytest.raises(JobError, match=r"evaluator detectron2: pretrained is .*code\.pth"):
        _readable(tmp_path / "code.pth", tmp_path)
    (tmp_path / "torn.safetensors").write_bytes(b"torn")
    with pytest.raises(JobError, match="is torn"):
        first_weights("any", tmp_path / "torn.safetensors")


@pytest.mark.parametrize("kind", ["safetensors", "pth"])
def test_first_weights_are_handed_on_to_detectron2(tmp_path: Path, kind: str) -> None:
    given = {"stem.weight": torch.ones(3)}
    save_file(given, tmp_path / "first.safetensors")
    torch.save(given, tmp_path / "first.pth")
    assert _readable(tmp_path / f"first.{kind}", tmp_path) == f"{tmp_path}/pretrained.pth?matching_heuristics=True"
    handed = torch.load(tmp_path / "pretrained.pth", weights_only=True)
    assert list(handed) == ["stem.weight"] and handed["stem.weight"].equal(given["stem.weight"])


@pytest.mark.parametrize("tool", ["mmseg", "detectron2"])
def test_the_script_is_part_of_the_evaluators_identity(tool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    find = code_identity._file
    monkeypatch.setattr(code_identity, "_file", lambda module: asked.append(module) or find(module))
    code_identity.code_hash.__wrapped__(f"d3s2bench_evaluators.{tool}_evaluator:Any")
    assert {f"d3s2bench_evaluators.tool_scripts.{name}" for name in (f"{tool}_jobs", "jobs")} <= set(asked)
