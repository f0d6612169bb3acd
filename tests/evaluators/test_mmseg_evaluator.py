"""mmsegmentation for real: a small SegFormer, trained, killed, resumed, counted.

Needs mmsegmentation here (the extra ``mmseg``), or in the interpreter that D3S2BENCH_MMSEG_PYTHON names.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tool_runs import (
    ITERATIONS,
    SIZE,
    Run,
    check_a_wrong_label_is_told,
    check_counts,
    check_finished_work_is_kept,
    interpreter,
    kill_one_like,
    trained,
    write_count_pairs,
)

from d3s2bench import ConfigError, Context, DatasetError, ModelError, UnknownNameError
from d3s2bench.interfaces import Evaluator
from d3s2bench.protocols import default_protocol
from d3s2bench_evaluators.counting import confusion
from d3s2bench_evaluators.mmseg_evaluator import Mmseg
from d3s2bench_evaluators.tool_scripts import openmmlab

if TYPE_CHECKING:
    from conftest import Rectangles

INTERPRETER = interpreter(Mmseg)
pytestmark = [
    pytest.mark.skipif(INTERPRETER is None, reason=f"no mmsegmentation here, and {Mmseg.PYTHON} names no interpreter"),
    pytest.mark.xdist_group("mmseg"),
]

SMALL = """
_base_ = 'mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py'
model = dict(
    backbone=dict(embed_dims=8, num_layers=[1, 1, 1, 1], num_heads=[1, 2, 2, 4]),
    decode_head=dict(in_channels=[8, 16, 16, 32], channels=16))
optim_wrapper = dict(optimizer=dict(lr=0.003))
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Mmseg:
    file = tmp_path_factory.mktemp("configs") / "small.py"
    file.write_text(SMALL)
    return Mmseg(config=str(file))


@pytest.fixture(scope="module")
def protocol(small: Mmseg) -> dict[str, Any]:
    return small.protocol("small", SIZE) | {"iterations": ITERATIONS}


@pytest.fixture(scope="module")
def whole(small: Mmseg, protocol: dict[str, Any], rectangles: type[Rectangles], context: Callable[..., Context]) -> Run:
    return trained(small, protocol, rectangles, context)


def test_fits_the_interface(small: Mmseg, protocol: dict[str, Any]) -> None:
    evaluator: Evaluator = small
    assert isinstance(evaluator, Evaluator) and small.architectures()[-1] == "small"
    assert json.loads(json.dumps(protocol)) == protocol
    assert {"iterations", "converged_iterations", "precision", "batch_size"} <= set(protocol)
    assert protocol["learning_rate"] == 0.003 and protocol["versions"]["mmseg"].startswith("1.")


def test_a_config_is_known_by_what_it_says(tmp_path: Path, protocol: dict[str, Any]) -> None:
    file = tmp_path / "small.py"
    file.write_text(SMALL)
    assert Mmseg(config=str(file)).protocol("small", SIZE) == protocol | {"iterations": 800}, "only its place differs"
    other = tmp_path / "segformer-b0.py"
    other.write_text(SMALL.replace("0.003", "0.004"))
    changed = Mmseg(config=str(other)).protocol("segformer-b0", SIZE)
    assert changed["config_sha256"] != protocol["config_sha256"] and changed["learning_rate"] == 0.004
    shipped = Mmseg().protocol("segformer-b0", SIZE)
    assert shipped["learning_rate"] == 6e-5 and shipped["config"].startswith("segformer_mit-b0")


@pytest.mark.parametrize(
    ("config", "dataset", "expected"),
    [
        ("segformer-b0", "ade20k", ([512, 512], [2048, 512], 160_000)),
        ("mask2former-swin-s", "ade20k", ([512, 512], None, 160_000)),
        (
            "mask2former/mask2former_swin-s_8xb2-90k_cityscapes-512x1024.py",
            "cityscapes",
            ([1024, 512], None, 90_000),
        ),
    ],
)
def test_mmsegmentations_own_configs_keep_their_recipes(config: str, dataset: str, expected: Any) -> None:
    file = config if config.endswith(".py") else ""
    arch = Path(config).stem if file else config
    evaluator = Mmseg(config=file)
    found = default_protocol(evaluator, arch, dataset, tuple(evaluator.dataset_recipe(arch, dataset)["size"]))
    assert (found["size"], found["scale"], found["converged_iterations"]) == expected
    assert (found["batch_size"], found["iterations"]) == (16, 10_000)
    assert evaluator.completed(arch, found) == found
    assert evaluator.dataset_recipe(arch, "camvid") == {}


def test_it_learns_and_counts_at_the_annotations_size(whole: Run, rectangles: type[Rectangles]) -> None:
    check_counts(whole, rectangles)


def test_windows_slide_over_what_is_larger_than_they(whole: Run, rectangles: type[Rectangles]) -> None:
    """Over images of their own size there is one window, which is the whole."""
    slide = whole.protocol | {"inference": "slide"}
    described = whole.evaluator._described("small")
    setting = whole.evaluator._setting(whole.context)

    def scored(protocol: dict[str, Any], height: int, width: int) -> Any:
        model = replace(whole.model, network=whole.evaluator._network(described, protocol, setting))
        return whole.evaluator.evaluate(model, rectangles(5, height, width), protocol, whole.context).total

    assert whole.protocol["inference"] == "whole"
    assert (scored(whole.protocol, 32, 48) == scored(slide, 32, 48)).all()
    larger = [scored(protocol | {"scale": [96, 64]}, 64, 96) for protocol in (whole.protocol, slide)]
    assert (larger[0] != larger[1]).any() and larger[0].sum() == larger[1].sum()


def test_finished_work_is_not_done_again(whole: Run, rectangles: type[Rectangles]) -> None:
    check_finished_work_is_kept(whole, rectangles)


def test_a_killed_training_goes_on_as_if_nothing_had_been(
    whole: Run,
    small: Mmseg,
    protocol: dict[str, Any],
    rectangles: type[Rectangles],
    context: Callable[..., Context],
    tmp_path: Path,
) -> None:
    work = kill_one_like(whole, tmp_path, when=lambda work: any(work.glob("runner/iter_*.pth")))
    resumed = small.train(rectangles(8), "small", protocol, context(tmp_path, seed=3))
    assert "Advance dataloader" in (work / "mmseg.log").read_text(), "it started anew"
    assert resumed.weights.read_bytes() == whole.model.weights.read_bytes()


@pytest.mark.parametrize("kind", ["safetensors", "pth"])
def test_a_pretrained_backbone_is_where_training_starts(
    whole: Run,
    small: Mmseg,
    rectangles: type[Rectangles],
    context: Callable[..., Context],
    tmp_path: Path,
    kind: str,
) -> None:
    weights = load_file(whole.model.weights)
    backbone = {name[9:]: value for name, value in weights.items() if name.startswith("backbone.")}
    file = tmp_path / f"backbone.{kind}"
    save_file(backbone, file) if kind == "safetensors" else torch.save({"state_dict": backbone}, file)
    tuned = replace(small, pretrained=str(file))
    protocol = tuned.protocol("small", SIZE) | {"iterations": 1, "learning_rate": 0.0}
    found = load_file(tuned.train(rectangles(8), "small", protocol, context()).weights)
    assert all(torch.equal(found[f"backbone.{name}"], value) for name, value in backbone.items())
    assert not torch.equal(found["decode_head.conv_seg.weight"], weights["decode_head.conv_seg.weight"])
    with pytest.raises(ConfigError, match=r"protocol\.pretrained is None, but here it is"):
        tuned.train(rectangles(8), "small", protocol | {"pretrained": None}, context())


def test_first_weights_of_another_backbone_are_refused(
    small: Mmseg, rectangles: type[Rectangles], context: Callable[..., Context], tmp_path: Path
) -> None:
    torch.save({"state_dict": {"transformer.weight": torch.zeros(3, 3)}}, tmp_path / "other.pth")
    other = replace(small, pretrained=str(tmp_path / "other.pth"))
    with pytest.raises(ConfigError, match=r"other\.pth: no weight in it fits this backbone"):
        other.train(rectangles(2), "small", other.protocol("small", SIZE) | {"iterations": 1}, context())


THEIRS = """
import json, runpy, sys
import numpy as np, torch
runpy.run_path(sys.argv[1])["import_operations"]()
from mmseg.evaluation.metrics import IoUMetric
pairs = np.load(sys.argv[2])
areas = [IoUMetric.intersect_and_union(*map(torch.from_numpy, pair), 5, 255) for pair in zip(*pairs.values())]
total = [sum(area) for area in zip(*areas)]
ious = IoUMetric.total_area_to_metrics(*total, ["mIoU"])["IoU"]
print(json.dumps({"areas": [[a.tolist() for a in area] for area in areas], "miou": float(np.nanmean(ious))}))
"""


def test_our_counts_are_mmsegs(tmp_path: Path) -> None:
    predicted, truth = write_count_pairs(tmp_path / "pairs.npz")
    command = [str(INTERPRETER), "-c", THEIRS, openmmlab.__file__, str(tmp_path / "pairs.npz")]
    theirs = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
    ours = confusion(torch.from_numpy(truth), torch.from_numpy(predicted), 5)
    hits, seen, real = np.diagonal(ours, axis1=1, axis2=2), ours.sum(1), ours.sum(2)
    assert np.stack([hits, seen + real - hits, seen, real], 1).tolist() == theirs["areas"]
    union = (seen + real - hits).sum(0)
    assert np.nanmean(np.where(union > 0, hits.sum(0) / np.maximum(union, 1), np.nan)) == pytest.approx(theirs["miou"])


def test_a_wrong_label_is_told_by_the_set(
    small: Mmseg, protocol: dict[str, Any], context: Callable[..., Context], tmp_path: Path
) -> None:
    check_a_wrong_label_is_told(small, protocol, context, tmp_path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "no mmseg config .*: neither a file nor"),
        ("_base_ = 'mmseg::segformer/none.py'", "cannot be used: FileNotFoundError"),
        ("model = dict(", "cannot be used: SyntaxError"),
        ("model = dict(type='EncoderDecoder')", "sets no optim_wrapper.optimizer.lr"),
    ],
)
def test_a_broken_config_is_told_when_planning(tmp_path: Path, text: str | None, reason: str) -> None:
    file = tmp_path / "broken.py"
    if text:
        file.write_text(text)
    with pytest.raises(ConfigError, match=reason):
        Mmseg(config=str(file)).protocol("broken", SIZE)


def test_what_cannot_be_is_told(
    small: Mmseg,
    protocol: dict[str, Any],
    rectangles: type[Rectangles],
    context: Callable[..., Context],
    tmp_path: Path,
) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'segformer-b0'"):
        small.protocol("segfomer-b0", SIZE)
    with pytest.raises(ConfigError, match=r"did you mean 'fcn/fcn_r50-d8_4xb4-160k_ade20k-512x512\.py'"):
        Mmseg(config="fcn/fcn_r50-d8_4xb4-160k_ade20k.py").protocol("fcn_r50-d8_4xb4-160k_ade20k", SIZE)
    with pytest.raises(ConfigError, match=r"protocol\.precision is 'bf16'.*cuda"):
        small.train(rectangles(2), "small", protocol | {"precision": "bf16"}, context())
    with pytest.raises(DatasetError, match="holds no pairs"):
        small.train(rectangles(0), "small", protocol, context())
    with pytest.raises(ModelError, match="--evaluator torch"):
        small.load_teacher(tmp_path, "cpu")
