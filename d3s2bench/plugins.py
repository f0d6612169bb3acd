"""All components by kind and name: loaded and configured when used, explained when they cannot be."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib import import_module
from inspect import Parameter, formatannotation, signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d3s2bench.discovery import DISABLE, FILE, KINDS, Registered, installed, of_file
from d3s2bench.errors import ConfigError, PluginError, first_line, unknown_name

if TYPE_CHECKING:
    from d3s2bench.values import Json

__all__ = ["KINDS", "Registered", "Registry", "changed_options", "configure", "field_names", "options_of", "registry"]


class Registry:
    """All components by kind and name, and what could not be loaded."""

    def __init__(self, found: Iterable[Registered]) -> None:
        self.rows: list[Registered] = []
        self._usable: dict[tuple[str, str], Registered] = {}
        for entry in found:
            self._add(entry)

    def _add(self, entry: Registered) -> None:
        key = (entry.component.kind, entry.component.name)
        if entry.usable and key in self._usable:
            taken = f"broken: the name is taken by {self._usable[key].package}"
            remedy = f"rename it, uninstall one, or hide it with {DISABLE}={entry.package}"
            if entry.version == FILE:  # named by hand
                remedy = "rename it in its Component(…)"
            entry = dataclasses.replace(entry, status=f"{taken}; {remedy}")
        self.rows.append(entry)
        if entry.usable:
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
            raise PluginError(f"{kind} '{name}' of {entry.package} cannot be used: {entry.status}")
        return entry

    def require_healthy(self) -> None:
        """Raises PluginError when any plugin is broken."""
        if broken := [f"{row.component.name} of {row.package} is {row.status}" for row in self.rows if row.broken]:
            raise PluginError(f"--strict-plugins: {'. '.join(broken)}")

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
        PluginError: a component whose options have no defaults.
    """
    known = field_names(cls) - given.keys()
    for name in options:
        if name not in known:
            raise unknown_name(f"option of {label}", name, known)
    for name, parameter in signature(cls).parameters.items():
        named = parameter.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
        if named and parameter.default is Parameter.empty and name not in given:
            raise PluginError(f"option '{name}' of {label} has no default: give it one")
    return cls(**given, **_typed(cls, label, options))


def _typed(cls: type[Any], label: str, options: Json) -> dict[str, Any]:
    """Options as the types of their fields. Of many, the wrong one is found by reading each alone."""
    from omegaconf.errors import OmegaConfBaseException

    try:
        return _merged(cls, options)
    except (OmegaConfBaseException, TypeError) as error:  # a TypeError where a list is given for a mapping
        if len(options) > 1:
            for name, value in options.items():
                _typed(cls, label, {name: value})
        name, value = next(iter(options.items()))
        why = re.sub("^Value '.*' of type '.*' could", "it could", first_line(error))
        raise ConfigError(f"option '{name}' of {label} is {value!r}: {why}; give {_type_of(cls, name)}") from error


def _merged(cls: type[Any], options: Json) -> dict[str, Any]:
    from omegaconf import OmegaConf

    if not options:
        return {}
    schema = OmegaConf.structured(cls)
    OmegaConf.set_readonly(schema, False)
    merged = OmegaConf.to_container(OmegaConf.merge(schema, dict(options)))
    assert isinstance(merged, dict)
    return {name: tuple(merged[name]) if isinstance(merged[name], list) else merged[name] for name in options}


def _type_of(cls: type[Any], name: str) -> str:
    (annotation,) = (field.type for field in dataclasses.fields(cls) if field.name == name)
    written = annotation if isinstance(annotation, str) else formatannotation(annotation)
    return f"{written}, in brackets as [a,b]" if written.startswith(("tuple", "list")) else written


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


@lru_cache
def registry(files: tuple[str, ...] = ()) -> Registry:
    """Everything that is installed, and what these files bring beside it; loaded once per process.

    Raises:
        PluginError: a file that is not there or does not work.
    """
    found = Registry([*installed(), *(row for file in files for row in of_file(Path(file)))])
    for row in found.rows:
        if row.broken and row.version == FILE:
            raise PluginError(f"--plugin {row.package}: {row.component.name} is {row.status}")
    return found
