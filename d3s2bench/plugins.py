"""Finds components through the entry points of group ``d3s2bench``; one broken plugin never harms another.

pluggy's own entry-point loader stops at the first plugin that raises, so each entry point gets a manager of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pluggy

from d3s2bench import hookspecs
from d3s2bench.component import Component
from d3s2bench.errors import ConfigError, PluginError, unknown_name

if TYPE_CHECKING:
    from d3s2bench.values import Json

KINDS = ("selector", "synthesizer", "evaluator", "dataset", "generator", "renderer")


@dataclass(frozen=True)
class Registered:
    """A component, the distribution that brings it and whether it can be used."""

    component: Component
    package: str
    version: str
    status: str = "ok"
    local: bool = False
    """Installed from a folder rather than an index: its version alone does not identify its code."""

    @cached_property
    def identity(self) -> str:
        """What stands for the code in a hash: the version; with a hash of its files for a local install."""
        from d3s2bench.code_identity import code_hash

        return f"{self.version}+{code_hash(self.component.target)}" if self.local else self.version

    def row(self) -> dict[str, str]:
        """One object of ``d3s2bench plugins --json``."""
        named = {"kind": self.component.kind, "name": self.component.name, "summary": self.component.summary}
        return named | {"package": self.package, "version": self.version, "status": self.status}


class Registry:
    """All components by kind and name, and what could not be loaded."""

    def __init__(self, found: Iterable[Registered]) -> None:
        self.rows: list[Registered] = []
        self._usable: dict[tuple[str, str], Registered] = {}
        for entry in found:
            self._add(entry)

    def _add(self, entry: Registered) -> None:
        key = (entry.component.kind, entry.component.name)
        if not entry.status.startswith("broken") and key in self._usable:
            status = f"broken: the name is taken by {self._usable[key].package}"
            entry = dataclasses.replace(entry, status=status)
        self.rows.append(entry)
        if not entry.status.startswith("broken"):
            self._usable[key] = entry

    def names(self, kind: str) -> tuple[str, ...]:
        """Names of all healthy components of a kind."""
        return tuple(sorted(name for k, name in self._usable if k == kind))

    def find(self, kind: str, name: str) -> Registered:
        """Raises UnknownNameError for an unknown name, PluginError for a component that cannot be used."""
        entry = self._usable.get((kind, name))
        if entry is None:
            self._explain_broken(kind, name)
            raise unknown_name(kind, name, self.names(kind))
        if entry.status != "ok":
            raise PluginError(f"{kind} '{name}' of {entry.package} cannot be used: {entry.status}; install it")
        return entry

    def _explain_broken(self, kind: str, name: str) -> None:
        for row in self.rows:
            if row.component.name == name and row.component.kind in (kind, "?"):
                raise PluginError(f"{kind} '{name}' of {row.package} cannot be used: {row.status}")

    def load(self, kind: str, name: str) -> type[Any]:
        """The component's class. Raises PluginError when its module does not import."""
        entry = self.find(kind, name)
        module, _, attribute = entry.component.target.partition(":")
        try:
            loaded: type[Any] = getattr(import_module(module), attribute)
        except Exception as error:  # whatever a third party's module raises
            what = f"{type(error).__name__}: {error}"
            raise PluginError(f"{kind} '{name}' of {entry.package} does not import: {what}") from error
        return loaded

    def create(self, kind: str, name: str, options: Json | None = None, offered: Json | None = None) -> Any:
        """An instance with the given options; the others keep their defaults. Of what the engine has ``offered`` it
        gets what it has fields for."""
        cls = self.load(kind, name)
        given = {field: value for field, value in (offered or {}).items() if field in field_names(cls)}
        return configure(cls, f"{kind} '{name}'", options or {}, **given)


def field_names(cls: type[Any]) -> set[str]:
    """The fields of a component; none for a class that is no dataclass."""
    return {field.name for field in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else set()


def configure(cls: type[Any], label: str, options: Json, **given: Any) -> Any:
    """Builds a component from options checked against its dataclass fields; the engine's own fields are ``given``.

    Raises:
        ConfigError: an option that is unknown or of the wrong type.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    known = field_names(cls) - given.keys()
    for name in options:
        if name not in known:
            raise unknown_name(f"option of {label}", name, known)
    if not options:
        return cls(**given)
    try:
        schema = OmegaConf.structured(cls)
        OmegaConf.set_readonly(schema, False)
        merged = OmegaConf.to_container(OmegaConf.merge(schema, dict(options)))
    except OmegaConfBaseException as error:
        raise ConfigError(f"option of {label}: {str(error).splitlines()[0]}") from error
    assert isinstance(merged, dict)
    return cls(**given, **{str(name): _frozen(merged[name]) for name in options})


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def options_of(instance: Any) -> dict[str, Any]:
    """All options of a component with their values, as JSON."""
    if not dataclasses.is_dataclass(instance) or isinstance(instance, type):
        return {}
    return {name: _json(value) for name, value in dataclasses.asdict(instance).items()}


def changed_options(instance: Any) -> list[str]:
    """The options of a component that differ from their defaults. Methods are told apart by these, so that an option
    which a later version adds does not make another method of an older record."""
    if not (options := options_of(instance)):
        return []
    defaults = options_of(type(instance)())
    return sorted(name for name, value in options.items() if value != defaults[name])


def _json(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_json(v) for v in value]
    return {str(k): _json(v) for k, v in value.items()} if isinstance(value, Mapping) else value


@lru_cache(maxsize=1)
def registry() -> Registry:
    """Everything that is installed, loaded once per process."""
    points = sorted(entry_points(group=hookspecs.PROJECT), key=lambda p: (not _is_ours(p), p.name))
    return Registry(entry for point in points for entry in _load(point))


def _is_ours(point: EntryPoint) -> bool:
    return point.dist is not None and point.dist.name == hookspecs.PROJECT


def _load(point: EntryPoint) -> Iterator[Registered]:
    package, version = (point.dist.name or "?", point.dist.version or "?") if point.dist else ("?", "?")
    local = point.dist is not None and point.dist.read_text("direct_url.json") is not None
    try:
        components = _components(point)
    except (Exception, SystemExit) as error:  # isolation: a plugin may raise anything
        reason = " ".join(str(error).split()) or "no message"
        broken = Component("?", point.name, point.value, "")
        yield Registered(broken, package, version, f"broken: {type(error).__name__}: {reason}")
        return
    for component in components:
        yield Registered(component, package, version, _status(component), local)


def _components(point: EntryPoint) -> list[Component]:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(point.load(), point.name)
    manager.check_pending()
    hooks = [getattr(manager.hook, name) for name in dir(hookspecs) if name.startswith("register_")]
    found = [component for hook in hooks for registered in hook() for component in registered]
    for component in found:
        if not isinstance(component, Component) or component.kind not in KINDS:
            raise PluginError(f"{component!r} is no Component of a known kind ({', '.join(KINDS)})")
    return found


def _status(component: Component) -> str:
    missing = [module for module in component.requires if find_spec(module.partition(".")[0]) is None]
    return f"missing: {', '.join(missing)}" if missing else "ok"
