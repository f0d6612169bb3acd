"""Where plugins come from: entry points of the group ``d3s2bench``, and single files that a command names.

One broken plugin never harms another: each is read alone, and what is wrong with it becomes the status of its row.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import Distribution, PackageNotFoundError, distributions
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from d3s2bench import hookspecs
from d3s2bench.component import Component
from d3s2bench.errors import PluginError
from d3s2bench.frames import last_frame
from d3s2bench.hookspecs import API, PROJECT

HOOKS = tuple(name for name in vars(hookspecs) if name.startswith("register_"))
KINDS = tuple(name.removeprefix("register_").removesuffix("s") for name in HOOKS)
DISABLE = "D3S2BENCH_DISABLE_PLUGINS"
"""Environment variable: names of plugins or of their distributions, with commas between them; ``all`` for every one
that is not our own."""
FILE = "file"
"""Stands for the version of a plugin that is a single file."""


@dataclass(frozen=True)
class Registered:
    """A component, the distribution that brings it and whether it can be used."""

    component: Component
    package: str
    version: str
    status: str = "ok"
    """``ok``; else ``missing``, ``broken`` or ``disabled``, why, and what to do about it."""
    local: bool = False
    """Installed from a folder rather than an index: its version alone does not identify its code."""

    @property
    def broken(self) -> bool:
        return self.status.startswith("broken")

    @property
    def usable(self) -> bool:
        """Whether its name is taken by it; one that lacks a library still stands for its name."""
        return self.status == "ok" or self.status.startswith("missing")

    @cached_property
    def identity(self) -> str:
        """What stands for the code in a hash: the version; with a hash of its files for a local install."""
        from d3s2bench.code_identity import code_hash

        return f"{self.version}+{code_hash(self.component.target)}" if self.local else self.version

    def row(self) -> dict[str, str]:
        """One object of ``d3s2bench plugins --json``."""
        named = {"kind": self.component.kind, "name": self.component.name, "summary": self.component.summary}
        return named | {"package": self.package, "version": self.version, "status": self.status}


@dataclass(frozen=True)
class Plugin:
    """A module with hooks, not loaded yet, and the distribution that brings it."""

    name: str
    target: str
    package: str
    version: str
    load: Callable[[], Any]
    local: bool = False

    @property
    def ours(self) -> bool:
        return self.package == PROJECT


# --- entry points ----------------------------------------------------------------------------------------------------


def installed() -> Iterator[Registered]:
    """What all installed plugins bring, our own first, so that no other takes their names."""
    hidden = {name.strip() for name in os.environ.get(DISABLE, "").split(",")}
    for plugin in sorted(_entry_points(), key=lambda plugin: (not plugin.ours, plugin.name)):
        if not plugin.ours and hidden & {"all", plugin.name, plugin.package}:
            yield _row(plugin, f"disabled by {DISABLE}")
        else:
            yield from read(plugin)


def _entry_points() -> Iterator[Plugin]:
    """Of the first distribution of each name, as Python imports it. Most have none of ours: they are not parsed."""
    known = set()
    for distribution in distributions():
        if f"[{PROJECT}]" not in (distribution.read_text("entry_points.txt") or ""):
            continue
        package, version = _name_and_version(distribution)
        if package == "?" or package not in known:
            known.add(package)
            local = distribution.read_text("direct_url.json") is not None
            for point in distribution.entry_points.select(group=PROJECT):
                yield Plugin(point.name, point.value, package, version, point.load, local)


def _name_and_version(distribution: Distribution) -> tuple[str, str]:
    """From the head of its metadata, line by line: the standard library would load its parser of e-mails for these."""
    fields = dict(line.split(": ", 1) for line in _head(distribution).splitlines() if ": " in line)
    return fields.get("Name", "?"), fields.get("Version", "?")


def _head(distribution: Distribution) -> str:
    return (distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or "").partition("\n\n")[0]


# --- single files ----------------------------------------------------------------------------------------------------


def of_file(file: Path) -> list[Registered]:
    """What one Python file brings; it is identified by its content.

    Raises:
        PluginError: there is no such file, or it has no hooks.
    """
    if not file.is_file() or not file.stem.isidentifier() or file.suffix != ".py":
        raise PluginError(f"--plugin {file}: give a Python file that exists, named like a module, as my_selector.py")
    rows = list(read(Plugin(file.stem, str(file), file.name, FILE, lambda: _module_of(file.resolve()), local=True)))
    if not rows:
        hook = "a function register_selectors with @hookimpl that returns a list of components"
        raise PluginError(f"--plugin {file} registers nothing: give it {hook}")
    return rows


def _module_of(file: Path) -> ModuleType:
    """The file as a module under its own name, from nowhere but this very file."""
    name = file.stem
    spec = find_spec(name)
    if spec and not (spec.origin and Path(spec.origin).resolve() == file):
        taken = PluginError(f"the name '{name}' belongs to another module, {spec.origin}")
        raise _with_remedy(taken, "rename the file")
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_file_location(name, file)
    assert spec and spec.loader
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


# --- one plugin ------------------------------------------------------------------------------------------------------


def read(plugin: Plugin) -> Iterator[Registered]:
    """The components of a plugin; one row that says what is wrong when it cannot be used."""
    try:
        found = components(plugin)
    except (Exception, SystemExit) as error:  # isolation: a plugin may raise anything
        reason = " ".join(str(error).split()) or "no message"
        yield _row(plugin, f"broken: {type(error).__name__}: {reason}; {_remedy(plugin, error)}")
        return
    for component in found:
        yield Registered(component, plugin.package, plugin.version, _status(component, plugin.package), plugin.local)


def components(plugin: Plugin) -> list[Component]:
    """What its hooks return. Raises whatever the plugin raises, PluginError for what is no plugin of ours."""
    module = plugin.load()
    if (api := getattr(module, "d3s2bench_api", 1)) != API:
        raise PluginError(f"it is made for plugin API {api}, this d3s2bench has {API}")
    with _registered(module, plugin.name) as hooks:
        found = [component for hook in hooks for registered in hook() for component in _listed(registered)]
    for component in found:
        if not isinstance(component, Component) or component.kind not in KINDS:
            raise PluginError(f"{component!r} is no Component of a known kind ({', '.join(KINDS)})")
        check_name(component.name)
    return found


def _listed(registered: Any) -> Iterable[Any]:
    """What a hook returns, where it is a list as it should be."""
    if isinstance(registered, Component):
        alone = TypeError(f"a hook returns the component '{registered.name}' by itself")
        raise _with_remedy(alone, "return a list of components")
    found: Iterable[Any] = registered
    return found


def check_name(name: str) -> None:
    """Raises PluginError for a name that ``--set KIND.NAME.OPTION`` could not tell from what is around it; underscores
    do as well as hyphens."""
    if not re.fullmatch(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*", name):
        raise PluginError(f"'{name}' is no name of a plugin: use small letters, digits and hyphens, as in my-selector")


@contextmanager
def _registered(module: Any, name: str) -> Iterator[list[Any]]:
    """The hooks with this module alone behind them. A manager that has met a broken one is not used again."""
    manager = _manager()
    try:
        manager.register(module, name)
        manager.check_pending()
        yield [getattr(manager.hook, hook) for hook in HOOKS]
        manager.unregister(module)
    except BaseException:
        _manager.cache_clear()
        raise


class _Manager(pluggy.PluginManager):
    """Looks at marked functions alone: pluggy's own careful look at every name of a module takes half of the time."""

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> Any:
        marked = hasattr(getattr(plugin, name, None), f"{PROJECT}_impl")
        return super().parse_hookimpl_opts(plugin, name) if marked else None


@cache
def _manager() -> _Manager:
    manager = _Manager(PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


def _row(plugin: Plugin, status: str) -> Registered:
    """Stands for a plugin whose components are not known."""
    return Registered(Component("?", plugin.name, plugin.target, ""), plugin.package, plugin.version, status)


def _with_remedy(error: Exception, remedy: str) -> Exception:
    error.add_note(remedy)
    return error


def _remedy(plugin: Plugin, error: BaseException) -> str:
    """What to do about it: for the author of a file, and for whoever has installed a distribution."""
    lacks = error.name.partition(".")[0] if isinstance(error, ModuleNotFoundError) and error.name else None
    told, hide = _told_remedy(error), f"or hide it with {DISABLE}={plugin.name}"
    if plugin.version == FILE:
        return told or _remedy_of_file(Path(plugin.target), lacks, error)
    if told:
        return f"{told} ({hide})"
    return f"install {lacks}, {hide}" if lacks else f"update {plugin.package} or d3s2bench, {hide}"


def _remedy_of_file(file: Path, lacks: str | None, error: BaseException) -> str:
    if lacks is None:
        where = last_frame(error, file.resolve())
        return f"correct the file, at {where}" if where else "correct the file"
    if (file.parent / f"{lacks}.py").exists() or (file.parent / lacks).is_dir():
        return "a file imports what is installed, not what lies beside it: put all into it, or install them"
    return f"install {lacks}, or import it inside the class and name it in Component(requires=…)"


def _told_remedy(error: BaseException) -> str | None:
    """What the error itself notes; for a misspelt hook, the one that was meant."""
    if notes := getattr(error, "__notes__", None):
        return str(notes[-1])
    from difflib import get_close_matches

    unknown = re.match(r"unknown hook '(\w+)'", str(error)) if isinstance(error, pluggy.PluginValidationError) else None
    near = get_close_matches(unknown[1], HOOKS, n=1) if unknown else []
    return f"did you mean '{near[0]}'?" if near else None


def _status(component: Component, package: str) -> str:
    missing = [module for module in component.requires if find_spec(module.partition(".")[0]) is None]
    return f"missing: {', '.join(missing)}; {_how_to_get(missing, package)}" if missing else "ok"


def _how_to_get(modules: list[str], package: str) -> str:
    """Names the smallest extra that brings them all; an extra lists distributions, most of which are named like their
    module."""
    wanted = {_plain(module.partition(".")[0]) for module in modules}
    fitting = [(len(brought), extra) for extra, brought in _extras(package).items() if wanted <= brought]
    return f"pip install '{package}[{min(fitting)[1]}]'" if fitting else "install it"


def _extras(package: str) -> dict[str, set[str]]:
    """Extra of a distribution → the distributions that it asks for; none for a single file."""
    try:
        head = _head(Distribution.from_name(package))
    except PackageNotFoundError:
        return {}
    extras: dict[str, set[str]] = {}
    for name, extra in re.findall(r"^Requires-Dist: ([\w.-]+).*\bextra == ['\"]([\w.-]+)", head, re.MULTILINE):
        extras.setdefault(extra, set()).add(_plain(name))
    return extras


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "_", name).lower()
