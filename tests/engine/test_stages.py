"""What a stage leaves, also when it was killed; which models it names and keeps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import engine_fakes
import numpy as np
import pytest
from engine_fakes import fake_config, planner_of, use_fakes
from small_run import by_stage, record_of, small_run

from d3s2bench import Budget, Context, Counts, Dataset, DatasetError, Selection, StageError
from d3s2bench.config import make_config
from d3s2bench.datasets.guarded import TrainAlone
from d3s2bench.execution import stages
from d3s2bench.execution.stages import Job, run_stage
from d3s2bench.files import folder_sha256, mask_png, png, write_json
from d3s2bench.planning.plan import Node
from d3s2bench.sets.given import check_selection
from d3s2bench.storage import store as storage
from d3s2bench.workspace import Workspace
from d3s2bench_synthesizers.pixel_family import PixelFamily


class Killed(BaseException):
    """Ends a stage as a signal does: nothing after it is run."""


# --- a distilled set -------------------------------------------------------------------------------------------------


def test_a_set_that_was_killed_before_it_had_its_name_is_not_made_again(
    monkeypatch: pytest.MonkeyPatch, tiny: Path, tmp_path: Path
) -> None:
    """All its images and its manifest are there, its description is not."""

    def dies(file: Path, value: Any) -> None:
        if file.parent.parent.name == "distilled":
            raise Killed
        write_json(file, value)

    with monkeypatch.context() as patched:
        patched.setattr(storage, "write_json", dies)
        with pytest.raises(Killed):
            small_run(patched, tiny, tmp_path, synth="noisy")
    monkeypatch.setattr(engine_fakes.Noisy, "synthesize", lambda *_: pytest.fail("its images were there"))
    plan = small_run(monkeypatch, tiny, tmp_path, synth="noisy")
    assert record_of(plan, tmp_path)[1]["status"] == "ok"
    (made,) = by_stage(tmp_path)["distilled"]
    names = {file.name for file in made.folder.iterdir()}
    assert names == {"images", "annotations", "manifest.json", "preview.png", "artefact.json"}


def test_a_manifest_of_images_that_are_made_anew_does_not_block_them(
    monkeypatch: pytest.MonkeyPatch, tiny: Path, tmp_path: Path
) -> None:
    use_fakes(monkeypatch)
    planner = planner_of(fake_config(tiny, tmp_path, synth="noisy"))
    nodes = list(planner.sets().nodes.values())
    work = planner.workspace.store.path("distilled", f"{nodes[-1].key}.partial")
    write_json(work / "manifest.json", {"samples": [{"name": "000000", "sha256": {"images": "0" * 64}}]})
    for node in nodes:
        run_stage(node, planner.workspace, lambda *_: None)
    assert nodes[-1].done(planner.workspace.store)


@pytest.mark.parametrize(("indices", "wrong"), [((-2, 3), -2), ((0, 20), 20)])
def test_the_index_that_is_wrong_is_named(indices: tuple[int, int], wrong: int) -> None:
    with pytest.raises(StageError, match=f"selector 'mine' chose image {wrong} of 20"):
        check_selection(Selection(np.array(indices)), Budget(2, 20, 0.1), "selector 'mine'")


@pytest.mark.parametrize(
    ("component", "work", "who"),
    [(engine_fakes.First, "select", "selector 'first'"), (engine_fakes.Noisy, "synthesize", "synthesizer 'noisy'")],
)
@pytest.mark.parametrize("split", ["val", "test"])
def test_a_method_that_reads_another_split_than_train_is_refused(
    monkeypatch: pytest.MonkeyPatch, tiny: Path, tmp_path: Path, component: Any, work: str, who: str, split: str
) -> None:
    def reads(self: Any, first: Any, *others: Any) -> Any:
        context = next(each for each in others if isinstance(each, Context))
        return context.dataset.split(split).image(0)

    monkeypatch.setattr(component, work, reads)
    said = f"^{who} reads the split '{split}': a method may learn from train alone$"
    with pytest.raises(StageError, match=said):
        small_run(monkeypatch, tiny, tmp_path, synth="noisy")


@pytest.mark.parametrize("given", [{"synth": "real"}, {"synth": "taught"}], ids=["student", "teacher"])
def test_an_evaluator_learns_from_train_alone(
    monkeypatch: pytest.MonkeyPatch, tiny: Path, tmp_path: Path, given: dict[str, str]
) -> None:
    def reads(self: Any, pairs: Any, arch: str, protocol: Any, context: Context) -> Any:
        return context.dataset.split("test").image(0)

    monkeypatch.setattr(engine_fakes.Majority, "train", reads)
    with pytest.raises(
        StageError, match=r"^evaluator 'majority' reads the split 'test': a method may learn from train"
    ):
        small_run(monkeypatch, tiny, tmp_path, **given)


def test_a_generator_learns_from_train_alone(monkeypatch: pytest.MonkeyPatch, tiny: Path, tmp_path: Path) -> None:
    monkeypatch.setattr(PixelFamily, "train", lambda self, split, folder, context: context.dataset.split("test"))
    config = make_config({"dataset": "tiny", "data_root": {"tiny": str(tiny)}, "out": str(tmp_path)})
    planner = engine_fakes.planner_of(config)
    with pytest.raises(StageError, match=r"^generator 'pixel' reads the split 'test': a method may learn from train"):
        run_stage(planner.model("generator", "tiny"), planner.workspace, lambda *_: None)


def test_wrong_counts_give_no_number(monkeypatch: pytest.MonkeyPatch, tiny: Path, tmp_path: Path) -> None:
    evaluate = engine_fakes.Majority.evaluate

    def half(self: Any, *given: Any) -> Counts:
        return Counts(evaluate(self, *given).confusion[:3])

    monkeypatch.setattr(engine_fakes.Majority, "evaluate", half)
    with pytest.raises(StageError, match=r"evaluator 'majority': its counts must be a NumPy int64 array \(6, 4, 4\)"):
        small_run(monkeypatch, tiny, tmp_path)
    assert not list((tmp_path / "records").glob("*.npz"))


def test_what_a_selector_is_given_cannot_be_changed(
    monkeypatch: pytest.MonkeyPatch, tiny: Path, tmp_path: Path
) -> None:
    def select(self: Any, index: Any, budget: Budget, context: Context) -> Selection:
        index.counts[:] = 0
        return Selection(np.arange(budget.images))

    monkeypatch.setattr(engine_fakes.First, "select", select)
    with pytest.raises(ValueError, match="read-only"):
        small_run(monkeypatch, tiny, tmp_path)


def test_a_method_sees_all_else_of_the_dataset(tiny: Path, tmp_path: Path) -> None:
    dataset = Workspace(tmp_path, {"tiny": str(tiny)}).dataset("tiny")
    seen = TrainAlone(dataset, "selector 'mine'")
    for name in Dataset.__annotations__ | {k: v for k, v in vars(Dataset).items() if isinstance(v, property)}:
        assert getattr(seen, name) == getattr(dataset, name)
    assert np.array_equal(seen.split("train").image(3), dataset.split("train").image(3))


def test_a_set_from_elsewhere_without_a_labelled_pixel_is_refused(tiny: Path, tmp_path: Path) -> None:
    dataset = Workspace(tmp_path, {"tiny": str(tiny)}).dataset("tiny")
    (tmp_path / "images").mkdir()
    (tmp_path / "annotations").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(png(np.zeros((6, 8, 3), np.uint8)))
    (tmp_path / "annotations" / "a.png").write_bytes(mask_png(np.full((6, 8), 255, np.uint8), dataset.palette))
    with pytest.raises(DatasetError, match=f"^{tmp_path} holds no labelled pixel: all masks are 255 throughout"):
        stages._pairs({"pairs": {"folder": str(tmp_path), "id": "0" * 64}}, dataset)


def test_each_stage_says_whose_code_works_in_it(monkeypatch: pytest.MonkeyPatch, tiny: Path, tmp_path: Path) -> None:
    nodes = small_run(monkeypatch, tiny, tmp_path, synth="taught").nodes.values()
    assert {node.stage: stages.called_in(node) for node in nodes} == {
        "index": None,
        "teacher": ("evaluator", "majority"),
        "selection": ("selector", "first"),
        "distilled": ("synthesizer", "taught"),
        "record": ("evaluator", "majority"),
    }


# --- models ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def teacher(tmp_path: Path) -> Callable[[str], Path]:
    def make(name: str) -> Path:
        write_json(tmp_path / name / "teacher.json", {"trained_on": f"{name}/train"})
        return tmp_path / name

    return make


def given(folder: Path) -> dict[str, Any]:
    return {"models": {"teacher": {"folder": str(folder), "family": "majority"}}, "command": None, "commit": None}


def test_the_teacher_that_labels_is_recorded_not_that_of_a_foreign_manifest(teacher: Callable[[str], Path]) -> None:
    foreign = {"sha256": "f" * 64, "trained_on": "elsewhere/train"}
    labels = {"sha256": folder_sha256(teacher("ours")), "trained_on": "ours/train"}
    assert stages._provenance(given(teacher("ours")), {"teacher": foreign}, 7)["teacher"] == labels
    without = given(teacher("ours")) | {"models": {}}
    assert stages._provenance(without, {"teacher": foreign}, 7)["teacher"] == foreign


def test_the_weights_are_hashed_once(teacher: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[Path] = []
    monkeypatch.setattr(stages, "folder_sha256", lambda folder: hashed.append(folder) or "0" * 64)
    for _ in range(3):
        stages._model_provenance(given(teacher("one")), "teacher")
    assert len(hashed) == 1


def test_models_of_one_dataset_are_kept(
    teacher: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    loaded: list[Path] = []
    monkeypatch.setattr(stages, "_LOADED", {})
    monkeypatch.setattr(stages, "_load", lambda workspace, kind, family, folder: loaded.append(folder) or folder)

    def load(dataset: str, folder: Path) -> None:
        node = Node("quality", {}, given(folder) | {"dataset": dataset})
        Job(node, Workspace(tmp_path), lambda *_: None).load_model("teacher")

    first, other = teacher("first"), teacher("other")
    for dataset, folder in (("a", first), ("a", other), ("a", first), ("b", other), ("b", other)):
        load(dataset, folder)
    assert loaded == [first, other, other]
    assert [key[0] for key in stages._LOADED] == ["b"]
