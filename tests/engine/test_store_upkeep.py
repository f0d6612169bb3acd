"""Looking after a store: what lies there, whether it is whole, what nothing refers to."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engine_fakes import fake_config, planner_of
from filelock import FileLock
from small_run import by_stage, record_of, small_run
from typer.testing import CliRunner

from d3s2bench import StoreError
from d3s2bench.cli.store import store_app
from d3s2bench.cli.words import age_text, size_text
from d3s2bench.execution.stages import run_stage, write_failure
from d3s2bench.files import load_npz, save_npz, write_json
from d3s2bench.planning.plan import Plan
from d3s2bench.results.records import read_records
from d3s2bench.storage.store import Store
from d3s2bench.upkeep.gc import abandoned, remove, unreferenced
from d3s2bench.upkeep.inventory import artefacts, dataset_names, in_words, partial_artefacts
from d3s2bench.upkeep.verify import verify

Made = Callable[..., Plan]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tiny: Path, out: Path) -> Made:
    return lambda **given: small_run(monkeypatch, tiny, out, **given)


def said(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(store_app, [str(word) for word in arguments], catch_exceptions=False)
    return result.exit_code, result.output


# --- ls --------------------------------------------------------------------------------------------------------------


def test_ls_says_what_everything_is(made: Made, out: Path) -> None:
    made(synth="taught", rate=0.2, **{"options": {"selector": {"first": {"offset": 3}}}})
    found = artefacts(Store(out))
    names = dataset_names(found)
    assert {artefact.stage: in_words(artefact, names) for artefact in found} == {
        "index": "masks of 20 images of tiny/train",
        "teacher": "majority flat trained on tiny/train, 9 iterations",
        "selection": "first(offset=3), 4 of 20 images",
        "distilled": "first(offset=3) + taught of tiny, 4 images, #0",
    }
    code, text = said("ls", out)
    assert code == 0
    for artefact in found:
        assert artefact.key[:12] in text
        assert artefact.bytes == sum(file.stat().st_size for file in artefact.folder.rglob("*") if file.is_file())
        assert 0 <= artefact.age < 60


def test_what_was_given_up_before_it_wrote_anything_is_as_old_as_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "store" / "teacher" / "k.partial"
    (folder / "scratch").mkdir(parents=True)
    os.utime(folder, (0, time.time() - 500))
    (given_up,) = partial_artefacts(Store(tmp_path))
    assert 499 < given_up.age < 600


def test_before_a_cell_is_scored_what_is_finished_is_kept(made: Made, out: Path) -> None:
    made()
    shutil.rmtree(out / "records")
    assert "0 artefacts" in said("gc", out)[1]
    (out / "store" / "teacher" / "x.partial").mkdir(parents=True)
    assert "1 artefacts" in said("gc", out, "--partial")[1]
    with pytest.raises(StoreError, match="holds no records yet: no cell has been scored"):
        list(read_records(out))


def test_what_cannot_be_read_is_listed_all_the_same(made: Made, out: Path) -> None:
    made()
    (by_stage(out)["index"][0].folder / "artefact.json").write_text("{")
    assert "does not say what it is: see 'd3s2bench store verify'" in said("ls", out)[1]


def test_a_folder_without_store_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"holds no store: give the --out folder of a run"):
        said("ls", tmp_path)


# --- verify ----------------------------------------------------------------------------------------------------------


def test_a_whole_store_is_whole(made: Made, out: Path) -> None:
    made(synth="taught")
    code, text = said("verify", out)
    assert (code, text) == (0, "5 of 5 artefacts and records are whole\n")


def swap_masks(folder: Path) -> None:
    first, second = sorted((folder / "annotations").glob("*.png"))[:2]
    first.write_bytes(second.read_bytes())


def other_counts(file: Path) -> None:
    arrays = load_npz(file.with_suffix(".npz"))
    save_npz(file.with_suffix(".npz"), **{name: array + 1 for name, array in arrays.items()})


def other_score(file: Path) -> None:
    record = json.loads(file.read_text())
    record["metrics"]["miou"] += 1
    write_json(file, record)


BROKEN: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "a mask that is another": ("distilled", swap_masks, "000000.png is missing or not the file of the manifest"),
    "an image too many": ("distilled", lambda f: (f / "images/x.png").write_bytes(b""), "is not in the manifest"),
    "no image": ("distilled", lambda f: shutil.rmtree(f / "images"), "is missing or not the file of the manifest"),
    "no manifest": ("distilled", lambda f: (f / "manifest.json").unlink(), "manifest.json is missing"),
    "a strange manifest": ("distilled", lambda f: (f / "manifest.json").write_text("[]"), "TypeError"),
    "a torn preview": ("distilled", lambda f: (f / "preview.png").write_bytes(b"\x89PNG"), "is corrupt or no image"),
    "a torn npz": ("selection", lambda f: (f / "selection.npz").write_bytes(b"PK"), "selection.npz is corrupt"),
    "no npz": ("index", lambda f: (f / "index.npz").unlink(), "index.npz is missing"),
    "torn JSON": ("index", lambda f: (f / "artefact.json").write_text("{"), "is no valid JSON"),
    "another's description": ("index", lambda f: write_json(f / "artefact.json", {"key": 1}), "is that of None 1"),
    "another teacher": ("teacher", lambda f: write_json(f / "teacher.json", {}), "are not those that the sets"),
    "a torn tensor": ("teacher", lambda f: (f / "m.safetensors").write_bytes(b"12345678"), "m.safetensors is corrupt"),
    "other counts": ("record", other_counts, "is missing or not what its record was scored from"),
    "another score": ("record", other_score, "does not follow from its counts"),
    "no record": ("record", lambda f: write_json(f, {"schema": 1}), "is no valid record"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_broken_is_named_alone(made: Made, out: Path, case: str) -> None:
    plan = made(synth="taught")
    stage, spoil, expected = BROKEN[case]
    place = record_of(plan, out)[0] if stage == "record" else by_stage(out)[stage][0].folder
    spoil(place)
    (broken,) = [check for check in verify(out) if check.problem]
    assert broken.place == place
    assert expected in str(broken.problem)
    assert f"delete {'' if stage == 'record' else 'the folder '}{place} and run the command again" in str(
        broken.problem
    )
    code, text = said("verify", out)
    assert code == 1
    assert text.splitlines()[0].startswith(f"broken: {stage} ")
    assert text.endswith("4 of 5 artefacts and records are whole\n")


# --- gc --------------------------------------------------------------------------------------------------------------


def test_what_a_record_was_made_from_is_kept(made: Made, out: Path) -> None:
    made(synth=["taught", "real"], selector=["first", "random"], seed=[0, 1])
    assert unreferenced(out) == []


def test_the_teacher_of_a_control_with_soft_labels_is_kept(made: Made, out: Path) -> None:
    plan = made()
    file, record = record_of(plan, out)
    small = by_stage(out)
    made(synth="taught")  # brings a teacher that is then named by its hash alone
    (teacher,) = by_stage(out)["teacher"]
    from d3s2bench.files import folder_sha256

    record["provenance"]["teacher"] = {"sha256": folder_sha256(teacher.folder), "trained_on": "tiny/train"}
    for other in (out / "records").glob("*"):
        if other.stem != file.stem:
            other.unlink()
    write_json(file, record)
    kept = {artefact.key for found in small.values() for artefact in found} | {teacher.key}
    assert {a.key for a in artefacts(Store(out))} - {a.key for a in unreferenced(out)} == kept


def test_what_only_a_deleted_record_used_goes(made: Made, out: Path) -> None:
    kept_by = made(selector="first")
    before = {artefact.key for artefact in artefacts(Store(out))}
    gone_with = made(selector="random", synth="taught")
    for file in (out / "records").glob(f"{record_of(gone_with, out)[0].stem}.*"):
        file.unlink()
    listed = {artefact.key for artefact in unreferenced(out)}
    assert listed == {node.key for node in gone_with.nodes.values()} - before - set(gone_with.records)

    code, text = said("gc", out)
    assert code == 0
    assert "nothing was removed; add --delete" in text
    assert {artefact.key for artefact in unreferenced(out)} == listed

    code, text = said("gc", out, "--delete")
    assert code == 0
    assert "removed 3 artefacts" in text  # a teacher, a selection, a set
    assert {artefact.key for artefact in artefacts(Store(out))} == before
    assert not list((out / "store").glob("*/.*.removed"))
    assert said("verify", out)[0] == 0
    assert record_of(kept_by, out)[1]["status"] == "ok"


def test_a_record_without_a_number_keeps_what_its_next_run_can_use(made: Made, out: Path, tiny: Path) -> None:
    """Its set is finished and its training failed: gc must not throw the set away."""
    plan = made(selector="random", synth="noisy")
    (record,) = plan.records
    for file in (out / "records").glob("*"):
        file.unlink()
    write_failure(plan.nodes[record], out, "failed", "out of memory")
    assert unreferenced(out) == []
    planner = planner_of(fake_config(tiny, out, selector="first", synth="noisy"))
    for node in planner.matrix().nodes.values():
        if node.stage != "record":
            run_stage(node, planner.workspace, lambda *_: None)
    assert sorted(artefact.stage for artefact in unreferenced(out)) == ["distilled", "selection"]  # of the other method


@pytest.fixture
def littered(made: Made, out: Path) -> Path:
    """A run folder with two artefacts too many and two partial folders."""
    made()
    store = Store(out)
    for key in ("a" * 64, "b" * 64):
        store.produce("distilled", key, lambda folder: {"identity": {}})
        store.path("distilled", f"{key}.partial").mkdir()
    return out


def hold(file: str, held: Any, done: Any) -> None:
    with FileLock(file):
        held.set()
        done.wait(20)


@pytest.fixture
def holding() -> Any:
    """Another process that holds a lock file until the test ends."""
    spawn = multiprocessing.get_context("fork")
    done, processes = spawn.Event(), []

    def start(file: Path) -> None:
        held = spawn.Event()
        processes.append(spawn.Process(target=hold, args=(str(file), held, done)))
        processes[-1].start()
        assert held.wait(20)

    yield start
    done.set()
    for process in processes:
        process.join()


def test_what_another_process_holds_is_kept(littered: Path, holding: Any) -> None:
    holding(littered / "store" / "distilled" / f".{'a' * 64}.lock")
    gone, held = remove(littered, [*unreferenced(littered), *abandoned(littered)])
    assert [each.folder.name for each in held] == ["a" * 64]
    assert [each.folder.name for each in gone] == ["b" * 64, f"{'b' * 64}.partial"]
    assert (littered / "store" / "distilled" / f"{'a' * 64}.partial").is_dir()


def test_beside_a_run_at_work_nothing_is_removed(littered: Path, holding: Any) -> None:
    holding(littered / "store" / ".run-here-17-0.lock")
    with pytest.raises(StoreError, match=r"a run is at work in .*runs \(here-17\): wait until it has ended"):
        said("gc", littered, "--delete")
    assert len(unreferenced(littered)) == 2


def test_unfinished_folders_go_only_when_asked(littered: Path) -> None:
    (littered / "store" / ".run-here-17-0.lock").touch()  # of a run that was killed
    assert "removed 2 artefacts" in said("gc", littered, "--delete")[1]
    assert len(abandoned(littered)) == 2
    assert "removed 2 artefacts" in said("gc", littered, "--delete", "--partial")[1]
    assert abandoned(littered) == []


def test_a_removal_that_was_killed_is_ended_by_the_next(littered: Path) -> None:
    left = littered / "store" / "distilled" / ".0123.removed"
    left.mkdir()
    remove(littered, [])
    assert not left.exists()


def test_a_record_that_cannot_be_read_stops_it(made: Made, out: Path) -> None:
    """It might refer to anything."""
    record_of(made(), out)[0].write_text("{")
    with pytest.raises(StoreError):
        said("gc", out, "--delete")
    assert len(artefacts(Store(out))) == 3


def test_sizes_and_ages_are_told_in_units() -> None:
    assert [size_text(n) for n in (0, 999, 1000, 2_500_000, 3 * 10**12)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "2.5 MB",
        "3.0 TB",
    ]
    assert [age_text(s) for s in (5, 59.4, 120, 7200, 200000)] == [
        "5 s ago",
        "59 s ago",
        "2 min ago",
        "2 h ago",
        "2 d ago",
    ]
