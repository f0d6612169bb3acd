"""Discovery through entry points: every plugin alone, a broken one is a row that says why."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from engine_fakes import distribution, environment

from d3s2bench import Component, ConfigError, PluginError
from d3s2bench.plugins import Registered, Registry, configure, options_of

HEAD = "from d3s2bench import Component, hookimpl\n@hookimpl\ndef register_selectors():\n    return "
HEALTHY = (
    HEAD + "[Component('selector', 'mine', 'healthy:Mine', 'A healthy one')]\nclass Mine:\n    deterministic = True\n"
)
PLUGINS = {
    "healthy": (HEALTHY, "ok"),
    "importless": ("import no_such_module_anywhere\n", "broken: ModuleNotFoundError: No module named 'no_such_module"),
    "multiline": ("raise RuntimeError('one\\ntwo')\n", "broken: RuntimeError: one two"),
    "quits": ("raise SystemExit('bye')\n", "broken: SystemExit: bye"),
    "silent": ("raise ValueError\n", "broken: ValueError: no message"),
    "syntax": ("def\n", "broken: SyntaxError: "),
    "misspelt": (
        HEAD.replace("register_selectors", "register_selectrs") + "[]\n",
        "broken: PluginValidationError: unknown hook 'register_selectrs'",
    ),
    "signature": (HEAD.replace("()", "(extra)", 1) + "[]\n", "broken: PluginValidationError: "),
    "raising": (HEAD + "1 / 0\n", "broken: ZeroDivisionError: division by zero"),
    "alone": (HEAD + "Component('selector', 'alone', 'alone:A', '')\n", "broken: TypeError: "),
    "noclass": (HEAD + "['selector']\n", "broken: PluginError: 'selector' is no Component of a known kind"),
    "kindless": (HEAD + "[Component('selectr', 'kindless', 'kindless:A', '')]\n", "broken: PluginError: "),
    "twin": (HEAD + "[Component('selector', 'random', 'twin:A', '')]\n", "broken: the name is taken by d3s2bench"),
    "needy": (
        HEAD + "[Component('selector', 'needy', 'needy:A', '', ('no_such_lib', 'json'))]\n",
        "missing: no_such_lib; install it",
    ),
    "old": (
        "d3s2bench_api = 0\n" + HEALTHY,
        "broken: PluginError: it is made for plugin API 0, this d3s2bench has 1;",
    ),
    "disabled": ("raise SystemExit('it was run')\n", "disabled by D3S2BENCH_DISABLE_PLUGINS"),
    "lazy": (HEAD + "[Component('selector', 'lazy', 'no_such_module:A', '')]\n", "ok"),
}
"""Module → its source and the beginning of the status of its row."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of them installed side by side, and one whose metadata lacks its name."""
    site = tmp_path_factory.mktemp("site")
    for name, (source, _) in PLUGINS.items():
        distribution(site, name, source)
    distribution(site, "nameless", HEALTHY.replace("mine", "nameless"))
    (site / "nameless-1.0.dist-info" / "METADATA").unlink()
    return site


def python(site: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-c", code, *arguments]
    hidden = {"D3S2BENCH_DISABLE_PLUGINS": "disabled, not-there"}
    return subprocess.run(command, capture_output=True, text=True, env=environment(site) | hidden)


@pytest.fixture(scope="module")
def rows(site: Path) -> list[dict[str, str]]:
    """What ``d3s2bench plugins --json`` prints with all of them installed."""
    made = python(site, "from d3s2bench.cli.app import main; main()", "plugins", "--json")
    assert made.returncode == 0, made.stderr
    assert made.stderr == ""
    found: list[dict[str, str]] = json.loads(made.stdout)
    return found


@pytest.mark.parametrize("name", PLUGINS)
def test_each_plugin_is_one_row_that_says_how_it_is(rows: list[dict[str, str]], name: str) -> None:
    (row,) = [row for row in rows if row["package"] == name]
    assert row["status"].startswith(PLUGINS[name][1])
    assert row["version"] == "1.0"
    assert "\n" not in row["status"]


def test_a_wrong_signature_names_the_argument(rows: list[dict[str, str]]) -> None:
    (status,) = [row["status"] for row in rows if row["package"] == "signature"]
    assert "extra" in status


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("importless", "; install no_such_module_anywhere, or hide it with D3S2BENCH_DISABLE_PLUGINS=importless"),
        ("signature", "; update signature or d3s2bench, or hide it with D3S2BENCH_DISABLE_PLUGINS=signature"),
        ("misspelt", "; did you mean 'register_selectors'? (or hide it with D3S2BENCH_DISABLE_PLUGINS=misspelt)"),
        ("alone", "; return a list of components (or hide it with D3S2BENCH_DISABLE_PLUGINS=alone)"),
        ("twin", "; rename it, uninstall one, or hide it with D3S2BENCH_DISABLE_PLUGINS=twin"),
    ],
)
def test_a_broken_one_says_what_to_do(rows: list[dict[str, str]], name: str, remedy: str) -> None:
    (status,) = [row["status"] for row in rows if row["package"] == name]
    assert status.endswith(remedy)


def test_a_missing_library_names_the_smallest_extra_that_brings_it(tmp_path: Path) -> None:
    distribution(tmp_path, "choosy", HEAD + "[Component('selector', 'choosy', 'choosy:A', '', ('no_such_lib',))]\n")
    brought = {"all": "no-such-lib", "dev": "No.Such_Lib>=1", "other": "another"}
    lines = [f'Requires-Dist: {name}; extra == "{extra}"\n' for extra, name in brought.items()]
    (tmp_path / "choosy-1.0.dist-info" / "METADATA").open("a").writelines(
        [*lines, "Requires-Dist: pytest>=8; extra == 'all'\n", "Requires-Dist: numpy\n"]
    )
    found = json.loads(python(tmp_path, "from d3s2bench.cli.app import main; main()", "plugins", "--json").stdout)
    (row,) = [row for row in found if row["package"] == "choosy"]
    assert row["status"] == "missing: no_such_lib; pip install 'choosy[dev]'"


def test_our_own_components_work_beside_broken_ones(rows: list[dict[str, str]]) -> None:
    ours = {(row["kind"], row["name"]) for row in rows if row["package"] == "d3s2bench" and row["status"] == "ok"}
    assert {("selector", "random"), ("selector", "balanced"), ("dataset", "folder"), ("synthesizer", "real")} <= ours


def test_a_distribution_without_metadata_still_counts(rows: list[dict[str, str]]) -> None:
    assert {"ok"} == {row["status"] for row in rows if row["name"] == "nameless"}


def test_every_row_has_the_documented_keys(rows: list[dict[str, str]]) -> None:
    for row in rows:
        assert set(row) == {"kind", "name", "summary", "package", "version", "status"}
        assert all(isinstance(value, str) for value in row.values())


def test_the_table_lists_the_same(site: Path, rows: list[dict[str, str]]) -> None:
    table = python(site, "from d3s2bench.cli.app import main; main()", "plugins").stdout.splitlines()
    assert table[0].split()[:2] == ["KIND", "NAME"]
    assert len(table) == len(rows) + 1
    for row in rows:
        status, _, reason = row["status"].partition(": ")
        assert any(all(word in line for word in (row["name"], status, reason or row["summary"])) for line in table)


USE = """
import json, sys
from d3s2bench.errors import D3S2Error
from d3s2bench.plugins import registry
said = {}
for name in ("mine", "needy", "lazy", "importless", "twin", "minee"):
    try:
        said[name] = registry().create("selector", name).__class__.__name__
    except D3S2Error as error:
        said[name] = f"{type(error).__name__}: {error}"
said["random"] = registry().find("selector", "random").package
print(json.dumps(said))
"""


def test_what_using_each_says(site: Path) -> None:
    said = json.loads(python(site, USE).stdout)
    assert said["mine"] == "Mine"
    assert said["random"] == "d3s2bench"
    assert "PluginError: selector 'needy' of needy cannot be used: missing: no_such_lib; install it" in said["needy"]
    assert "PluginError: selector 'lazy' of lazy does not import: ModuleNotFoundError" in said["lazy"]
    assert "PluginError: selector 'importless' of importless cannot be used: broken" in said["importless"]
    assert said["minee"] == "UnknownNameError: unknown selector 'minee': did you mean 'mine'?"


def test_all_third_parties_can_be_hidden(site: Path) -> None:
    code = "import os; os.environ['D3S2BENCH_DISABLE_PLUGINS'] = 'all'\n" + USE
    assert "unknown selector 'mine'" in json.loads(python(site, code).stdout)["mine"]
    code = code[: code.index(USE)] + "from d3s2bench.cli.app import main; main()"
    rows = json.loads(python(site, code, "plugins", "--json").stdout)
    assert {row["status"] for row in rows if row["package"] != "d3s2bench"} == {"disabled by D3S2BENCH_DISABLE_PLUGINS"}
    assert all(row["status"].startswith(("ok", "missing")) for row in rows if row["package"] == "d3s2bench")


@pytest.mark.parametrize("command", [("plugins",), ("run", "--dry-run")])
def test_strict_stops_at_a_broken_one(site: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    code = f"import os; os.chdir({str(tmp_path)!r}); from d3s2bench.cli.app import main; main()"
    made = python(site, code, *command, "--strict-plugins")
    assert made.returncode == 1
    assert made.stderr.startswith("error: --strict-plugins: ")
    assert "importless of importless is broken: ModuleNotFoundError" in made.stderr
    assert "needy" not in made.stderr  # what lacks a library is not broken
    assert not (tmp_path / "runs").exists()


def test_listing_imports_nothing_heavy(tmp_path: Path) -> None:
    code = """
import sys
from d3s2bench.cli.app import main
try:
    main()
except SystemExit:
    pass
print(sorted({"torch", "diffusers", "transformers", "pandas", "wandb"} & set(sys.modules)), file=sys.stderr)
"""
    assert python(tmp_path, code, "plugins", "--json").stderr.strip() == "[]"
    assert python(tmp_path, code, "run", "--help").stderr.strip() == "[]"


def test_planning_imports_nothing_heavy(tiny: Path, tmp_path: Path) -> None:
    code = """
import sys
from d3s2bench import api
from d3s2bench.config import make_config
config = make_config({"dataset": "tiny", "data_root": {"tiny": sys.argv[1]}, "rate": 0.2, "train_missing": True})
plan, _ = api.plan(config)
assert len(plan.records) == 5, plan.records
print(sorted({"torch", "diffusers", "transformers", "pandas", "wandb"} & set(sys.modules)))
"""
    assert python(tmp_path, f"import os; os.chdir({str(tmp_path)!r})\n{code}", str(tiny)).stdout.strip() == "[]"


# --- identity --------------------------------------------------------------------------------------------------------


def identity_of(source: str, place: Path, monkeypatch: pytest.MonkeyPatch, local: bool = True) -> str:
    """The identity of a component whose package has this source."""
    from d3s2bench.code_identity import code_hash

    package = place / "hashed_package"
    package.mkdir(exist_ok=True)
    (package / "__init__.py").write_text("")
    (package / "part.py").write_text(source)
    monkeypatch.syspath_prepend(str(place))
    code_hash.cache_clear()
    return Registered(Component("selector", "s", "hashed_package.part:S", ""), "p", "1.0", local=local).identity


def test_a_local_install_is_identified_by_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = identity_of("a = 1", tmp_path, monkeypatch)
    assert first == identity_of("a = 1", tmp_path, monkeypatch)
    assert first != identity_of("a = 2", tmp_path, monkeypatch)
    assert first.startswith("1.0+")


def test_an_installed_release_is_identified_by_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert identity_of("a = 1", tmp_path, monkeypatch, local=False) == "1.0"


# --- the registry by hand --------------------------------------------------------------------------------------------


def entry(name: str, package: str = "p", status: str = "ok", kind: str = "selector") -> Registered:
    return Registered(Component(kind, name, "json:JSONDecoder", ""), package, "1", status)


def test_the_first_of_two_equal_names_wins() -> None:
    registry = Registry([entry("a", "one"), entry("a", "two"), entry("a", "one", kind="renderer")])
    assert registry.find("selector", "a").package == "one"
    assert [row.status.partition(";")[0] for row in registry.rows] == ["ok", "broken: the name is taken by one", "ok"]


def test_names_are_sorted_by_kind() -> None:
    registry = Registry([entry("b"), entry("a"), entry("c", kind="renderer"), entry("d", status="broken: x")])
    assert registry.names("selector") == ("a", "b")


def test_a_class_that_is_not_there_is_a_plugin_error() -> None:
    registry = Registry([Registered(Component("selector", "a", "json:NoSuchClass", ""), "p", "1")])
    with pytest.raises(PluginError, match="selector 'a' of p does not import: AttributeError"):
        registry.load("selector", "a")


# --- options ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Options:
    """One of each type that an option may have."""

    scale: float = 1.0
    steps: int = 10
    mode: str = "fast"
    flip: bool = False
    size: tuple[int, int] = (4, 3)
    layers: tuple[str, ...] = ()
    best: int | None = None
    table: dict[str, float] = field(default_factory=dict)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, Options()),
        ({"scale": 2}, Options(scale=2.0)),
        ({"size": [8, 6], "layers": ["a", "b"]}, Options(size=(8, 6), layers=("a", "b"))),
        ({"best": 3, "flip": True}, Options(best=3, flip=True)),
        ({"best": None}, Options(best=None)),
        ({"table": {"a": 1.5}}, Options(table={"a": 1.5})),
    ],
)
def test_options_are_taken(options: dict[str, Any], expected: Options) -> None:
    assert configure(Options, "synth 'x'", options) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scal": 2}, "unknown option of synth 'x' 'scal': did you mean 'scale'"),
        ({"scale": "large"}, "option 'scale' of synth 'x' is 'large': it could not be converted to Float; give float"),
        ({"steps": 1.5}, "could not be converted to Integer"),
        ({"steps": None}, "Incompatible value 'None' for field of type 'int'|not Optional"),
        ({"flip": "perhaps"}, "not a valid bool"),
        (
            {"layers": "a"},
            r"option 'layers' of synth 'x' is 'a': .*; give tuple\[str, \.\.\.\], in brackets as \[a,b\]",
        ),
        ({"steps": 2, "size": ["a", 2]}, r"option 'size' of synth 'x' is \['a', 2\]: it could not be converted to Int"),
        ({"size": {"a": 1}}, "option 'size' of synth 'x' is {'a': 1}: "),
    ],
)
def test_wrong_options_are_refused_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        configure(Options, "synth 'x'", options)
    assert "\n" not in str(caught.value)


def test_a_component_without_options_takes_none() -> None:
    class Plain:
        pass

    assert isinstance(configure(Plain, "x", {}), Plain)
    with pytest.raises(ConfigError, match="unknown option of x 'a'"):
        configure(Plain, "x", {"a": 1})


def test_an_option_needs_a_default() -> None:
    @dataclass(frozen=True)
    class Bare:
        strength: float

    for options in ({}, {"strength": 2.0}):
        with pytest.raises(PluginError, match="option 'strength' of synth 'x' has no default: give it one"):
            configure(Bare, "synth 'x'", options)
    assert configure(Bare, "x", {}, strength=1.0) == Bare(1.0)


def test_what_the_engine_gives_is_no_option() -> None:
    assert configure(Options, "x", {"steps": 2}, scale=3.0) == Options(scale=3.0, steps=2)
    with pytest.raises(ConfigError, match="unknown option of x 'scale'"):
        configure(Options, "x", {"scale": 2.0}, scale=3.0)


def test_options_of_are_json() -> None:
    described = options_of(Options(layers=("a",), table={"b": 1.0}))
    assert described == json.loads(json.dumps(described))
    assert described["size"] == [4, 3]
    assert options_of(object()) == {}
