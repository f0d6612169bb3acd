"""What ``d3s2bench plugins new`` writes passes its own tests at once, and takes part in a run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from overlays import MAIN, d3s2bench_in, fresh_environment, overlay, python

from d3s2bench import PluginError, UnknownNameError
from d3s2bench.config import make_config, parse_assignments
from d3s2bench.results.records import read_records
from d3s2bench.template import SUMMARIES, write_distribution

pytestmark = pytest.mark.xdist_group("template")  # one place serves them all
KINDS = tuple(SUMMARIES)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A distribution of each kind, all of them installed in ``site``."""
    place = tmp_path_factory.mktemp("new")
    for kind in KINDS:
        made = d3s2bench_in(place / "none", "plugins", "new", f"my-{kind}", "--kind", kind, "--into", str(place))
        assert made.returncode == 0, made.stderr
    (place / "site").mkdir()
    for kind in KINDS:
        overlay(place / f"my-{kind}", place / "site")
    return place


def test_each_kind_passes_its_own_tests(place: Path) -> None:
    tests = [str(place / f"my-{kind}" / "tests") for kind in KINDS]
    made = python(place / "site", "-m", "pytest", "-v", "-c", "/dev/null", *tests)
    assert made.returncode == 0, made.stdout[-3000:]
    for kind in KINDS:
        lines = [line for line in made.stdout.splitlines() if f"test_my_{kind}.py::" in line]
        assert sum("PASSED" in line for line in lines) >= 5, f"{kind}: {lines}"


def test_each_is_a_healthy_row(place: Path) -> None:
    made = d3s2bench_in(place / "site", "plugins", "--strict-plugins")
    assert made.returncode == 0, made.stderr
    for kind in KINDS:
        assert any(line.split()[:3] == [kind, f"my-{kind}", f"my-{kind}"] for line in made.stdout.splitlines())


def test_all_of_them_make_a_run(place: Path) -> None:
    """Dataset, selector, synthesizer, evaluator, observer and renderer of seven strangers."""
    mine = [word for kind in ("dataset", "selector", "evaluator", "observer") for word in (f"--{kind}", f"my-{kind}")]
    given = [*mine, "--synth", "my-synthesizer", "--arch", "colours", "--rate", "0.1", "--controls", "none"]
    made = d3s2bench_in(place / "site", "run", *given, cwd=place)
    assert made.returncode == 0, made.stderr
    (record,) = read_records(place / "runs")
    assert record["spec"]["synth"] == {
        "name": "my-synthesizer",
        "options": {"strength": 8.0},
        "changed": [],
        "version": "0.1.0",
    }
    assert record["metrics"]["miou"] > 90  # its colours are easily told apart
    assert (place / "runs" / "my-observer" / f"{record['id']}.json").is_file()
    table = d3s2bench_in(place / "site", "leaderboard", "runs", "--format", "my-renderer", cwd=place)
    assert table.stdout == f"my-selector+my-synthesizer colours #0: {record['metrics']['miou']:.2f}\n"


def test_the_generator_paints(place: Path) -> None:
    given = ["--dataset", "my-dataset", "--synth", "layout", "--rate", "0.05", "--set", "synth.layout.steps=2"]
    family = ["--set", "generator_family=my-generator", "--train-missing", "--out", "painted"]
    made = d3s2bench_in(place / "site", "distill", *given, *family, cwd=place)
    assert made.returncode == 0, made.stderr
    assert len(list((place / made.stdout.strip()).glob("images/*.png"))) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_the_readme_says_how_its_options_are_set(place: Path, kind: str) -> None:
    (command,) = re.findall(r"Its options: `d3s2bench (.+)`\.", (place / f"my-{kind}" / "README.md").read_text())
    assignment = command.split(" --set ")[1]
    assert f"a{'n' * (kind[0] in 'aeio')} {kind} for d3s2bench" in (place / f"my-{kind}" / "README.md").read_text()
    if kind == "renderer":
        assert parse_assignments([assignment]) == {"OPTION": "VALUE"}
    else:
        (named,) = make_config({}, None, [assignment]).options.values()
        assert named == {f"my-{kind}": {"OPTION": "VALUE"}}


@pytest.mark.parametrize("kind", KINDS)
def test_the_code_is_in_good_style(place: Path, kind: str) -> None:
    ruff = Path(sys.executable).with_name("ruff")
    if not ruff.exists():
        pytest.skip("ruff is not installed: pip install '.[test]'")
    for command in (["check", "--select", "E,F,I,B,UP,SIM"], ["format", "--check"]):
        made = subprocess.run([ruff, *command, "."], cwd=place / f"my-{kind}", capture_output=True, text=True)
        assert made.returncode == 0, made.stdout


@pytest.mark.parametrize(
    ("name", "kind", "error", "message"),
    [
        ("my-selector", "selectr", UnknownNameError, "did you mean 'selector'"),
        ("My Selector", "selector", PluginError, "use small letters, digits and hyphens"),
        ("random", "selector", PluginError, "the module random exists already"),
        ("k-center", "selector", PluginError, "selector 'k-center' exists already"),
        ("taken", "selector", PluginError, "is there already"),
    ],
)
def test_names_that_do_not_do(tmp_path: Path, name: str, kind: str, error: type[Exception], message: str) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(error, match=message):
        write_distribution(name, kind, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["taken"]


@pytest.mark.slow
def test_it_installs_into_a_fresh_environment(tmp_path: Path) -> None:
    """With pip and its build, beside an engine that is installed; the heavy libraries are those of this one."""
    folder = write_distribution("my-selector", "selector", tmp_path)
    fresh = fresh_environment(tmp_path / "env")
    fresh("-m", "pip", "install", "-q", "--no-deps", str(folder))
    assert "my-selector" in fresh("-c", MAIN, "plugins")
    fresh("-m", "pytest", "-q", str(folder / "tests"))
