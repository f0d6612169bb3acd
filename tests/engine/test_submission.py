"""Submissions: what is accepted, and each reason to refuse one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from d3s2bench import ConfigError, StoreError
from d3s2bench.cli.app import app
from d3s2bench.config import make_config
from d3s2bench.files import digest, file_sha256, load_npz, read_json, save_npz, write_json
from d3s2bench.planning.configured import Configured
from d3s2bench.planning.plan import Cell
from d3s2bench.upkeep.submission import MANIFEST, check, create
from d3s2bench.upkeep.submission_claims import foreign_protocol
from d3s2bench.workspace import Workspace

METHOD = {"selector": "balanced", "synth": "guided", "arch": "unet", "seed": 3, "rate": 0.01, "labels": "hard"}
STUDY = Path(__file__).parents[2] / "leaderboards" / "scenes"


@pytest.fixture
def submission(tmp_path: Path) -> Path:
    """The published study, as its authors would hand it in."""
    return create(STUDY, tmp_path / "made", "Reference rows", "maintainers@example.org")


def test_a_published_study_is_accepted(submission: Path) -> None:
    assert check(submission, repetitions=10) == []
    manifest = read_json(submission / MANIFEST)
    assert manifest["files"].keys() == {
        file.relative_to(submission).as_posix()
        for file in submission.rglob("*")
        if file.is_file() and file.name != MANIFEST
    }
    assert any(line.startswith("torch==") for line in (submission / "environment.txt").read_text().splitlines())


def test_more_repetitions_may_be_asked_for(submission: Path) -> None:
    problems = check(submission, repetitions=11)
    assert problems and all("has 10 repetitions, a submission needs 11" in problem.what for problem in problems)


def one(submission: Path, **wanted: Any) -> Path:
    """The file of a record by parts of its spec: names of components, or values."""
    for file in sorted((submission / "records").glob("*.json")):
        spec = read_json(file)["spec"]
        told = {
            key: value["name"] if isinstance(value, dict) and "name" in value else value for key, value in spec.items()
        }
        told["labels"] = spec["evaluator"]["options"]["labels"]
        if all(told[key] == value for key, value in wanted.items()):
            return file
    raise AssertionError(wanted)


def seal(submission: Path) -> None:
    """What a cheat would do: the manifest again lists what is there."""
    manifest = read_json(submission / MANIFEST)
    files = [f for f in sorted(submission.rglob("*")) if f.is_file() and f.name != MANIFEST]
    write_json(
        submission / MANIFEST,
        manifest | {"files": {f.relative_to(submission).as_posix(): file_sha256(f) for f in files}},
    )


def change(file: Path, edit: Callable[[Any], object]) -> None:
    record = read_json(file)
    edit(record)
    write_json(file, record)


def refusals(submission: Path) -> str:
    seal(submission)
    return "\n".join(f"{problem.where}: {problem.what}" for problem in check(submission, repetitions=10))


def test_of_a_cell_that_was_run_twice_the_last_is_submitted(tmp_path: Path) -> None:
    shutil.copytree(STUDY, tmp_path / "study")
    file = one(tmp_path / "study", **METHOD)
    older = file.with_name("0123456789abcdef.json")
    write_json(older, read_json(file) | {"id": older.stem, "created": "2026-01-01T00:00:00+00:00"})
    made = create(tmp_path / "study", tmp_path / "made", "Reference rows", "maintainers@example.org")
    assert (made / "records" / file.name).exists() and not (made / "records" / older.name).exists()
    assert check(made, repetitions=10) == []


def test_a_better_number_than_its_counts_give_is_refused(submission: Path) -> None:
    file = one(submission, **METHOD)
    change(file, lambda record: record["metrics"].update(miou=record["metrics"]["miou"] + 0.01))
    told = refusals(submission)
    assert f"{file.name}: its miou does not follow from its counts" in told
    assert "repetition 3 of 10 is missing" in told  # what is refused counts for nothing


def test_a_better_class_than_its_counts_give_is_refused(submission: Path) -> None:
    file = one(submission, **METHOD)
    change(file, lambda record: record["metrics"]["per_class_iou"].__setitem__(2, 99.0))
    assert "its per_class_iou does not follow from its counts" in refusals(submission)


def test_counts_that_their_images_do_not_give_are_refused(submission: Path) -> None:
    file = one(submission, **METHOD)
    counts = load_npz(file.with_suffix(".npz"))
    counts["total"] = np.diag(np.diagonal(counts["total"]))
    save_npz(file.with_suffix(".npz"), **counts)
    change(file, lambda record: record["confusion"].update(sha256=file_sha256(file.with_suffix(".npz"))))
    assert "its total counts are not the sum of those of its images" in refusals(submission)


def test_a_foreign_protocol_is_refused_with_the_key(submission: Path) -> None:
    file = one(submission, **METHOD)

    def longer_steps(record: Any) -> None:
        record["spec"]["protocol"]["learning_rate"] = 0.01
        record["spec"]["protocol_hash"] = digest(record["spec"]["protocol"])

    change(file, longer_steps)
    told = refusals(submission)
    assert f"{file.name}: foreign protocol" in told
    assert "learning_rate is 0.01, the default is 0.003" in told


def test_a_protocol_hash_of_another_protocol_is_refused(submission: Path) -> None:
    change(one(submission, **METHOD), lambda record: record["spec"]["protocol"].update(iterations=2400))
    assert "its protocol_hash is not the digest of its protocol" in refusals(submission)


def test_thirds_that_no_counts_give_are_refused(submission: Path) -> None:
    file = one(submission, **METHOD)
    counts = load_npz(file.with_suffix(".npz"))
    del counts["train_share"]
    save_npz(file.with_suffix(".npz"), **counts)
    change(file, lambda record: record["confusion"].update(sha256=file_sha256(file.with_suffix(".npz"))))
    change(file, lambda record: record["metrics"].update(miou_tail=99.0))
    assert f"{file.name}: its miou_head does not follow from its counts" in refusals(submission)


@pytest.mark.parametrize("dataset", ["cityscapes", "camvid"])
def test_what_is_published_for_a_dataset_is_the_default_there(dataset: str) -> None:
    config = make_config({"dataset": [dataset], "arch": ["segformer-b0"], "size": None})
    configured = Configured(config, Workspace.of(config))
    configured._sizes = {dataset: (96, 72)}  # what its files would say
    evaluator = configured.component("evaluator", "torch")[0]
    protocol = configured.protocol(evaluator, Cell(dataset, "random", "real", "torch", "segformer-b0", 0.01, 0))
    spec: dict[str, Any] = {"arch": "segformer-b0", "dataset": {"name": dataset}, "protocol": protocol}
    spec["evaluator"] = {"name": "torch", "options": {}}
    assert foreign_protocol({"preset": None, "spec": spec}) is None
    foreign = spec | {"protocol": protocol | {"batch_size": 3}, "protocol_hash": "0" * 64}
    assert "batch_size is 3" in str(foreign_protocol({"preset": None, "spec": foreign}))


def test_a_missing_repetition_is_refused(submission: Path) -> None:
    file = one(submission, **METHOD)
    file.unlink()
    file.with_suffix(".npz").unlink()
    assert "balanced + guided on scenes 1 % unet: repetition 3 of 10 is missing" in refusals(submission)


def test_missing_controls_are_refused(submission: Path) -> None:
    for file in (submission / "records").glob("*.json"):
        spec = read_json(file)["spec"]
        if (spec["selector"]["name"], spec["synth"]["name"], spec["arch"]) == ("random", "real", "deeplab"):
            file.unlink()
    told = refusals(submission)
    assert "on scenes 1 % deeplab: the control random + real is missing under the same protocol" in told
    assert "scenes 1 % unet" not in told


def test_random_photographs_with_soft_labels_are_not_the_control(submission: Path) -> None:
    for file in (submission / "records").glob("*.json"):
        spec = read_json(file)["spec"]
        if (spec["selector"]["name"], spec["synth"]["name"], spec["arch"]) == ("random", "real", "deeplab"):
            change(file, lambda record: record["spec"]["evaluator"]["options"].update(labels="soft"))
    assert "on scenes 1 % deeplab: the control random + real is missing" in refusals(submission)


def test_a_repetition_without_end_is_refused_at_once(submission: Path) -> None:
    change(one(submission, **METHOD), lambda record: record["spec"].update(seed=10**15))
    assert "balanced + guided on scenes 1 % unet: repetition 3 of 1000000000000001 is missing" in refusals(submission)


def test_changed_missing_and_added_files_are_refused(submission: Path) -> None:
    (submission / "environment.txt").write_text("torch==99\n")
    (submission / "records" / "more.txt").write_text("")
    gone = one(submission, **METHOD).with_suffix(".npz")
    gone.unlink()
    told = {problem.where: problem.what for problem in check(submission)}
    assert "its SHA-256 differs" in told["environment.txt"]
    assert "not in submission.json" in told["records/more.txt"]
    assert "not in the folder" in told[f"records/{gone.name}"]


def test_a_link_is_refused(submission: Path, tmp_path: Path) -> None:
    (submission / "records" / "elsewhere").symlink_to(tmp_path)
    assert [problem.what for problem in check(submission)] == ["is a link: a submission holds plain files"]


def test_a_record_that_is_none_is_refused(submission: Path) -> None:
    (submission / "records" / "0123456789abcdef.json").write_text(json.dumps({"schema": 1, "id": float("nan")}))
    assert "0123456789abcdef.json: " in refusals(submission)


def test_what_is_no_submission_is_told(tmp_path: Path, submission: Path) -> None:
    with pytest.raises(StoreError, match="is no submission"):
        check(tmp_path)
    write_json(submission / MANIFEST, read_json(submission / MANIFEST) | {"schema": 2})
    with pytest.raises(StoreError, match="no valid manifest: schema"):
        check(submission)
    with pytest.raises(StoreError, match="exists"):
        create(STUDY, submission, "title", "contact")
    with pytest.raises(ConfigError, match="--title and a --contact"):
        create(STUDY, tmp_path / "other", " ", "contact")
    assert not (tmp_path / "other").exists()


def test_the_command_says_so_and_exits_accordingly(tmp_path: Path, submission: Path) -> None:
    run = CliRunner().invoke
    done = run(app, ["submission", "check", str(submission), "--repetitions", "10"])
    assert (done.exit_code, done.output.split(":")[0]) == (0, "accepted")
    shutil.rmtree(submission / "records")
    done = run(app, ["submission", "check", str(submission)])
    assert done.exit_code == 1 and "refused: records/" in done.output
