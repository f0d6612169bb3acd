"""Explaining a record: everything behind it is named, its score recomputed, its command repeated."""

from __future__ import annotations

import json
import shlex
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
import typer
from engine_fakes import fake_registry, provenance, spec
from small_run import by_stage, record_of, small_run
from typer.testing import CliRunner

from d3s2bench import StageError, StoreError
from d3s2bench.cli.explain import explain as explain_command
from d3s2bench.code_identity import file_hash
from d3s2bench.config import make_config
from d3s2bench.files import folder_sha256, load_npz, save_npz, write_json
from d3s2bench.planning.command import command_of
from d3s2bench.planning.plan import Cell
from d3s2bench.results.records import new_record, write_record
from d3s2bench.upkeep.explanation import explain, find_record
from d3s2bench.upkeep.rerun import Rerun, _beyond_choices, command_again, rerun, same_cell


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def file(monkeypatch: pytest.MonkeyPatch, tiny: Path, out: Path) -> Path:
    """The record of a cell whose set was made with a teacher."""
    return record_of(small_run(monkeypatch, tiny, out, synth="taught"), out)[0]


def said(*arguments: object) -> tuple[int, str]:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(explain_command)
    result = CliRunner().invoke(app, [str(word) for word in arguments], catch_exceptions=False)
    return result.exit_code, result.output


def test_every_artefact_is_named_with_its_place(file: Path, out: Path) -> None:
    found, stages = explain(file), by_stage(out)
    assert [part.role for part in found.parts] == ["index", "teacher", "selection", "distilled"]
    for part in found.parts:
        (artefact,) = stages[part.role]
        assert (part.key, part.folder) == (artefact.key, artefact.folder.resolve())
        assert part.seconds == artefact.info["seconds"]
    assert found.follows
    assert found.recomputed == found.record["metrics"]["miou"]


def test_the_command_prints_all_of_it(file: Path, out: Path) -> None:
    code, text = said(out / file.stem[:6])
    record = json.loads(file.read_text())
    assert code == 0
    for words in (
        f"{record['id']} ok",
        "first + taught, rate 0.2 of tiny, majority flat, 5 iterations, #0",
        f"mIoU {record['metrics']['miou']:.4f} on test; it follows from its counts",
        f"synthesise {record['provenance']['seeds']['synthesise']}",
        record["provenance"]["command"],
        f"torch {record['versions']['torch']}",
        "majority flat trained on tiny/train, 9 iterations",
        *(str(artefact.folder.resolve()) for found in by_stage(out).values() for artefact in found),
    ):
        assert words in text


def test_a_model_from_elsewhere_is_named_by_its_hash(file: Path, out: Path, tmp_path: Path) -> None:
    (teacher,) = by_stage(out)["teacher"]
    sha256 = folder_sha256(teacher.folder)
    teacher.folder.rename(tmp_path / "elsewhere")
    (part,) = [part for part in explain(file).parts if part.role == "teacher"]
    assert (part.key, part.folder) == (sha256, None)
    assert part.what == "given or shipped with the dataset, trained on tiny/train"


def test_a_score_that_its_counts_do_not_give_is_told(file: Path) -> None:
    record = json.loads(file.read_text())
    record["metrics"]["miou"] /= 2
    write_json(file, record)
    assert not explain(file).follows
    code, text = said(file)
    assert code == 1
    assert "do not use it" in text


def test_counts_that_are_not_the_records_are_refused(file: Path) -> None:
    arrays = load_npz(file.with_suffix(".npz"))
    save_npz(file.with_suffix(".npz"), total=arrays["total"] + 1, per_image=arrays["per_image"])
    with pytest.raises(StoreError, match="not what its record was scored from"):
        explain(file)


def test_versions_that_have_changed_since_are_marked(file: Path) -> None:
    record = json.loads(file.read_text())
    here = record["versions"]["numpy"]
    write_json(file, record | {"versions": record["versions"] | {"numpy": "1.0"}})
    assert f"numpy 1.0 (here {here})" in said(file)[1]


SINCE = "the code of synthesizer 'taught' has changed since"


@pytest.mark.parametrize(("version", "changed"), [("1.0", ""), ("2.0", SINCE)])
def test_the_code_of_an_installed_component_is_compared(
    file: Path, monkeypatch: pytest.MonkeyPatch, version: str, changed: str
) -> None:
    record = json.loads(file.read_text())
    record["spec"]["synth"]["version"] = version
    write_json(file, record)
    monkeypatch.setattr("d3s2bench.upkeep.code_since.registry", fake_registry)
    assert explain(file).changes == changed
    text = said(file)[1]
    assert f"selector first 1.0, synthesizer taught {version}, evaluator majority 1.0" in text
    assert ("changed   " in text) == bool(changed)


@pytest.mark.parametrize(
    ("content", "changed"),
    [("1", ""), ("2", SINCE), (None, "the code of synthesizer 'taught' is not to be found here")],
)
def test_the_code_in_a_file_is_compared_without_running_it(
    file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None, changed: str
) -> None:
    plugin, record = tmp_path / "their plugin.py", json.loads(file.read_text())
    plugin.write_text("raise SystemExit(1)")
    record["spec"]["synth"]["version"] = f"file+{file_hash(plugin)}"
    record["provenance"]["command"] += f" --plugin {shlex.quote(str(plugin))}"
    write_json(file, record)
    if content is None:
        plugin.unlink()
    else:
        plugin.write_text(f"raise SystemExit({content})")
    monkeypatch.setattr("d3s2bench.upkeep.code_since.registry", fake_registry)
    assert explain(file).changes == changed


def test_a_rerun_that_differs_says_whose_code_has_changed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("d3s2bench.upkeep.code_since.registry", lambda: fake_registry("2.0"))
    monkeypatch.setattr("d3s2bench.upkeep.rerun.rerun", lambda *_: Rerun(20.0, 20.3))
    text = said(file, "--rerun")[1]
    assert "20.3000, +0.3000 points: the code of selector 'first' has changed since; the code of synth" in text


def test_a_record_without_a_number_says_why(out: Path) -> None:
    failed = new_record("cd" * 32, spec(), None, provenance()) | {"status": "failed", "reason": "out of memory"}
    (out / "records").mkdir(parents=True)
    code, text = said(write_record(out, failed))
    assert code == 0
    assert "failed: out of memory" in text


def test_a_record_is_found_by_the_first_digits_of_its_id(out: Path) -> None:
    (out / "records").mkdir(parents=True)
    for name in ("12aa", "12bb"):
        (out / "records" / f"{name}.json").touch()
    assert find_record(str(out / "12a")) == find_record(str(out / "records" / "12aa")) == out / "records" / "12aa.json"
    with pytest.raises(StoreError, match=r"2 records in .* begin with 12: give more digits"):
        find_record(str(out / "12"))
    with pytest.raises(StoreError, match=r"there is no record 3 in .*: give its JSON file or DIR/ID"):
        find_record(str(out / "3"))


# --- again -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("fakes")
def test_a_rerun_repeats_the_number(monkeypatch: pytest.MonkeyPatch, tiny: Path, out: Path) -> None:
    """Through the real command line, in a process of its own."""
    record = record_of(small_run(monkeypatch, tiny, out, synth="noisy"), out)[1]
    made = rerun(record, ["--data-root", f"tiny={tiny}"])
    assert made.before == record["metrics"]["miou"] == made.again


@pytest.mark.usefixtures("fakes")
def test_a_rerun_that_fails_says_which_command(monkeypatch: pytest.MonkeyPatch, tiny: Path, out: Path) -> None:
    record = record_of(small_run(monkeypatch, tiny, out), out)[1]
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 1))
    with pytest.raises(StageError, match=r"'d3s2bench run --dataset tiny .* --out .*' failed: see above"):
        rerun(record)


def test_a_rerun_trains_its_models_and_leaves_controls_out(file: Path, tmp_path: Path) -> None:
    record = json.loads(file.read_text())
    words = command_again(record, tmp_path)
    assert words[:3] == ["run", "--dataset", "tiny"]
    assert words[-8:-6] == ["--out", str(tmp_path)]
    assert words[-6:] == [*("--set", "train_missing=true", "--set", "wandb=disabled"), *("--set", "controls=none")]
    record["spec"]["selector"]["name"] = "full"  # is a control itself
    assert "controls=none" not in command_again(record, tmp_path)


@pytest.mark.parametrize(
    "more",
    [
        "--plugin theirs.py",
        "--set plugin=[theirs.py]",
        "--set executor.slurm.setup=[reboot]",
        "--set evaluator.mmseg.python=theirs",
        "--set evaluator.mmseg.config=theirs.py",
        "--set options.executor.slurm.setup=[reboot]",
        "--executor slurm",
        "--out elsewhere",
    ],
)
def test_a_command_of_a_stranger_that_names_code_is_not_run(file: Path, tmp_path: Path, more: str) -> None:
    record = json.loads(file.read_text())
    record["provenance"]["command"] += f" {more}"
    with pytest.raises(StoreError, match=r"says '.*', which can run code .* then give --trust") as raised:
        rerun(record)
    assert more in str(raised.value)
    assert shlex.split(more)[0] in command_again(record, tmp_path, trusted=True)


def test_another_command_than_one_that_gives_a_number_is_not_run(file: Path) -> None:
    record = json.loads(file.read_text())
    record["provenance"]["command"] = "d3s2bench train teacher --save mine"
    with pytest.raises(StoreError, match="says 'train teacher --save mine'"):
        rerun(record)


def test_a_command_leads_back_to_its_configuration_when_it_departs_from_a_preset() -> None:
    """Settings are what differs from the preset, though it be the default."""
    given = {"preset": "d3s2/ade20k-1pct", "device": "cpu", "teacher_arch": "unet", "generator_family": "pixel"}
    config = make_config({**given, "budget": [1 / 3]})
    cell = Cell("ade20k", "balanced", "guided", "torch", config.arch[0], 0.01, 0, budget=1 / 3)
    words = shlex.split(command_of(cell, config))
    assert not _beyond_choices(words[1:])
    settings = [value for option, value in pairwise(words) if option == "--set"]
    budget = float(words[words.index("--budgets") + 1])
    again = make_config({"preset": config.preset, "budget": [budget]}, None, settings)
    for name in (*given, "budget"):
        assert getattr(again, name) == getattr(config, name)


def test_the_same_cell_is_found_whatever_the_version_of_the_code(file: Path) -> None:
    record = json.loads(file.read_text())
    newer, other = json.loads(file.read_text()), json.loads(file.read_text())
    newer["id"], newer["spec"]["synth"]["version"] = "0000", "2.0"
    other["spec"]["seed"] = 1
    assert same_cell(record, [other, newer]) is newer
    assert same_cell(record, [newer, record]) is record
    with pytest.raises(StoreError, match="gave no record of its cell"):
        same_cell(record, [other])


def test_a_record_without_a_command_cannot_be_repeated(file: Path) -> None:
    record = json.loads(file.read_text())
    record["provenance"]["command"] = None
    with pytest.raises(StoreError, match="there is nothing to repeat"):
        rerun(record)


@pytest.mark.parametrize(("again", "options", "code"), [(20.0, (), 0), (20.3, (), 1), (20.3, ("--within", "0.5"), 0)])
def test_a_rerun_that_differs_is_an_exit_code(
    file: Path, monkeypatch: pytest.MonkeyPatch, again: float, options: tuple[str, ...], code: int
) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(
        "d3s2bench.upkeep.rerun.rerun", lambda record, more, trusted: asked.append(more) or Rerun(20.0, again)
    )
    found, text = said(file, "--rerun", "--data-root", "tiny=somewhere", *options)
    assert found == code
    assert asked == [["--data-root", "tiny=somewhere"]]
    assert f"mIoU {again:.4f}, {again - 20:+.4f} points" in text
