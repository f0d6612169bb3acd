"""Exported sets: each loaded by the tool that it is for, where that is installed; what they hold; what is refused."""

from __future__ import annotations

import importlib.util
import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from typer.testing import CliRunner

from d3s2bench import ConfigError, DatasetError, Sample, StoreError, UnknownNameError, api
from d3s2bench.cli.app import app
from d3s2bench.datasets.folder import Folder
from d3s2bench.datasets.hf import HuggingFace
from d3s2bench.export import TARGETS, export
from d3s2bench.files import write_json
from d3s2bench.interfaces import no_progress
from d3s2bench.sets.distilled import JOURNAL, MANIFEST, manifest, write_samples
from d3s2bench.workspace import Workspace

HOSTILE = (
    "sky",
    'it\'s "quoted" \\ \'\'\'"""',
    "') + str(1 / 0) + ('",
    "{{$HOME:nothing}} {{ fileDirname }} {{_base_.x}} {0} %s",
    "naïve 道路 🙂\nroad",
)
"""Names of a manifest that someone else wrote."""
PALETTE = ((250, 20, 30), (40, 250, 60), (70, 80, 250), (1, 2, 3), (200, 200, 200))
"""Colours whose brightness is no train id."""
SIZE = (8, 6)


def sample(k: int) -> Sample:
    rng = np.random.default_rng(k)
    mask = rng.choice(np.array([0, 1, 2, 4, 255], np.uint8), (6, 8))
    return Sample(rng.integers(0, 256, (6, 8, 3), np.uint8), mask, (k,))


def write_set(folder: Path, dataset: Any) -> Path:
    """Three pairs and a manifest that says ``dataset`` of the dataset."""
    folder.mkdir()
    rows = write_samples(folder, 3, lambda start: map(sample, range(start, 3)), PALETTE, no_progress)
    write_json(folder / MANIFEST, manifest(rows, {"dataset": dataset}))
    (folder / JOURNAL).unlink()
    return folder


@pytest.fixture
def made(tmp_path: Path) -> Path:
    about = {"name": "foreign", "fingerprint": "0" * 64, "classes": list(HOSTILE), "palette": [*map(list, PALETTE)]}
    return write_set(tmp_path / "set", about)


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest) -> str:
    if request.param == "hf":
        pytest.importorskip("datasets").disable_progress_bars()
    return str(request.param)


def run(folder: Path, *code: str) -> str:
    """What a fresh Python prints that knows nothing of this package's modules."""
    done = subprocess.run([sys.executable, "-c", "\n".join(code)], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- all targets -----------------------------------------------------------------------------------------------------


def test_the_manifest_comes_along_and_nothing_is_left_behind(made: Path, target: str) -> None:
    out = made.parent / "deep" / "out"
    export(made, target, out)
    assert (out / MANIFEST).read_bytes() == (made / MANIFEST).read_bytes()
    assert [file.name for file in out.parent.iterdir()] == ["out"]


def test_an_existing_folder_is_refused_and_left_alone(made: Path, target: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(StoreError, match="out exists: remove it, or give another --out"):
        export(made, target, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_bad_mask_leaves_nothing(made: Path, target: str, tmp_path: Path) -> None:
    (made / MANIFEST).unlink()
    (tmp_path / "data" / "images").mkdir(parents=True)
    (tmp_path / "data" / "annotations").mkdir()
    (tmp_path / "data" / "classes.json").write_text('["a", "b", "c", "d"]')  # the masks hold 4, too
    with pytest.raises(DatasetError, match=r"annotations/000000\.png holds label 4, but there are 4 classes"):
        export(made, target, tmp_path / "out", Folder(tmp_path / "data"))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["data", "set"]


def test_unknown_targets_are_named(made: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown export target 'mmsegmentation': did you mean 'mmseg'"):
        export(made, "mmsegmentation", tmp_path / "out")


def test_a_place_that_cannot_be_written_is_named(made: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot write .*file/out \(.*\): give another --out"):
        export(made, "mmseg", tmp_path / "file" / "out")


# --- classes ---------------------------------------------------------------------------------------------------------


def set_dataset(value: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        found = json.loads((folder / MANIFEST).read_text())
        (folder / MANIFEST).write_text(json.dumps(found | {"dataset": value}))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_dataset({"name": "x"}), "set does not name its classes: give the --dataset that it was distilled from"),
        (set_dataset(None), "set does not name its classes"),
        (lambda f: (f / MANIFEST).unlink(), "set does not name its classes"),
        (lambda f: (f / MANIFEST).write_text("[]"), "set does not name its classes"),
        (set_dataset({"classes": "abcde"}), r"manifest\.json: classes must be a list of 1 to 255 names"),
        (set_dataset({"classes": ["a", 2]}), r"manifest\.json: classes must be a list"),
        (set_dataset({"classes": ["a", "\ud83d"]}), r"manifest\.json: classes must be a list"),
        (set_dataset({"classes": ["a"], "palette": [[1, 2, "x"]]}), "palette must be a list of 1 colours"),
    ],
)
def test_classes_that_are_not_known(made: Path, change: Callable[[Path], None], message: str) -> None:
    change(made)
    with pytest.raises(DatasetError, match=message):
        export(made, "mmseg", made.parent / "out")


def five_classes(root: Path, names: list[str]) -> Folder:
    for part in ("images", "annotations"):
        (root / part).mkdir(parents=True)
    (root / "classes.json").write_text(json.dumps({"classes": names, "palette": PALETTE[::-1]}))
    return Folder(root)


def test_classes_of_a_dataset_that_is_given(tmp_path: Path) -> None:
    write_set(tmp_path / "set", {"name": "x", "fingerprint": "0"})
    export(tmp_path / "set", "mmseg", tmp_path / "out", five_classes(tmp_path / "data", list("abcde")))
    metainfo = runpy.run_path(str(tmp_path / "out" / "dataset.py"))["metainfo"]
    assert metainfo == {"classes": tuple("abcde"), "palette": [list(colour) for colour in PALETTE[::-1]]}


def test_a_dataset_that_has_other_classes_is_refused(made: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="set has other classes than dataset 'data': leave out --dataset"):
        export(made, "mmseg", tmp_path / "out", five_classes(tmp_path / "data", list("abcde")))


# --- mmsegmentation --------------------------------------------------------------------------------------------------


def test_the_config_of_mmseg_is_python_that_holds_names_only(made: Path) -> None:
    export(made, "mmseg", made.parent / "out")
    text = (made.parent / "out" / "dataset.py").read_text(encoding="ascii")
    assert text.count("{{") == 1  # mmengine would fill in any other
    found = runpy.run_path(str(made.parent / "out" / "dataset.py"))
    assert found["metainfo"]["classes"] == HOSTILE
    assert found["metainfo"]["palette"] == [list(colour) for colour in PALETTE]
    assert {key for key in found if not key.startswith("__")} == {
        *("dataset_type", "data_root", "metainfo", "train_pipeline", "train_dataloader")
    }


@pytest.fixture
def mmseg(monkeypatch: pytest.MonkeyPatch) -> None:
    """mmseg imports the compiled operators of mmcv, which mmcv-lite has not and loading data does not use."""
    pytest.importorskip("mmseg")
    if importlib.util.find_spec("mmcv._ext") is None:
        nothing = ModuleType("mmcv._ext")
        nothing.__getattr__ = lambda name: None  # type: ignore[method-assign]
        monkeypatch.setitem(sys.modules, "mmcv._ext", nothing)
    import mmseg.datasets  # noqa: F401
    from mmengine.registry import init_default_scope

    init_default_scope("mmseg")  # as the default_scope of a whole config does


@pytest.mark.usefixtures("mmseg")
def test_mmseg_loads_it(made: Path) -> None:
    from mmengine.config import Config
    from mmseg.registry import DATASETS

    out = made.parent / "moved"
    export(made, "mmseg", made.parent / "out")
    (made.parent / "out").rename(out)
    (made.parent / "mine.py").write_text('_base_ = ["moved/dataset.py"]\ntrain_dataloader = dict(batch_size=2)\n')
    config = Config.fromfile(made.parent / "mine.py")
    assert config.train_dataloader.batch_size == 2
    train = DATASETS.build(config.train_dataloader.dataset)
    assert train.metainfo["classes"] == HOSTILE
    assert [tuple(colour) for colour in train.metainfo["palette"]] == list(PALETTE)
    assert (train.ignore_index, train.reduce_zero_label, train.label_map) == (255, False, None)
    assert len(train) == 3
    for k in range(3):
        packed = train[k]
        assert (packed["data_samples"].gt_sem_seg.data[0].numpy() == sample(k).mask).all()
        assert (packed["inputs"].numpy()[::-1].transpose(1, 2, 0) == sample(k).image).all()  # BGR


# --- detectron2 ------------------------------------------------------------------------------------------------------


def test_what_detectron2_is_given(made: Path) -> None:
    """Its standard dicts, with masks that stay ids when they are read as its DatasetMapper reads them."""
    import jsonschema

    out = made.parent / "out"
    export(made, "detectron2", out)
    text, number = {"type": "string"}, {"type": "integer", "minimum": 1}
    wanted = {"file_name": text, "sem_seg_file_name": text, "image_id": text, "height": number, "width": number}
    items = runpy.run_path(str(out / "register.py"))["load"]()
    jsonschema.validate(items, {"items": {"properties": wanted, "required": [*wanted]}, "minItems": 3, "maxItems": 3})
    for k, item in enumerate(items):
        mask, image = Pillow.open(item["sem_seg_file_name"]), Pillow.open(item["file_name"])
        assert (item["width"], item["height"]) == image.size == mask.size == SIZE
        assert (np.asarray(mask.convert("L")) == sample(k).mask).all()
        assert (np.asarray(image) == sample(k).image).all()
    metadata = json.loads((out / "dataset.json").read_text())["metadata"]
    assert metadata["stuff_classes"] == list(HOSTILE)
    assert metadata["stuff_colors"] == [list(colour) for colour in PALETTE]
    assert metadata["ignore_label"] == 255


def test_its_module_holds_nothing_of_the_set(made: Path, tmp_path: Path) -> None:
    """Only data differ between sets; it needs neither this package nor the folder that it was written in."""
    export(made, "detectron2", tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / "moved")
    printed = run(tmp_path / "moved", "import register, sys", "print(len(register.load()), 'd3s2bench' in sys.modules)")
    assert printed == "3 False\n"
    text = (tmp_path / "moved" / "register.py").read_text()
    assert not any(name in text for name in HOSTILE)


def test_detectron2_loads_it(made: Path) -> None:
    pytest.importorskip("detectron2")
    from detectron2.data import DatasetCatalog, DatasetMapper, MetadataCatalog
    from detectron2.data.datasets.coco import load_sem_seg

    out = made.parent / "out"
    export(made, "detectron2", out)
    runpy.run_path(str(out / "register.py"))["register"]("mine_train")
    items, metadata = DatasetCatalog.get("mine_train"), MetadataCatalog.get("mine_train")
    assert metadata.stuff_classes == list(HOSTILE)
    assert metadata.ignore_label == 255
    mapper = DatasetMapper(is_train=True, augmentations=[], image_format="RGB")
    for k, item in enumerate(items):
        mapped = mapper(item)
        assert (mapped["sem_seg"].numpy() == sample(k).mask).all()
        assert (mapped["image"].numpy().transpose(1, 2, 0) == sample(k).image).all()
    bare = load_sem_seg(metadata.sem_seg_root, metadata.image_root, image_ext="png")
    assert [d["sem_seg_file_name"] for d in bare] == [d["sem_seg_file_name"] for d in items]


# --- Hugging Face ----------------------------------------------------------------------------------------------------


def test_the_library_datasets_loads_it(made: Path) -> None:
    datasets = pytest.importorskip("datasets")
    out = made.parent / "moved"
    export(made, "hf", made.parent / "out")
    (made.parent / "out").rename(out)
    (made / "images").rename(made / "gone")  # the bytes are in the set
    train = datasets.load_from_disk(str(out))["train"]
    assert tuple(train.features["classes"].feature.names) == HOSTILE
    assert train["name"][:] == ["000000", "000001", "000002"]
    for k in range(3):
        assert (np.asarray(train[k]["image"]) == sample(k).image).all()
        assert (np.asarray(train[k]["annotation"]) == sample(k).mask).all()
        assert set(train[k]["classes"]) == set(np.unique(sample(k).mask)) - {255}
    assert not (out / "files").exists()


@pytest.mark.parametrize("options", [{}, {"class_column": "classes"}])
def test_our_dataset_hf_reads_it_back(made: Path, options: dict[str, str]) -> None:
    pytest.importorskip("datasets")
    from d3s2bench.datasets.hf import HuggingFace

    export(made, "hf", made.parent / "out")
    dataset = HuggingFace(made.parent / "out", **options)
    train = dataset.split("train")
    assert dataset.classes == HOSTILE
    assert [train.item_name(i) for i in range(3)] == ["000000", "000001", "000002"]
    assert all((train.mask(k) == sample(k).mask).all() for k in range(3))
    assert options or dataset.palette == PALETTE


def test_without_the_library_it_says_what_to_install(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ConfigError, match=r"needs the library datasets: pip install 'd3s2bench\[hf\]'"):
        export(made, "hf", made.parent / "out")
    assert [file.name for file in made.parent.iterdir()] == ["set"]


def test_two_classes_of_one_name_are_told(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    write_set(tmp_path / "set", {"classes": ["a", "a", "b", "c", "d"]})
    with pytest.raises(DatasetError, match="set has two classes of one name, which datasets does not take"):
        export(tmp_path / "set", "hf", tmp_path / "out")


# --- the command -----------------------------------------------------------------------------------------------------


def test_a_set_that_a_run_made_is_exported_by_command_and_read_as_a_dataset(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    (folder,) = api.distill(selector="random", synth="real", rate=0.002, out=str(tmp_path / "runs"))
    options = ["export", str(folder), "--to", "hf", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, options)
    assert done.exit_code == 0, done.output
    opened = Workspace(tmp_path / "runs", {"hf": str(tmp_path / "out")}).dataset("hf")
    assert (type(opened), len(opened.split("train")), len(opened.classes)) == (HuggingFace, 4, 16)
