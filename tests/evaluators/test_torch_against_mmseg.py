"""The same SegFormer on the same pairs by the evaluators torch and mmseg: the mIoU differs by no more than seeds do.

Their encoders are one network, and start from the same weights. Their heads are not quite: mmsegmentation's has a
BatchNorm and a ReLU behind the projection of each stage, the authors' and transformers' has not. Heads and draws start
from each tool's own seeds, so what may lie between two trainings follows from the spread over seeds. A learning rate
ten times too low or too high must lie outside, or the test would show nothing.

Needs mmsegmentation here (the extra ``mmseg``), or in the interpreter that D3S2BENCH_MMSEG_PYTHON names.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.stats import t as student_t  # type: ignore[import-untyped]
from tool_runs import interpreter
from torch import Tensor

from d3s2bench import Context, scores
from d3s2bench_evaluators.backbones import identify
from d3s2bench_evaluators.mmseg_evaluator import Mmseg
from d3s2bench_evaluators.networks import tapped
from d3s2bench_evaluators.segmenters import build_segmenter
from d3s2bench_evaluators.tool_scripts import openmmlab
from d3s2bench_evaluators.torch_evaluator import Torch

if TYPE_CHECKING:
    from conftest import Rectangles

INTERPRETER = interpreter(Mmseg)
pytestmark = [
    pytest.mark.skipif(INTERPRETER is None, reason=f"no mmsegmentation here, and {Mmseg.PYTHON} names no interpreter"),
    pytest.mark.xdist_group("mmseg"),
]

SEEDS, SIZE, ITERATIONS, RATE = range(4), (48, 32), 200, 0.003
CHANCE = 0.001
"""That trainings which differ by their seeds alone are told apart."""
ENCODER = {"hidden_sizes": [8, 16, 16, 32], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 2, 2, 4]}
OURS = {
    "encoder": ENCODER,
    "decoder": {"decoder_hidden_size": 16},
    "iterations": ITERATIONS,
    "learning_rate": RATE,
    "batch_size": 4,
    "warm_up": 0,  # theirs, 1 % of the training, is over after one iteration of these
}
THEIRS = f"""
_base_ = 'mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py'
model = dict(
    backbone=dict(embed_dims=8, num_layers=[1, 1, 1, 1], num_heads=[1, 2, 2, 4]),
    decode_head=dict(
        in_channels=[8, 16, 16, 32],
        channels=16,
        loss_decode=dict(avg_non_ignore=True)))  # the mean over labelled pixels, as ours
optim_wrapper = dict(optimizer=dict(lr={RATE}))
"""


@dataclass(frozen=True)
class Start:
    """The same encoder twice, at random weights: in transformers' files, and named as mmsegmentation names it."""

    ours: Path
    theirs: Path


@dataclass(frozen=True)
class Trainings:
    """mIoU in percent by evaluator, seed and changed protocol; each is trained once, scored at another size."""

    start: Start
    config: Path
    rectangles: type[Rectangles]
    context: Callable[..., Context]
    known: dict[tuple[str, int, str], float] = field(default_factory=dict)

    def ours(self, seed: int, **changes: Any) -> float:
        backbone = {"backbone": str(self.start.ours), "backbone_sha256": identify(str(self.start.ours))}
        protocol = Torch().protocol("segformer-b0", SIZE) | OURS | backbone | changes
        return self._miou(("torch", seed, str(changes)), Torch(), "segformer-b0", protocol)

    def theirs(self, seed: int) -> float:
        evaluator = Mmseg(config=str(self.config), pretrained=str(self.start.theirs))
        protocol = evaluator.protocol("small", SIZE) | {"iterations": ITERATIONS, "batch_size": 4}
        return self._miou(("mmseg", seed, ""), evaluator, "small", protocol)

    def _miou(self, key: tuple[str, int, str], evaluator: Any, arch: str, protocol: dict[str, Any]) -> float:
        if key not in self.known:
            place = self.context(seed=key[1])
            model = evaluator.train(self.rectangles(16), arch, protocol, place)
            counts = evaluator.evaluate(model, self.rectangles(30, 45, 61), protocol, place)
            self.known[key] = scores(counts.total)["miou"]
        return self.known[key]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Start:
    folder = tmp_path_factory.mktemp("start")
    torch.manual_seed(0)
    network = build_segmenter("segformer-b0", 4, Torch().protocol("segformer-b0", SIZE) | OURS)
    network.encoder.save_pretrained(folder)
    save_file(as_mmseg_names(load_file(folder / "model.safetensors")), folder / "mmseg.safetensors")
    return Start(folder, folder / "mmseg.safetensors")


@pytest.fixture(scope="module")
def trainings(
    start: Start,
    tmp_path_factory: pytest.TempPathFactory,
    rectangles: type[Rectangles],
    context: Callable[..., Context],
) -> Trainings:
    config = tmp_path_factory.mktemp("configs") / "small.py"
    config.write_text(THEIRS)
    return Trainings(start, config, rectangles, context)


NAMES = {
    r"encoder\.patch_embeddings\.(\d)\.proj\.": r"layers.\1.0.projection.",
    r"encoder\.patch_embeddings\.(\d)\.layer_norm\.": r"layers.\1.0.norm.",
    r"encoder\.layer_norm\.(\d)\.": r"layers.\1.2.",
    r"encoder\.block\.(\d)\.(\d)\.": r"layers.\1.1.\2.",
    r"layer_norm_(\d)\.": r"norm\1.",
    r"attention\.self\.sr\.": "attn.sr.",
    r"attention\.self\.layer_norm\.": "attn.norm.",
    r"attention\.self\.(query|key|value)\.": r"attn.attn.in_proj_\1.",
    r"attention\.output\.dense\.": "attn.attn.out_proj.",
    r"mlp\.dense1\.": "ffn.layers.0.",
    r"mlp\.dwconv\.dwconv\.": "ffn.layers.1.",
    r"mlp\.dense2\.": "ffn.layers.4.",
}


def as_mmseg_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Queries, keys and values become one weight; linear layers of the feed-forward part 1×1 convolutions."""
    found: dict[str, Tensor] = {}
    for name, value in weights.items():
        for pattern, replacement in NAMES.items():
            name = re.sub(pattern, replacement, name)
        found[name] = value[..., None, None] if re.search(r"ffn\.layers\.[04]\.weight", name) else value
    for name in [name for name in found if "in_proj_query" in name]:
        parts = [found.pop(name.replace("query", part)) for part in ("query", "key", "value")]
        found[name.replace("query.", "")] = torch.cat(parts)
    return found


THEIR_STAGES = """
import runpy, sys
side = runpy.run_path(sys.argv[1])
side["find_packages_without_setuptools"]()
side["import_operations"]()
import torch
from mmengine.config import Config
from mmseg.registry import MODELS
from mmseg.utils import register_all_modules
from safetensors.torch import load_file, save_file
register_all_modules()
config, weights, images, stages = sys.argv[2:]
backbone = MODELS.build(Config.fromfile(config).model.backbone).eval()
backbone.load_state_dict(load_file(weights))
with torch.no_grad():
    features = backbone(load_file(images)["standardised"])
save_file({f"stage{i}": feature.contiguous() for i, feature in enumerate(features, 1)}, stages)
"""


def test_both_encoders_are_one_network(start: Start, trainings: Trainings, tmp_path: Path) -> None:
    torch.manual_seed(1)
    images = torch.rand(2, 3, *SIZE)
    network = build_segmenter("segformer-b0", 4, Torch().protocol("segformer-b0", SIZE) | OURS).eval()
    network.encoder.load_state_dict(type(network.encoder).from_pretrained(start.ours).state_dict())
    with torch.no_grad(), tapped(network, "activation", network.blocks) as ours:
        network(images)
    save_file({"standardised": network.standardised(images)}, tmp_path / "images")
    files = [trainings.config, start.theirs, tmp_path / "images", tmp_path / "stages"]
    subprocess.run([str(INTERPRETER), "-c", THEIR_STAGES, openmmlab.__file__, *map(str, files)], check=True)
    theirs = load_file(tmp_path / "stages")
    assert ours.keys() == theirs.keys()
    for stage, feature in ours.items():
        torch.testing.assert_close(feature, theirs[stage], rtol=1e-3, atol=1e-3)


def allowed(ours: list[float], theirs: list[float]) -> float:
    """How far the means of trainings that differ by their seeds alone may lie apart: Student's t, one variance."""
    variance = (np.var(ours, ddof=1) + np.var(theirs, ddof=1)) / 2
    return float(np.sqrt(variance * 2 / len(SEEDS)) * student_t.ppf(1 - CHANCE / 2, 2 * len(SEEDS) - 2))


@pytest.mark.slow
def test_both_reach_the_same_miou(trainings: Trainings) -> None:
    ours, theirs = [[train(seed) for seed in SEEDS] for train in (trainings.ours, trainings.theirs)]
    print(f"\ntorch {np.round(ours, 1)}, mmseg {np.round(theirs, 1)}, allowed {allowed(ours, theirs):.1f}")
    assert np.mean(ours) > 60, "it has not learnt: an answer of background alone has less than 25"
    assert abs(np.mean(ours) - np.mean(theirs)) < allowed(ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"learning_rate": RATE / 10}, {"iterations": ITERATIONS // 4}])
def test_what_is_trained_otherwise_is_told(trainings: Trainings, changes: dict[str, Any]) -> None:
    ours, theirs = [[train(seed) for seed in SEEDS] for train in (trainings.ours, trainings.theirs)]
    wrong = [trainings.ours(seed, **changes) for seed in SEEDS]
    print(f"\ntorch with {changes} {np.round(wrong, 1)}")
    assert abs(np.mean(wrong) - np.mean(theirs)) > allowed(ours, theirs)
