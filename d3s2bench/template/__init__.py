"""Writes a new plugin as a complete distribution: ``d3s2bench plugins new``. The files beside this one are its parts,
with ``$name`` and the like to be filled in."""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from string import Template

from d3s2bench.discovery import check_name
from d3s2bench.errors import PluginError, unknown_name
from d3s2bench.files import folder_under_name
from d3s2bench.hookspecs import API
from d3s2bench.plugins import registry

PARTS = Path(__file__).parent
SUMMARIES = {
    "selector": "Masks with the most classes",
    "synthesizer": "Photographs with noise",
    "evaluator": "Each pixel gets the class of the nearest mean colour",
    "dataset": "Drawn discs, 2 classes",
    "generator": "Pixels drawn around the mean colour of their class",
    "renderer": "One line per record",
    "observer": "A small JSON file per record",
}
"""Kind → what the component of its template does."""
USES = {
    "selector": "run --selector $name",
    "synthesizer": "run --synth $name",
    "evaluator": "run --evaluator $name --arch colours",
    "dataset": "run --dataset $name --train-missing",
    "generator": "run --set generator_family=$name --train-missing",
    "renderer": "leaderboard runs --format $name",
    "observer": "run --observer $name",
}
"""Kind → the command that uses it."""
OPTIONS = {
    "synthesizer": "run --set synth.$name.OPTION=VALUE",
    "renderer": "leaderboard runs --format $name --set OPTION=VALUE",
}
"""Kind → the command that sets an option of it, where it is not called like its kind."""


def write_distribution(name: str, kind: str, into: Path) -> Path:
    """Makes ``into / name``: pyproject with the entry point, the component, its contract test, README and CI file.

    Raises:
        UnknownNameError: a kind that has no template.
        PluginError: a name that is taken or no name, a folder that is there already.
    """
    if kind not in SUMMARIES:
        raise unknown_name("kind with a template", kind, SUMMARIES)
    folder, package = into / name, name.replace("-", "_")
    _check_name(name, package, kind)
    if folder.exists():
        raise PluginError(f"{folder} is there already: choose another name or --into another folder")
    words = _words(name, package, kind)
    with folder_under_name(folder) as place:
        for source, target in _files(package, kind).items():
            (place / target).parent.mkdir(parents=True, exist_ok=True)
            (place / target).write_text(Template((PARTS / source).read_text()).substitute(words))
    return folder


def _check_name(name: str, package: str, kind: str) -> None:
    check_name(name)
    if not package.isidentifier() or find_spec(package):
        raise PluginError(f"the module {package} exists already: choose another name than '{name}'")
    if name in registry().names(kind):
        raise PluginError(f"{kind} '{name}' exists already: choose another name")


def _words(name: str, package: str, kind: str) -> dict[str, str]:
    a_kind = f"{'an' if kind[0] in 'aeio' else 'a'} {kind}"
    words = {"name": name, "package": package, "kind": kind, "a_kind": a_kind}
    words |= {"summary": SUMMARIES[kind], "api": str(API)}
    words |= {"Class": "".join(part.capitalize() for part in package.split("_")), "version": version("d3s2bench")}
    commands = {"use": USES[kind], "set": OPTIONS.get(kind, "run --set $kind.$name.OPTION=VALUE")}
    return words | {key: Template(command).substitute(words) for key, command in commands.items()}


def _files(package: str, kind: str) -> dict[str, str]:
    """Part → its place in the distribution."""
    return {
        "common/pyproject.toml.in": "pyproject.toml",
        "common/README.md.in": "README.md",
        "common/ci.yml.in": ".github/workflows/test.yml",
        "common/hooks.py.in": f"src/{package}/__init__.py",
        f"{kind}/component.py.in": f"src/{package}/{kind}.py",
        f"{kind}/test.py.in": f"tests/test_{package}.py",
    }
