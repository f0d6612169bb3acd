"""Fifty plugins, five of them broken: the healthy ones work, the commands stay quick."""

from __future__ import annotations

import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
from overlays import d3s2bench_in, python

pytestmark = pytest.mark.xdist_group("many")
BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "startup.py"
REASONS = {
    "import_error": "broken: ImportError: cannot import name 'no_such_name'",
    "wrong_signature": "broken: PluginValidationError: ",
    "duplicate_name": "broken: the name is taken by d3s2bench; rename it",
    "missing_dependency": "broken: ModuleNotFoundError: No module named 'no_such_library'; install no_such_library, ",
    "too_old": "broken: PluginError: it is made for plugin API 0, this d3s2bench has 1; update too_old or d3s2bench, ",
}


@pytest.fixture(scope="module")
def startup() -> ModuleType:
    spec = spec_from_file_location("startup", BENCHMARK)
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(startup: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = tmp_path_factory.mktemp("many")
    assert len(startup.install(site, 50)) == 45
    return site


def test_each_broken_one_is_a_row_with_reason_and_remedy(site: Path) -> None:
    rows = json.loads(d3s2bench_in(site, "plugins", "--json").stdout)
    status = {row["package"]: row["status"] for row in rows}
    assert len([name for name in status if name.startswith("many_") and status[name] == "ok"]) == 45
    for name, reason in REASONS.items():
        assert status[name].startswith(reason)
        assert status[name].endswith(f"hide it with D3S2BENCH_DISABLE_PLUGINS={name}")


def test_a_healthy_one_works(site: Path) -> None:
    checked = d3s2bench_in(site, "plugins", "check", "many_07")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "0 broken" in checked.stdout


def test_help_loads_no_plugin(site: Path) -> None:
    code = "import sys, atexit; from d3s2bench.cli.app import main; atexit.register(lambda: print(sorted(sys.modules)))"
    made = python(site, "-c", f"{code}; main()", "--help").stdout
    assert "'typer'" in made
    assert all(f"'{name}'" not in made for name in ("many_00", "pluggy", "importlib.metadata", "d3s2bench.discovery"))


@pytest.mark.slow
def test_the_commands_are_quick(startup: ModuleType, site: Path) -> None:
    """The aim is 2 × the time of importing typer, ``benchmarks/startup.py --plugins 50`` measures it; here a busy
    machine is no failure."""
    seconds = startup.measure(site, rounds=5)
    base = seconds["python -c 'import typer'"]
    assert seconds["d3s2bench --help"] < 2 * base
    assert seconds["d3s2bench plugins"] < 3 * base
