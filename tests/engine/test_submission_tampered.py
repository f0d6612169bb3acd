"""Submissions that somebody has touched up: each way is refused, with its reason, and none can stop the check."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
from typer.testing import CliRunner

from d3s2bench.cli.app import app
from d3s2bench.files import digest, file_sha256, load_npz, read_json, save_npz, write_json
from d3s2bench.metrics import scores
from d3s2bench.plugins import options_of, registry
from d3s2bench.protocols import default_protocol
from d3s2bench.seeds import derive_seed
from d3s2bench.upkeep import submission_folder
from d3s2bench.upkeep.submission import MANIFEST, check, create
from d3s2bench.upkeep.submission_claims import _models_that_saw_more, foreign_protocol

STUDY = Path(__file__).parents[2] / "leaderboards" / "scenes" / "records"
METHOD, CONTROL = ("balanced", "guided", "unet"), ("random", "real", "unet")


@pytest.fixture(scope="module")
def genuine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A method and its control, five repetitions each."""
    folder = tmp_path_factory.mktemp("study")
    for file in STUDY.glob("*.json"):
        spec = read_json(file)["spec"]
        made = spec["selector"]["name"], spec["synth"]["name"], spec["arch"]
        hard = spec["evaluator"]["options"]["labels"] == "hard"
        if made in (METHOD, CONTROL) and spec["seed"] < 5 and spec["rate"] == 0.01 and hard:
            shutil.copy(file, folder)
            shutil.copy(file.with_suffix(".npz"), folder)
    return create(folder, folder.parent / "made", "Ours", "me@example.org")


@pytest.fixture
def tampered(genuine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(genuine, tmp_path / "tampered"))


def files(submission: Path, method: tuple[str, ...] = METHOD) -> list[Path]:
    """The records of a method by repetition."""
    found = {}
    for file in (submission / "records").glob("*.json"):
        spec = read_json(file)["spec"]
        if (spec["selector"]["name"], spec["synth"]["name"], spec["arch"]) == method:
            found[spec["seed"]] = file
    return [file for _, file in sorted(found.items())]


def edit(file: Path, change: Callable[[Any], object]) -> None:
    record = read_json(file)
    change(record)
    write_json(file, record)


def recount(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Other counts, with all that follows from them."""
    counts = load_npz(file.with_suffix(".npz"))
    change(counts)
    save_npz(file.with_suffix(".npz"), **counts)
    again = scores(counts["total"], counts["train_share"])
    edit(file, lambda record: record.update(metrics={name: again[name] for name in record["metrics"]}))
    refer(file)


def refer(file: Path) -> None:
    found = file_sha256(file.with_suffix(".npz"))
    edit(file, lambda record: record["confusion"].update(sha256=found))


def refusals(submission: Path) -> list[str]:
    """With a manifest that lists what is there."""
    listed = [file for file in sorted(submission.rglob("*")) if file.is_file() and file.name != MANIFEST]
    hashes = {file.relative_to(submission).as_posix(): file_sha256(file) for file in listed}
    edit(submission / MANIFEST, lambda manifest: manifest.update(files=hashes))
    return [f"{problem.where}: {problem.what}" for problem in check(submission)]


def test_untouched_it_is_accepted(tampered: Path) -> None:
    assert refusals(tampered) == []


# --- records ---------------------------------------------------------------------------------------------------------


def spec(**values: Any) -> Callable[[Any], object]:
    return lambda record: record["spec"].update(values)


def part(key: str, /, **values: Any) -> Callable[[Any], object]:
    return lambda record: record["spec"][key].update(values)


def options(**values: Any) -> Callable[[Any], object]:
    return lambda record: record["spec"]["synth"]["options"].update(values)


def seeds(**values: Any) -> Callable[[Any], object]:
    return lambda record: record["provenance"]["seeds"].update(values)


def model(role: str, trained_on: str | None) -> Callable[[Any], object]:
    return lambda record: record["provenance"][role].update(trained_on=trained_on)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (seeds(train=1), "its seed to train is 1: repetition 0 has 7743437041455932707"),
        (seeds(train=derive_seed("train", 77)), "repetition 0 has 7743437041455932707"),
        (seeds(synthesise=None), "its seed to synthesise is None: repetition 0 has"),
        (seeds(select=5), "its seed to select is 5: repetition 0 has none"),
        (
            options(scale=9.0, steps=64),
            "says that none of the options of its synth differ from the defaults: scale, st",
        ),
        (options(peek_at_test=True), "unknown option of synthesizer 'guided' 'peek_at_test'"),
        (
            part("synth", changed=["scale"]),
            "says that scale of the options of its synth differ from the defaults: none",
        ),
        (part("synth", changed=["nothing"]), "its synth says that the option nothing was changed, which it does not"),
        (part("selector", name="random "), "its selector: 'random ' is no name of a plugin: use small letters"),
        (part("synth", name="real\u200b"), "is no name of a plugin: use small letters, digits and hyphens"),
        (part("selector", name="full"), "its selector is 'full': then it is trained on all images"),
        (part("dataset", split="train"), "is scored on the split train: scenes is scored on test"),
        (part("dataset", split="val"), "is scored on the split val: scenes is scored on test"),
        (part("dataset", name="mine", split="train"), "is scored on the split train: mine is scored on another than"),
        (part("dataset", fingerprint="a" * 64), "its dataset is not scenes: the fingerprint differs"),
        (part("dataset", classes=["one"]), "its total counts have the shape (16, 16): its 1 classes give (1, 1)"),
        (lambda record: record["budget"].update(images=2000), "its set has 2000 images: 1 % of 2000 are 20"),
        (lambda record: record["budget"].update(images=1), "its set has 1 images: 1 % of 2000 are 20"),
        (lambda record: record["budget"].update(images=None, bytes=None), "its budget does not say images, bytes"),
        (spec(rate=0.02), "its set has 20 images: 2 % of 2000 are 40"),
        (lambda record: record["provenance"].update(teacher=None), "its synth 'guided' uses a teacher, which its prov"),
        (lambda record: record["provenance"].update(generator=None), "its synth 'guided' uses a generator, which its"),
        (model("teacher", "scenes/test"), "its teacher was trained on scenes/test: of scenes, only scenes/train"),
        (model("teacher", None), "its teacher does not say what it was trained on"),
        (model("teacher", "train+val"), "its teacher was trained on train+val: of scenes, only"),
        (model("generator", "scenes"), "its generator was trained on scenes: of scenes, only"),
        (model("generator", "all of Scenes"), "its generator was trained on all of Scenes"),
        (model("generator", "Scenes/train+val"), "its generator was trained on Scenes/train+val"),
        (lambda record: record.update(created="9999-12-31T23:59:59Z"), "was made in the future: 9999-12-31T23:59:59Z"),
        (lambda record: record.update(created="2026-13-01T00:00:00Z"), "was made at no time: 2026-13-01T00:00:00Z"),
        (lambda record: record["provenance"].update(nearest_train={"rmse_min": float("nan")}), "not JSON compliant"),
    ],
)
def test_a_record_that_claims_what_the_engine_would_not_is_refused(
    tampered: Path, change: Callable[[Any], object], reason: str
) -> None:
    file = files(tampered)[0]
    record = read_json(file)
    change(record)
    file.write_text(json.dumps(record))
    assert refusals(tampered)[0].startswith(f"{file.name}: ") and reason in refusals(tampered)[0]


def test_what_is_not_known_here_is_left(tampered: Path) -> None:
    """Options of a plugin that is not installed; a model that says in words what it has seen."""
    for file in files(tampered):
        edit(file, part("synth", name="theirs", options={"strength": 2}, changed=["strength"]))
        edit(file, model("generator", "COCO-Stuff"))
    assert refusals(tampered) == []


@pytest.mark.parametrize(
    ("seed", "refused"),
    [(None, False), (derive_seed("synthesise", 0), False), (derive_seed("synthesise", 7), False), (12345, True)],
)
def test_a_set_that_was_made_elsewhere_is_one_of_some_repetition(
    tampered: Path, seed: int | None, refused: bool
) -> None:
    for file in files(tampered):
        edit(file, lambda record: record["provenance"].update(selection=None))
        edit(file, seeds(select=None, synthesise=seed))
    assert any("its seed to synthesise is 12345" in line for line in refusals(tampered)) == refused
    assert bool(refusals(tampered)) == refused


def test_the_protocol_of_a_papers_preset_is_no_foreign_one() -> None:
    torch, size = registry().create("evaluator", "torch"), (512, 512)
    protocol = default_protocol(torch, "mask2former-swin-s", "ade20k", size) | {
        "backbone": "microsoft/swin-small-patch4-window7-224",
        "backbone_sha256": "ab" * 32,
        **{"iterations": 10_000, "threads": 1, "device": "cuda"},
    }
    spec = {
        "protocol": protocol,
        "protocol_hash": "0" * 64,
        "arch": "mask2former-swin-s",
        "dataset": {"name": "ade20k"},
    }
    spec["evaluator"] = {"name": "torch", "options": options_of(torch)}
    assert foreign_protocol({"preset": "d3s2/ade20k-1pct", "spec": spec}) is None
    assert "backbone is" in str(foreign_protocol({"preset": None, "spec": spec}))
    assert "backbone is" in str(foreign_protocol({"preset": "smoke", "spec": spec}))
    spec["protocol"] = protocol | {"learning_rate": 1.0}
    assert "learning_rate is 1.0" in str(foreign_protocol({"preset": "d3s2/ade20k-1pct", "spec": spec}))


@pytest.mark.parametrize("option", ["python", "config"])
def test_a_program_that_a_record_names_is_not_run(tmp_path: Path, option: str) -> None:
    program = tmp_path / ("mine.py" if option == "config" else "python")
    program.write_text(f"#!/bin/sh\ntouch {tmp_path / 'was-run'}\n")
    program.chmod(0o755)
    spec: dict[str, Any] = {"arch": "segformer-b0", "dataset": {"name": "ade20k"}, "protocol": {"size": [512, 512]}}
    spec["protocol_hash"] = "0" * 64
    for tool in ("mmseg", "detectron2"):
        spec["evaluator"] = {"name": tool, "options": {option: str(program)}}
        assert foreign_protocol({"preset": None, "spec": spec}) is not None
    assert not (tmp_path / "was-run").exists()


@pytest.mark.parametrize(
    ("dataset", "seen", "refused"),
    [
        ("ade20k", "ade20k/train, COCO", False),  # of the generator that the preset takes
        ("ade20k", "ADE20K/train and COCO", False),
        ("ade20k", "ADE20K and COCO", True),
        ("coco-stuff-164k", "ade20k/train, COCO", False),
        ("ade20k", "ImageNet-1k; ade20k/train+val", True),
        ("ade20k", "unknown", True),
    ],
)
def test_several_things_that_a_model_was_trained_on(dataset: str, seen: str, refused: bool) -> None:
    spec = {"dataset": {"name": dataset, "split": "val"}}
    models = {"teacher": None, "generator": {"sha256": "a" * 64, "trained_on": seen}}
    assert (_models_that_saw_more({"spec": spec, "provenance": models}) is not None) == refused


def test_another_generator_is_another_method(tampered: Path) -> None:
    """So that nobody picks the best of two for each repetition."""
    for file in files(tampered)[:2]:
        edit(file, lambda record: record["provenance"]["generator"].update(sha256="b" * 64))
    assert any("repetition" in line and "missing" in line for line in refusals(tampered))


def test_a_held_out_split_has_a_fingerprint_of_its_own(tampered: Path) -> None:
    """As 'datasets.held_out' makes it of the fixed one of scenes."""
    known = read_json(files(tampered)[0])["spec"]["dataset"]["fingerprint"]
    held_out = digest({"dataset": known, "held_out": "train_000*"})
    for file in (*files(tampered), *files(tampered, CONTROL)):
        edit(file, part("dataset", split="dev", options={"holdout": "train_000*"}, fingerprint=held_out))
    assert refusals(tampered) == []
    edit(files(tampered)[0], part("dataset", options={"holdout": "train_001*"}))
    assert any("the fingerprint differs" in line for line in refusals(tampered))


def test_the_worst_repetition_cannot_be_left_out(tampered: Path) -> None:
    worst, *others = sorted(files(tampered), key=lambda file: float(read_json(file)["metrics"]["miou"]))
    worst.unlink()
    worst.with_suffix(".npz").unlink()
    for repetition, file in enumerate(others):
        edit(file, spec(seed=repetition))
    assert any("its seed to train is" in line for line in refusals(tampered))


# --- counts ----------------------------------------------------------------------------------------------------------


def best_half(counts: dict[str, Any]) -> None:
    per_image = counts["per_image"]
    right = np.diagonal(per_image, axis1=1, axis2=2).sum(axis=1) / per_image.sum(axis=(1, 2))
    counts["per_image"] = per_image[np.argsort(-right)[: len(right) // 2]]
    counts["total"] = counts["per_image"].sum(axis=0)


def fewer_errors(counts: dict[str, Any]) -> None:
    """Negative ones in the first image."""
    off = counts["total"] - np.diag(np.diagonal(counts["total"]))
    counts["per_image"][0] -= off // 2
    counts["total"] = counts["per_image"].sum(axis=0)


def run_over(counts: dict[str, Any]) -> None:
    """Sums of int64 come back to where they were."""
    counts["per_image"][:4, 0, 1] += 2**62


def halved(counts: dict[str, Any]) -> None:
    counts.update(per_image=counts["per_image"] * 0.5, total=counts["total"] * 0.5)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (best_half, "labelled pixels per image and class"),
        (fewer_errors, "pixels are counted from 0 to 2147483648"),
        (run_over, "pixels are counted from 0 to 2147483648"),
        (halved, "its total counts are float64: pixels are counted in whole numbers"),
        (lambda counts: counts.update(train_share=counts["train_share"][::-1].copy()), "other train_share than the 5"),
        (lambda counts: counts.update(train_share=counts["train_share"] * 2), "its train_share is none"),
        (lambda counts: counts.update(photograph=np.zeros(9, np.uint8)), "its counts hold"),
    ],
)
def test_counts_that_no_evaluation_gives_are_refused(
    tampered: Path, change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    for file in files(tampered):
        recount(file, change)
    told = refusals(tampered)
    assert {line.split(":")[0] for line in told} == {file.name for file in files(tampered)}
    assert all(reason in line for line in told)


def test_half_of_the_test_images_is_refused_though_all_records_say_so(tampered: Path) -> None:
    def first_half(counts: dict[str, Any]) -> None:
        counts["per_image"] = counts["per_image"][:200]
        counts["total"] = counts["per_image"].sum(axis=0)

    everything = files(tampered) + files(tampered, CONTROL)
    for file in everything:
        recount(file, first_half)
    told = refusals(tampered)
    assert len(told) == len(everything)
    assert all("image and class are not those of scenes/test: is all of it scored?" in line for line in told)


def test_repetitions_with_the_counts_of_one_are_refused(tampered: Path) -> None:
    first, *others = files(tampered)
    for file in others:
        recount(file, lambda counts: counts.update(load_npz(first.with_suffix(".npz"))))
    (told,) = refusals(tampered)
    assert "has the counts of" in told and all(file.name in told for file in (first, *others))
    shared = read_json(first)["confusion"]
    edit(others[0], lambda record: record.update(confusion=shared))
    assert f"its counts are in {shared['path']}: they must be its own" in "\n".join(refusals(tampered))


# --- files -----------------------------------------------------------------------------------------------------------


def pipe(submission: Path) -> None:
    os.mkfifo(submission / "records" / "0123456789abcdef.json")


def endless(submission: Path) -> None:
    (submission / "records" / "0123456789abcdef.json").symlink_to("/dev/zero")


def linked_manifest(submission: Path) -> None:
    (submission / MANIFEST).unlink()
    (submission / MANIFEST).symlink_to("/dev/zero")


def large(submission: Path) -> None:
    with (submission / "records" / "0123456789abcdef.json").open("wb") as stream:
        stream.truncate(2**40)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (pipe, "is a pipe, a socket or a device"),
        (endless, "is a link"),
        (linked_manifest, "is a link"),
        (large, "has 1099511627776 bytes: at most 8388608 are read"),
        (lambda submission: (submission / "code").mkdir(), "is a folder: a submission has none but records"),
    ],
)
def test_what_is_no_plain_file_of_its_size_is_not_opened(
    tampered: Path, change: Callable[[Path], object], reason: str
) -> None:
    change(tampered)
    (problem,) = check(tampered)
    assert reason in problem.what


def test_code_and_images_are_refused_though_they_are_listed(tampered: Path) -> None:
    (tampered / "train.py").write_text("print(1)")
    (tampered / "records" / "photograph.png").write_bytes(b"PNG")
    assert [line.split(":")[0] for line in refusals(tampered)] == ["records/photograph.png", "train.py"]


def test_a_submission_without_records_is_refused(tampered: Path) -> None:
    shutil.rmtree(tampered / "records")
    assert refusals(tampered) == ["records: holds no record"]
    (tampered / "records").write_text("none")
    assert "records: holds no record" in refusals(tampered)


def test_json_that_is_nested_without_end_is_refused(tampered: Path) -> None:
    (tampered / "records" / "0123456789abcdef.json").write_text("[" * 200_000)
    (told,) = refusals(tampered)
    assert told.startswith("0123456789abcdef.json: ") and "recursion" in told


def test_counts_that_unpack_without_end_are_refused(tampered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("d3s2bench.upkeep.submission_counts.LARGEST_COUNTS", 2**22)
    file = files(tampered)[0]
    with ZipFile(file.with_suffix(".npz"), "w", ZIP_DEFLATED) as packed:
        packed.writestr("per_image.npy", bytes(2**23))
    refer(file)
    assert "unpacks to 8388608 bytes: at most 4194304 are read" in refusals(tampered)[0]
    assert submission_folder.LARGEST_COUNTS > 5000 * 171 * 171 * 8  # those of COCO-Stuff


def test_a_name_steers_no_terminal_and_forges_no_line(tampered: Path) -> None:
    for name in ("a\x1b[2Jb\nrefused: x", "right\u202eleft"):
        (tampered / name).write_text("")
    edit(files(tampered)[0], spec(arch="a\x1b[2Jb\nrefused: x"))
    done = CliRunner().invoke(app, ["submission", "check", str(tampered)])
    assert done.exit_code == 1 and not any(line.startswith("refused: x") for line in done.output.splitlines())
    assert all(line.isprintable() for line in done.output.splitlines())
    edit(tampered / MANIFEST, lambda manifest: manifest.update(created="\x1b[2J"))
    done = CliRunner().invoke(app, ["submission", "check", str(tampered)])
    assert "no valid manifest" in str(done.exception) and str(done.exception).isprintable()
