"""mmsegmentation for real: a small SegFormer, trained, killed, resumed, counted.

Needs mmsegmentation here (the extra ``mmseg``), or in the interpreter that D3S2BENCH_MMSEG_PYTHON names.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from d3s2bench import ConfigError, Context, Counts, DatasetError, DistilledSet, ModelError, UnknownNameError
from d3s2bench.interfaces import Evaluator
from d3s2bench_evaluators import mmseg_process
from d3s2bench_evaluators.counting import confusion
from d3s2bench_evaluators.mmseg_evaluator import PYTHON, Mmseg, Trained

if TYPE_CHECKING:
    from conftest import Rectangles

INTERPRETER = os.environ.get(PYTHON) or (sys.executable if find_spec("mmseg") else None)
pytestmark = [
    pytest.mark.skipif(INTERPRETER is None, reason=f"no mmsegmentation here, and {PYTHON} names no interpreter"),
    pytest.mark.xdist_group("mmseg"),
]

SIZE = (48, 32)
ITERATIONS = 60
SMALL = """
_base_ = 'mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py'
model = dict(
    backbone=dict(embed_dims=8, num_layers=[1, 1, 1, 1], num_heads=[1, 2, 2, 4]),
    decode_head=dict(in_channels=[8, 16, 16, 32], channels=16))
optim_wrapper = dict(optimizer=dict(lr=0.003))
"""


@dataclass(frozen=True)
class Run:
    """A training that nothing disturbed."""

    model: Trained
    counts: Counts
    context: Context
    told: list[tuple[int, int, str]]


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
    told: list[tuple[int, int, str]] = []
    place = context(seed=3, progress=lambda *now: told.append(now))
    model = small.train(rectangles(8), "small", protocol, place)
    return Run(model, small.evaluate(model, rectangles(5, 45, 61), protocol, place), place, told)


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


def test_it_learns_and_counts_at_the_annotations_size(whole: Run, rectangles: type[Rectangles]) -> None:
    masks = [rectangles(5, 45, 61).mask(i) for i in range(5)]
    assert whole.counts.confusion.shape == (5, 4, 4)
    for counted, mask in zip(whole.counts.confusion, masks, strict=True):
        assert counted.sum(1).tolist() == np.bincount(mask[mask != 255], minlength=4).tolist()
    total = whole.counts.total
    assert np.trace(total) / total.sum() > 0.1 + total.sum(1).max() / total.sum(), "better than the most frequent class"
    assert (ITERATIONS, ITERATIONS) in {now[:2] for now in whole.told}
    assert any(note.startswith("loss ") for _, _, note in whole.told)


def test_finished_work_is_not_done_again(
    whole: Run, small: Mmseg, protocol: dict[str, Any], rectangles: type[Rectangles]
) -> None:
    before, told = whole.model.weights.stat().st_mtime_ns, len(whole.told)
    again = small.train(rectangles(8), "small", protocol, whole.context)
    assert again == whole.model and again.weights.stat().st_mtime_ns == before and len(whole.told) == told


CHILD = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from conftest import Rectangles, ToyDataset
from d3s2bench import Context
from d3s2bench_evaluators.mmseg_evaluator import Mmseg
Mmseg(config=sys.argv[2]).train(
    Rectangles(8), "small", json.loads(sys.argv[3]), Context(ToyDataset(), seed=3, workdir=Path(sys.argv[4])))
"""


def test_a_killed_training_goes_on_as_if_nothing_had_been(
    whole: Run,
    small: Mmseg,
    protocol: dict[str, Any],
    rectangles: type[Rectangles],
    context: Callable[..., Context],
    tmp_path: Path,
) -> None:
    arguments = [str(Path(__file__).parent), small.config, json.dumps(protocol), str(tmp_path)]
    parent = subprocess.Popen([sys.executable, "-c", CHILD, *arguments])
    wait(lambda: any(tmp_path.glob("mmseg/runner/iter_*.pth")))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait(lambda: not processes_with(tmp_path))
    assert not (tmp_path / "mmseg" / "weights.safetensors").exists(), "it was killed too late to test anything"
    resumed = small.train(rectangles(8), "small", protocol, context(tmp_path, seed=3))
    assert "Advance dataloader" in (tmp_path / "mmseg" / "mmseg.log").read_text(), "it started anew"
    assert resumed.weights.read_bytes() == whole.model.weights.read_bytes()


def wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not until():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


def processes_with(place: Path) -> list[str]:
    """Processes whose log lies below ``place``."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(place) in str((process / "fd" / "2").readlink()):
                found.append(process.name)
        except OSError:
            continue
    return found


def test_a_pretrained_backbone_is_where_training_starts(
    whole: Run, small: Mmseg, rectangles: type[Rectangles], context: Callable[..., Context], tmp_path: Path
) -> None:
    weights = load_file(whole.model.weights)
    backbone = {name[9:]: value for name, value in weights.items() if name.startswith("backbone.")}
    save_file(backbone, tmp_path / "backbone.safetensors")
    tuned = replace(small, pretrained=str(tmp_path / "backbone.safetensors"))
    protocol = tuned.protocol("small", SIZE) | {"iterations": 1, "learning_rate": 0.0}
    found = load_file(tuned.train(rectangles(8), "small", protocol, context()).weights)
    assert all(torch.equal(found[f"backbone.{name}"], value) for name, value in backbone.items())
    assert not torch.equal(found["decode_head.conv_seg.weight"], weights["decode_head.conv_seg.weight"])
    with pytest.raises(ConfigError, match=r"protocol\.pretrained is None, but here it is"):
        tuned.train(rectangles(8), "small", protocol | {"pretrained": None}, context())


THEIRS = """
import json, runpy, sys
import numpy as np, torch
runpy.run_path(sys.argv[1])["_import_operations"]()
from mmseg.evaluation.metrics import IoUMetric
pairs = np.load(sys.argv[2])
areas = [IoUMetric.intersect_and_union(*map(torch.from_numpy, pair), 5, 255) for pair in zip(*pairs.values())]
total = [sum(area) for area in zip(*areas)]
ious = IoUMetric.total_area_to_metrics(*total, ["mIoU"])["IoU"]
print(json.dumps({"areas": [[a.tolist() for a in area] for area in areas], "miou": float(np.nanmean(ious))}))
"""


def test_our_counts_are_mmsegs(tmp_path: Path) -> None:
    """Among the classes one is in no mask, and another in neither masks nor predictions."""
    draws = np.random.default_rng(0)
    predicted, truth = draws.integers(0, 4, (6, 20, 30)), draws.choice([0, 1, 2, 255], (6, 20, 30))
    np.savez(tmp_path / "pairs.npz", predicted=predicted, truth=truth)
    command = [str(INTERPRETER), "-c", THEIRS, mmseg_process.__file__, str(tmp_path / "pairs.npz")]
    theirs = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
    ours = confusion(torch.from_numpy(truth), torch.from_numpy(predicted), 5)
    hits, seen, real = np.diagonal(ours, axis1=1, axis2=2), ours.sum(1), ours.sum(2)
    assert np.stack([hits, seen + real - hits, seen, real], 1).tolist() == theirs["areas"]
    union = (seen + real - hits).sum(0)
    assert np.nanmean(np.where(union > 0, hits.sum(0) / np.maximum(union, 1), np.nan)) == pytest.approx(theirs["miou"])


def test_a_wrong_label_is_told_by_the_set(
    small: Mmseg, protocol: dict[str, Any], context: Callable[..., Context], tmp_path: Path
) -> None:
    for part, pixels in (("images", np.zeros((32, 48, 3), np.uint8)), ("annotations", np.full((32, 48), 9, np.uint8))):
        (tmp_path / part).mkdir()
        Image.fromarray(pixels).save(tmp_path / part / "odd.png")
    with pytest.raises(DatasetError, match=r"odd\.png"):
        small.train(DistilledSet.open(tmp_path, 4), "small", protocol, context())


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
