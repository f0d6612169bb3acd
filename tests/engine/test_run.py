"""The main job through the real command line, on a tiny dataset with a tiny generator and teacher."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_dataset import write_tiny_dataset

from d3s2bench import ConfigError, StoreError, run
from d3s2bench.api import train
from d3s2bench.config import make_config
from d3s2bench.files import folder_sha256
from d3s2bench.results.records import read_records, recomputed_miou

pytestmark = pytest.mark.xdist_group("run")  # one finished run serves them all

TINY_RUN = [
    *("--dataset", "tiny", "--rate", "0.2"),
    *("--set", "protocol.iterations=12", "--set", "protocol.converged_iterations=20"),
    *("--set", "protocol.size=[32,24]", "--set", "protocol.batch_size=4"),
    *("--set", "generator.pixel.iterations=6", "--set", "generator.pixel.long_side=32"),
    *("--set", "synth.guided.steps=3", "--set", "synth.layout.steps=3"),
]
"""Numbers without meaning, the whole machinery with it."""


def d3s2bench(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    command = [sys.executable, "-P", "-c", "from d3s2bench.cli.app import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | (env or {}))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``tiny`` and, in ``runs``, a finished guided run of it with all controls."""
    place = tmp_path_factory.mktemp("run")
    write_tiny_dataset(place / "tiny")
    made = d3s2bench("run", *where(place), *TINY_RUN, "--train-missing", "--controls", "all")
    assert made.returncode == 0, made.stderr
    (place / "table.md").write_text(made.stdout)
    return place


def where(place: Path) -> list[str]:
    return ["--data-root", f"tiny={place / 'tiny'}", "--out", str(place / "runs")]


def methods(place: Path) -> set[tuple[str, str, str, int]]:
    specs = [record["spec"] for record in read_records(place / "runs")]
    return {
        (s["selector"]["name"], s["synth"]["name"], s["evaluator"]["options"]["labels"], s["protocol"]["iterations"])
        for s in specs
    }


def test_the_controls_come_by_themselves(finished: Path) -> None:
    assert methods(finished) == {
        ("balanced", "guided", "hard", 12),
        ("random", "real", "hard", 12),
        ("balanced", "real", "hard", 12),
        ("balanced", "real", "soft", 12),
        ("balanced", "layout", "hard", 12),
        ("full", "real", "hard", 12),
        ("full", "real", "hard", 20),
    }


def test_the_table_names_every_method(finished: Path) -> None:
    table = (finished / "table.md").read_text()
    for word in ("guided", "layout", "random", "full", "soft", "tiny"):
        assert word in table


def test_every_score_follows_from_its_counts(finished: Path) -> None:
    for record in read_records(finished / "runs"):
        file = finished / "runs" / "records" / f"{record['id']}.json"
        assert recomputed_miou(file) == record["metrics"]["miou"]
        with np.load(file.with_suffix(".npz")) as counts:
            assert counts["per_image"].sum(axis=0).tolist() == counts["total"].tolist()
            assert counts["per_image"].dtype == np.int64
            assert counts["total"].sum() == 6 * (32 * 24 - 4)  # all test pixels but the ignored corners


def test_the_distilled_set_is_complete(finished: Path) -> None:
    manifests = [json.loads(file.read_text()) for file in (finished / "runs/store/distilled").glob("*/manifest.json")]
    guided = next(m for m in manifests if m["synth"]["name"] == "guided")
    assert len(guided["samples"]) == guided["budget"]["images"] == 4
    for sample in guided["samples"]:
        assert set(sample["sha256"]) == {"images", "annotations"}
        assert len(sample["sources"]) == 1
        assert 0 <= sample["nearest_train"]["index"] < 20
    assert guided["teacher"]["trained_on"] == guided["generator"]["trained_on"] == "tiny/train"
    for folder in (finished / "runs/store/distilled").iterdir():
        if folder.is_dir():
            assert (folder / "preview.png").exists()


def test_running_again_does_nothing_and_prints_the_same(finished: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in (finished / "runs").rglob("*.json")}
    again = d3s2bench("run", *where(finished), *TINY_RUN, "--train-missing", "--controls", "all")
    assert again.stdout == (finished / "table.md").read_text()
    assert {file: file.stat().st_mtime_ns for file in (finished / "runs").rglob("*.json")} == before


def test_dry_run_reports_what_is_reused(finished: Path) -> None:
    plan = d3s2bench("run", *where(finished), *TINY_RUN, "--dry-run", "--seeds", "2").stdout
    rows = {line.split()[0]: [int(n) for n in line.split()[1:]] for line in plan.split("\n\n")[0].splitlines()[1:]}
    assert rows["selection"] == [3, 2, 1]  # balanced is deterministic: one for both repetitions
    assert rows["distilled"] == [5, 3, 2]  # balanced+real once; guided and random+real per repetition


def test_evaluate_scores_a_set_made_elsewhere_like_our_own(finished: Path, tmp_path: Path) -> None:
    ours = next(
        file.parent
        for file in (finished / "runs/store/distilled").glob("*/manifest.json")
        if json.loads(file.read_text())["synth"]["name"] == "guided"
    )
    foreign = tmp_path / "foreign"
    for part in ("images", "annotations"):
        (foreign / part).mkdir(parents=True)
        for file in (ours / part).iterdir():
            (foreign / part / file.name).write_bytes(file.read_bytes())
    options = [*where(finished)[:2], "--out", str(tmp_path / "runs"), *TINY_RUN[:2], *TINY_RUN[4:12]]
    made = d3s2bench("evaluate", str(foreign), *options)
    assert made.returncode == 0, made.stderr
    (record,) = read_records(tmp_path / "runs")
    expected = next(r for r in read_records(finished / "runs") if r["spec"]["synth"]["name"] == "guided")
    assert record["metrics"] == expected["metrics"]
    assert record["provenance"]["teacher"] is None

    (foreign / "manifest.json").write_bytes((ours / "manifest.json").read_bytes())
    (foreign / "artefact.json").write_text('{"budget": {"images": 99}}')  # the store's own file: not to be believed
    made = d3s2bench("evaluate", str(foreign), *options)
    assert made.returncode == 0, made.stderr
    record = next(r for r in read_records(tmp_path / "runs") if r["spec"]["synth"]["name"] == "guided")
    assert record["budget"] == expected["budget"]
    for told in ("teacher", "generator", "nearest_train"):
        assert record["provenance"][told] == expected["provenance"][told]


def test_distill_makes_the_set_and_no_record(finished: Path, tmp_path: Path) -> None:
    options = ["--data-root", f"tiny={finished / 'tiny'}", "--out", str(tmp_path / "runs"), *TINY_RUN]
    made = d3s2bench("distill", *options, "--selector", "random", "--synth", "real")
    assert made.returncode == 0, made.stderr
    assert len(list((Path(made.stdout.strip()) / "images").glob("*.png"))) == 4
    assert not list((tmp_path / "runs/records").iterdir())


def test_leaderboard_in_both_formats(finished: Path, tmp_path: Path) -> None:
    assert "guided" in d3s2bench("leaderboard", str(finished / "runs")).stdout
    file = tmp_path / "table.csv"
    d3s2bench("leaderboard", str(finished / "runs"), "--format", "csv", "--out", str(file))
    assert file.read_text().count("\n") == 8  # a header and seven methods


def test_the_python_function_gives_the_same_numbers(finished: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"  # without a __main__ guard: workers never import the caller's script
    script.write_text(
        "import json\nfrom d3s2bench import run\n"
        f"result = run(dataset='tiny', data_root={{'tiny': {str(finished / 'tiny')!r}}}, rate=0.2, synth='real',\n"
        f"    out={str(tmp_path / 'runs')!r}, controls='none', protocol={{'iterations': 12,\n"
        "    'converged_iterations': 20, 'size': [32, 24], 'batch_size': 4})\n"
        "print(json.dumps([r['metrics']['miou'] for r in result.records]))\n"
    )
    made = subprocess.run([sys.executable, "-P", str(script)], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    expected = [
        record["metrics"]["miou"]
        for record in read_records(finished / "runs")
        if record["spec"]["selector"]["name"] == "balanced"
        and record["spec"]["synth"]["name"] == "real"
        and record["spec"]["evaluator"]["options"]["labels"] == "hard"
    ]
    assert json.loads(made.stdout) == expected


def test_a_config_and_its_fields_are_not_mixed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="both a config and seed, rate are given"):
        run(make_config({"out": str(tmp_path)}), seed=[1], rate=[0.1])


def test_a_model_is_saved_to_one_folder_that_is_empty(tiny: Path, tmp_path: Path) -> None:
    given = {"out": str(tmp_path / "runs"), "data_root": {"tiny": str(tiny)}}
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "model.safetensors").touch()
    with pytest.raises(StoreError, match=r"models is not empty: .* give another --save"):
        train("teacher", make_config({**given, "dataset": ["tiny"]}), save=tmp_path / "models")
    with pytest.raises(ConfigError, match="is one folder for tiny, scenes: train one dataset at a time"):
        train("teacher", make_config({**given, "dataset": ["tiny", "scenes"]}), save=tmp_path / "new")


def test_the_same_command_saves_a_model_again(tiny: Path, tmp_path: Path) -> None:
    given = {"out": str(tmp_path / "runs"), "data_root": {"tiny": str(tiny)}, "dataset": ["tiny"]}
    config = make_config({**given, "teacher_protocol": {"converged_iterations": 2}})
    for _ in range(2):
        (made,) = train("teacher", config, save=tmp_path / "models")
    assert folder_sha256(made) == folder_sha256(tmp_path / "models")
    (tmp_path / "models" / "more").touch()
    with pytest.raises(StoreError, match=r"models is not empty"):
        train("teacher", config, save=tmp_path / "models")


def test_two_runs_on_one_folder_share_the_work(finished: Path, tmp_path: Path) -> None:
    options = ["--data-root", f"tiny={finished / 'tiny'}", "--out", str(tmp_path), *TINY_RUN, "--synth", "real"]
    command = [sys.executable, "-P", "-c", "from d3s2bench.cli.app import main; main()", "run", *options]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    tables = [run.communicate()[0] for run in both]
    assert [run.returncode for run in both] == [0, 0]
    assert tables[0] == tables[1]
    assert len(list((tmp_path / "records").glob("*.json"))) == 4
    assert not list((tmp_path / "store").rglob("*.partial"))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--rate", "0.001"], "gives 0 images"),
        (["--rate", "1.5"], "out of range"),
        (["--selector", "balancd"], "did you mean 'balanced'"),
        (["--arch", "unett"], "did you mean 'unet'"),
        (["--dataset", "tinny"], "unknown dataset 'tinny'"),
        (["--set", "synth.guided.scal=2"], "did you mean 'scale'"),
        (["--set", "protocol.iteration=2"], "did you mean 'iterations'"),
        (["--set", "sed=2"], "did you mean 'seed'"),
        (["--preset", "smok"], "did you mean 'smoke'"),
        (["--data-root", "tiny=/nowhere"], "there is no folder"),
        (["--dataset", "scenes", "--data-root", "scenes=/"], "dataset 'scenes' reads no files"),
        (["--device", "cuda:99"], "device 'cuda:99' cannot be used"),
        (["--out", "/proc/nowhere"], "give another --out"),
        (["--synth", "guided"], "d3s2bench train"),
    ],
)
def test_bad_input_is_one_line(tiny: Path, tmp_path: Path, arguments: list[str], expected: str) -> None:
    base = ["run", "--data-root", f"tiny={tiny}", "--out", str(tmp_path / "runs"), "--dataset", "tiny", "--rate", "0.2"]
    if arguments[0] == "--rate":
        base = base[:-2]
    made = d3s2bench(*base, *(["--synth", "real"] if "--synth" not in arguments else []), *arguments)
    assert made.returncode != 0
    assert expected in made.stderr
    assert "Traceback" not in made.stderr
    assert len(made.stderr.strip().splitlines()) == 1


def test_a_corrupt_image_fails_its_cells_alone(tiny: Path, tmp_path: Path) -> None:
    broken = tiny / "images/train/000.png"
    broken.write_bytes(broken.read_bytes()[:100])
    options = ["--data-root", f"tiny={tiny}", "--out", str(tmp_path / "runs"), *TINY_RUN, "--set", "size=[32,24]"]
    made = d3s2bench("run", *options, "--synth", "real", "--rate", "0.05")
    assert made.returncode == 1
    assert str(broken) in made.stderr
    assert "Traceback" not in made.stderr
    by_status = {record["status"] for record in read_records(tmp_path / "runs")}
    assert by_status == {"ok", "failed", "skipped"}  # the full set fails itself, its sets are never made or are fine
