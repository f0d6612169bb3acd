"""detectron2 for real: a thin semantic FPN, trained, killed, resumed, counted.

Needs detectron2 here, or in the interpreter that D3S2BENCH_DETECTRON2_PYTHON names; one test Mask2Former beside it.
"""

from __future__ import annotations

import json
import re
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
from d3s2bench_evaluators.counting import confusion
from d3s2bench_evaluators.detectron2_evaluator import Detectron2
from d3s2bench_evaluators.tool_scripts import detectron2_import

if TYPE_CHECKING:
    from conftest import Rectangles

INTERPRETER = interpreter(Detectron2)
pytestmark = [
    pytest.mark.skipif(INTERPRETER is None, reason=f"no detectron2 here, and {Detectron2.PYTHON} names no interpreter"),
    pytest.mark.xdist_group("detectron2"),
]

SMALL = """
MODEL:
  META_ARCHITECTURE: SemanticSegmentor
  BACKBONE: {NAME: build_resnet_fpn_backbone}
  RESNETS:
    DEPTH: 50
    OUT_FEATURES: [res2, res3, res4, res5]
    STEM_OUT_CHANNELS: 8
    RES2_OUT_CHANNELS: 16
    WIDTH_PER_GROUP: 4
  FPN: {IN_FEATURES: [res2, res3, res4, res5], OUT_CHANNELS: 16}
  SEM_SEG_HEAD: {CONVS_DIM: 16, NORM: BN}
INPUT:
  CROP: {ENABLED: true, TYPE: absolute, SIZE: [800, 1200]}
SOLVER: {BASE_LR: 0.05, STEPS: [60000, 80000], MAX_ITER: 90000}
VERSION: 2
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Detectron2:
    file = tmp_path_factory.mktemp("configs") / "small.yaml"
    file.write_text(SMALL)
    return Detectron2(config=str(file))


@pytest.fixture(scope="module")
def protocol(small: Detectron2) -> dict[str, Any]:
    return small.protocol("small", SIZE) | {"iterations": ITERATIONS}


@pytest.fixture(scope="module")
def whole(
    small: Detectron2, protocol: dict[str, Any], rectangles: type[Rectangles], context: Callable[..., Context]
) -> Run:
    return trained(small, protocol, rectangles, context)


def test_fits_the_interface(small: Detectron2, protocol: dict[str, Any]) -> None:
    evaluator: Evaluator = small
    assert isinstance(evaluator, Evaluator) and small.architectures()[-1] == "small"
    assert json.loads(json.dumps(protocol)) == protocol
    assert {"iterations", "converged_iterations", "precision", "batch_size"} <= set(protocol)
    assert protocol["learning_rate"] == 0.05 and len(protocol["sources"]["detectron2"]) == 64


def test_a_config_is_known_by_what_it_says(tmp_path: Path, protocol: dict[str, Any]) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(SMALL)
    assert Detectron2(config=str(file)).protocol("small", SIZE) == protocol | {"iterations": 800}, (
        "only its place differs"
    )
    shipped = Detectron2().protocol("semantic-fpn-r18", SIZE)
    assert shipped["learning_rate"] == 0.02 and shipped["config"] == "semantic_R_50_FPN_1x.yaml"
    larger = Detectron2().protocol("semantic-fpn-r50", SIZE)
    assert {key for key in shipped if shipped[key] != larger[key]} == {"config_sha256"}


def test_it_learns_and_counts_at_the_annotations_size(whole: Run, rectangles: type[Rectangles]) -> None:
    check_counts(whole, rectangles)


def test_finished_work_is_not_done_again(whole: Run, rectangles: type[Rectangles]) -> None:
    check_finished_work_is_kept(whole, rectangles)


def test_a_killed_training_goes_on_as_if_nothing_had_been(
    whole: Run,
    small: Detectron2,
    protocol: dict[str, Any],
    rectangles: type[Rectangles],
    context: Callable[..., Context],
    tmp_path: Path,
) -> None:
    work = kill_one_like(whole, tmp_path, when=lambda work: len(list(work.glob("trainer/model_*.pth"))) > 1)
    (work / "trainer" / "last_checkpoint").write_text("")  # where a kill may leave detectron2's own note
    resumed = small.train(rectangles(8), "small", protocol, context(tmp_path, seed=3))
    starts = re.findall(r"Starting training from iteration (\d+)", (work / "detectron2.log").read_text())
    assert len(starts) == 2 and int(starts[1]) > 0, "it started anew"
    assert resumed.weights.read_bytes() == whole.model.weights.read_bytes()


def test_a_pretrained_backbone_is_where_training_starts(
    whole: Run, small: Detectron2, rectangles: type[Rectangles], context: Callable[..., Context], tmp_path: Path
) -> None:
    weights = load_file(whole.model.weights)
    stem = "backbone.bottom_up."
    backbone = {name.removeprefix(stem): value for name, value in weights.items() if name.startswith(stem)}
    save_file(backbone, tmp_path / "backbone.safetensors")
    tuned = replace(small, pretrained=str(tmp_path / "backbone.safetensors"))
    protocol = tuned.protocol("small", SIZE) | {"iterations": 1, "learning_rate": 0.0}
    found = load_file(tuned.train(rectangles(8), "small", protocol, context()).weights)
    assert all(torch.equal(found[stem + name], value) for name, value in backbone.items() if "num_batches" not in name)
    assert not torch.equal(found["sem_seg_head.predictor.weight"], weights["sem_seg_head.predictor.weight"])
    with pytest.raises(ConfigError, match=r"protocol\.pretrained is None, but here it is"):
        tuned.train(rectangles(8), "small", protocol | {"pretrained": None}, context())


def test_first_weights_of_another_network_are_refused(
    small: Detectron2, rectangles: type[Rectangles], context: Callable[..., Context], tmp_path: Path
) -> None:
    save_file({"transformer.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    other = replace(small, pretrained=str(tmp_path / "other.safetensors"))
    with pytest.raises(ConfigError, match=r"other\.safetensors: no weight in it fits"):
        other.train(rectangles(2), "small", other.protocol("small", SIZE) | {"iterations": 1}, context())


THEIRS = """
import json, runpy, sys
import numpy as np, torch
from pathlib import Path
from PIL import Image
runpy.run_path(sys.argv[1])["import_detectron2"]()
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import SemSegEvaluator
pairs, folder = np.load(sys.argv[2]), Path(sys.argv[2]).parent
for i, truth in enumerate(pairs["truth"]):
    Image.fromarray(truth.astype(np.uint8)).save(folder / f"{i}.png")
names = [{"file_name": f"{i}", "sem_seg_file_name": str(folder / f"{i}.png")} for i in range(len(pairs["truth"]))]
DatasetCatalog.register("pairs", lambda: names)
MetadataCatalog.get("pairs").set(stuff_classes=list("abcde"), ignore_label=255)
evaluator = SemSegEvaluator("pairs", distributed=False)
matrices = []
for name, predicted in zip(names, torch.from_numpy(pairs["predicted"])):
    evaluator.reset()
    evaluator.process([name], [{"sem_seg": torch.nn.functional.one_hot(predicted, 5).permute(2, 0, 1)}])
    matrices.append(evaluator._conf_matrix.tolist())
print(json.dumps(matrices))
"""


def test_our_counts_are_detectron2s(tmp_path: Path) -> None:
    predicted, truth = write_count_pairs(tmp_path / "pairs.npz")
    command = [str(INTERPRETER), "-c", THEIRS, detectron2_import.__file__, str(tmp_path / "pairs.npz")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
    theirs = np.array(json.loads(said))  # rows = prediction, columns = truth, ignored last
    ours = confusion(torch.from_numpy(truth), torch.from_numpy(predicted), 5)
    assert ours.transpose(0, 2, 1).tolist() == theirs[:, :5, :5].tolist()
    assert theirs[:, :, 5].sum() == (truth == 255).sum() > 0


MASK2FORMER = """
_BASE_: {home}/configs/ade20k/semantic-segmentation/swin/maskformer2_swin_tiny_bs16_160k.yaml
MODEL:
  SWIN: {{EMBED_DIM: 24, DEPTHS: [1, 1, 1, 1], NUM_HEADS: [1, 2, 2, 4], WINDOW_SIZE: 4}}
  SEM_SEG_HEAD: {{CONVS_DIM: 32, MASK_DIM: 32, TRANSFORMER_ENC_LAYERS: 1}}
  MASK_FORMER:
    HIDDEN_DIM: 32
    NUM_OBJECT_QUERIES: 8
    NHEADS: 4
    DIM_FEEDFORWARD: 32
    DEC_LAYERS: 3
    TRAIN_NUM_POINTS: 200
"""


def mask2former() -> str | None:
    """Its checkout, where the interpreter finds one."""
    code = "from importlib.util import find_spec; s = find_spec('mask2former'); print(s.origin if s else '')"
    said = subprocess.run([str(INTERPRETER), "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    return str(Path(said).parent.parent) if said else None


def test_mask2former_trains_by_its_own_script(
    rectangles: type[Rectangles], context: Callable[..., Context], tmp_path: Path
) -> None:
    home = mask2former()
    if home is None:
        pytest.skip("no Mask2Former beside detectron2")
    file = tmp_path / "mask2former-tiny.yaml"
    file.write_text(MASK2FORMER.format(home=home))
    evaluator, place = Detectron2(config=str(file)), context(seed=3)
    protocol = evaluator.protocol("mask2former-tiny", SIZE) | {"iterations": 3, "precision": "fp32"}
    assert protocol["learning_rate"] == 1e-4 and len(protocol["sources"]["mask2former"]) == 64
    model = evaluator.train(rectangles(4), "mask2former-tiny", protocol, place)
    assert model.network["projects"] == ["deeplab", "mask2former"]
    assert evaluator.evaluate(model, rectangles(2, 45, 61), protocol, place).confusion.sum() == 2 * 44 * 61


def test_a_wrong_label_is_told_by_the_set(
    small: Detectron2, protocol: dict[str, Any], context: Callable[..., Context], tmp_path: Path
) -> None:
    check_a_wrong_label_is_told(small, protocol, context, tmp_path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "no detectron2 config .*: neither a file nor"),
        ("_BASE_: none.yaml", "cannot be used: .*none.yaml"),
        ("MODEL: {DEPHT: 50}", "cannot be used: KeyError.*MODEL.DEPHT"),
        ("MODEL: [", "cannot be used: ParserError"),
    ],
)
def test_a_broken_config_is_told_when_planning(tmp_path: Path, text: str | None, reason: str) -> None:
    file = tmp_path / "broken.yaml"
    if text:
        file.write_text(text)
    with pytest.raises(ConfigError, match=reason) as raised:
        Detectron2(config=str(file)).protocol("broken", SIZE)
    assert "\n" not in str(raised.value)


def test_what_cannot_be_is_told(
    small: Detectron2,
    protocol: dict[str, Any],
    rectangles: type[Rectangles],
    context: Callable[..., Context],
    tmp_path: Path,
) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'semantic-fpn-r50'"):
        small.protocol("semantic-fpn-50", SIZE)
    with pytest.raises(ConfigError, match=r"did you mean 'Misc/semantic_R_50_FPN_1x\.yaml'"):
        Detectron2(config="Misc/semantic_R_50_FPN.yaml").protocol("semantic_R_50_FPN", SIZE)
    with pytest.raises(ConfigError, match=r"protocol\.precision is 'fp16'.*cuda"):
        small.train(rectangles(2), "small", protocol | {"precision": "fp16"}, context())
    with pytest.raises(DatasetError, match="holds no pairs"):
        small.train(rectangles(0), "small", protocol, context())
    with pytest.raises(ModelError, match="--evaluator torch"):
        small.load_teacher(tmp_path, "cpu")
