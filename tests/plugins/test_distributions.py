"""The distributions in ``plugins/``: each is installed as a stranger's would be, passes its own tests and is used."""

from __future__ import annotations

import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest
from overlays import MAIN, d3s2bench_in, fresh_environment, overlay, python
from tiny_dataset import write_tiny_dataset

from d3s2bench.results.records import read_records

pytestmark = pytest.mark.xdist_group("distributions")  # one place serves them all
PLUGINS = sorted((Path(__file__).parents[2] / "plugins").glob("[!.]*/"))
LIBRARIES = {"d3s2bench-wavelet": "pywt", "d3s2bench-tensorboard": "tensorboardX"}
"""Distribution → the module that it brings a dependency for."""
ALL = pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: plugin.name)
BLOCKED = "import sys; sys.modules.update(pywt=None, tensorboardX=None); " + MAIN


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = tmp_path_factory.mktemp("site")
    for plugin in PLUGINS:
        overlay(plugin, site)
    return site


def needs(*names: str) -> None:
    """Skips where a plugin's own library is not installed; the slow test installs it."""
    for name in names:
        if name in LIBRARIES and find_spec(LIBRARIES[name]) is None:
            pytest.skip(f"{LIBRARIES[name]} is not installed: pip install '.[test]'")


def test_there_is_one_of_three_kinds() -> None:
    assert [plugin.name for plugin in PLUGINS] == ["d3s2bench-repeat-factor", *sorted(LIBRARIES)]


@ALL
def test_it_is_complete(plugin: Path) -> None:
    project = tomllib.loads((plugin / "pyproject.toml").read_text())["project"]
    assert project["name"] == plugin.name
    assert any(line.startswith("d3s2bench>=") for line in project["dependencies"])
    assert (plugin / project["readme"]).is_file() and list((plugin / "tests").glob("test_*.py"))


@ALL
def test_it_passes_its_own_tests(site: Path, plugin: Path) -> None:
    needs(plugin.name)
    made = python(site, "-m", "pytest", "-q", "-c", "/dev/null", str(plugin / "tests"))
    assert made.returncode == 0, made.stdout[-3000:]
    assert "skipped" not in made.stdout or "passed" in made.stdout


def test_without_its_library_it_is_a_row_that_says_so(site: Path) -> None:
    made = python(site, "-c", BLOCKED, "plugins")
    rows = {line.split()[2]: line for line in made.stdout.splitlines()}
    for name, library in LIBRARIES.items():
        assert f"missing  {library}; install it" in rows[name]
    assert " ok " in rows["d3s2bench-repeat-factor"]
    refused = python(site, "-c", BLOCKED, "plugins", "check", "wavelet")
    assert refused.returncode == 1
    assert "synthesizer 'wavelet' of d3s2bench-wavelet cannot be used: missing: pywt; install it" in refused.stderr


def test_they_take_part_in_a_run(site: Path, tmp_path: Path) -> None:
    needs(*LIBRARIES)
    write_tiny_dataset(tmp_path / "tiny")
    method = ["--selector", "repeat-factor", "--synth", "wavelet", "--observer", "tensorboard", "--controls", "none"]
    quick = [f"protocol.{key}" for key in ("iterations=2", "converged_iterations=2", "size=[32,24]", "batch_size=2")]
    given = ["--dataset", "tiny", "--data-root", "tiny=tiny", "--rate", "0.2"]
    settings = [word for setting in quick for word in ("--set", setting)]
    made = d3s2bench_in(site, "run", *given, *method, *settings, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    (record,) = read_records(tmp_path / "runs")
    assert record["spec"]["selector"]["options"] == {"threshold": 0.1}
    events = list((tmp_path / "runs" / "tensorboard" / "repeat-factor+wavelet" / record["id"]).iterdir())
    assert len(events) == 1 and events[0].stat().st_size > 1000


@pytest.mark.slow
def test_pip_installs_them_with_what_they_need(tmp_path: Path) -> None:
    fresh = fresh_environment(tmp_path / "env")
    fresh("-m", "pip", "install", "-q", *map(str, PLUGINS))
    assert "missing" not in "".join(line for line in fresh("-c", MAIN, "plugins").splitlines() if "d3s2bench-" in line)
    for plugin in PLUGINS:
        fresh("-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", str(plugin / "tests"))
