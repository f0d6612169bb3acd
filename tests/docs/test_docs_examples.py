"""What the pages show works: commands parse, names and options exist, Python and YAML are read, links lead on."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from written_pages import ROOT, Shown, anchors, blocks, commands, files, links, where

import d3s2bench
from d3s2bench.config import make_config, parse_assignments
from d3s2bench.plugins import configure, field_names, registry
from d3s2bench_docs import command_line, site

OF_PLUGINS = {"mine", "most-classes"}
"""Components that the reader writes."""
EAGER = {"--help", "--install-completion", "--show-completion"}
KINDS = {"selector": "selector", "synth": "synthesizer", "evaluator": "evaluator", "executor": "executor"}
SHOWN = [shown for file in files() for shown in commands(file)]


def test_the_pages_show_commands() -> None:
    assert len(SHOWN) > 50
    assert {shown.page for shown in SHOWN} > {"README.md", "docs/tutorial/first-run.md", "docs/results.md"}


@pytest.mark.parametrize("shown", SHOWN, ids=lambda shown: f"{shown.page}: {' '.join(shown.words)}"[:120])
def test_a_command_parses_and_names_what_there_is(shown: Shown) -> None:
    title, given = parsed(shown.words)
    for option, kind in KINDS.items():
        for name in _values(given.get(option)):
            assert name in registry().names(kind), f"there is no {kind} {name}"
    for name in _values(given.get("format")):
        assert name in registry().names("renderer"), f"there is no format {name}"
    _check_assignments(title, given)


def _loaded(kind: str, name: str) -> type[Any]:
    """Skips where the component's library is not installed."""
    (row,) = (row for row in registry().rows if (row.component.kind, row.component.name) == (kind, name))
    if row.status.startswith("missing"):
        pytest.skip(f"{name}: {row.status}")
    return registry().load(kind, name)


def parsed(words: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    """The command that the words name, and its options as click reads them; nothing is run, and those options that
    act while they are read (completion would be installed) are only looked for."""
    found, rest = command_line.root(), list(words[1:])
    if rest[:1] and rest[0] in EAGER:
        assert any(rest[0] in parameter.opts for parameter in found.command.params)
        return found.title, {}
    while rest and (below := {each.path[-1]: each for each in found.subcommands()}) and rest[0] in below:
        found, rest = below[rest.pop(0)], rest
    if not rest and list(found.subcommands()):
        return found.title, {}  # a group that is named as a whole
    assert not EAGER & set(rest), "it would act while it is read"
    with found.command.make_context(found.path[-1], rest) as context:
        assert not context.args or not rest, f"{found.title} knows no {context.args}"
        return found.title, dict(context.params)


def _values(given: Any) -> list[str]:
    """What was given, but for placeholders and for what the reader makes."""
    values = [given] if isinstance(given, str) else given or []
    return [value for value in values if not value.isupper() and value not in OF_PLUGINS]


def _check_assignments(title: str, given: dict[str, Any]) -> None:
    assignments = [text for text in given.get("set_") or [] if "…" not in text and "KEY=" not in text]
    if title.startswith("d3s2bench leaderboard"):
        cls = registry().load("renderer", given["format"])
        configure(cls, "renderer", parse_assignments(assignments))
    elif title == "d3s2bench datasets inspect" and given["name"] in registry().names("dataset"):
        _check_options({"dataset": {given["name"]: parse_assignments(assignments)}})
    elif title.startswith(("d3s2bench run", "d3s2bench distill", "d3s2bench evaluate", "d3s2bench train")):
        config = make_config({k: given.get(k) for k in ("controls", "wandb", "preset", "device")}, None, assignments)
        _check_options(config.options)
        assert set(config.protocol) <= _protocol_keys(), config.protocol


def _check_options(options: dict[str, Any]) -> None:
    for option, components in options.items():
        kind = "synthesizer" if option == "synth" else option
        for name, values in components.items():
            if name not in OF_PLUGINS:
                assert set(values) <= field_names(_loaded(kind, name)), (kind, name, values)


def _protocol_keys() -> set[str]:
    torch = registry().create("evaluator", "torch")
    return {key for arch in torch.architectures() for key in torch.protocol(arch, (96, 64))}


# --- other examples --------------------------------------------------------------------------------------------------


def _examples(*languages: str) -> list[Any]:
    texts = [(file, text) for file in files() for text in blocks(file.read_text(encoding="utf-8"), *languages)]
    return [pytest.param(text, id=f"{where(file)}-{n}") for n, (file, text) in enumerate(texts)]


@pytest.mark.parametrize("text", _examples("python"))
def test_python_is_run_or_at_least_compiled(text: str) -> None:
    tree = ast.parse(text)
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    for node in imports:
        if node.module == "d3s2bench":
            assert {alias.name for alias in node.names} <= set(d3s2bench.__all__)
    available = all(importlib.util.find_spec(str(node.module).partition(".")[0]) for node in imports)
    if available and not _called(tree) & {"load_dataset", "run"}:  # a network, or minutes
        _run(text)


def _run(text: str) -> None:
    """As a module of its own: dataclasses look theirs up."""
    module = ModuleType("example_of_the_pages")
    sys.modules[module.__name__] = module
    try:
        exec(compile(text, "example", "exec"), module.__dict__)
    finally:
        del sys.modules[module.__name__]


def _called(tree: ast.AST) -> set[str]:
    return {n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}


@pytest.mark.parametrize("text", _examples("yaml"))
def test_yaml_is_a_configuration(text: str, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
    make_config({}, tmp_path / "study.yaml")


@pytest.mark.parametrize("text", _examples("json"))
def test_json_is_json(text: str) -> None:
    json.loads(text)


# --- links -----------------------------------------------------------------------------------------------------------


def _pages() -> dict[Path, str]:
    """Written and made pages by their place."""
    made = {ROOT / "docs" / address: text for address, (_, text) in site.pages().items()}
    return {file: file.read_text(encoding="utf-8") for file in files()} | made


def test_links_lead_somewhere() -> None:
    pages, broken = _pages(), []
    for file, text in pages.items():
        for target in links(text):
            if target.startswith(("http://", "https://")):
                continue
            name, _, anchor = target.partition("#")
            place = (file.parent / name).resolve() if name else file
            if place not in pages and not place.exists():
                broken.append(f"{where(file)}: {target}")
            elif anchor and anchor not in anchors(pages[place]):
                broken.append(f"{where(file)}: {target} (no such heading)")
    assert broken == []


def test_every_page_is_in_the_navigation() -> None:
    listed = set(re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")))
    written = {file.relative_to(ROOT / "docs").as_posix() for file in files() if ROOT / "docs" in file.parents}
    assert listed == written


def test_nothing_is_fetched_when_the_site_is_read() -> None:
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert settings["theme"]["font"] is False
    assert "http" not in json.dumps({k: v for k, v in settings.items() if k not in ("site_url", "repo_url")})


def test_footguns_name_tests_that_there_are() -> None:
    page = (ROOT / "docs/explanation/footguns.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:tests|d3s2bench)/[\w/]+\.py)(?:::(\w+))?`", page)
    assert len(named) > 25
    missing = [f"{file}::{test}" for file, test in named if not _has(ROOT / file, test)]
    assert missing == []


def _has(file: Path, test: str) -> bool:
    return file.is_file() and (not test or f"def {test}(" in file.read_text(encoding="utf-8"))
