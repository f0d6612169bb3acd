"""The components of a run as its configuration wants them, and the protocol students are trained under."""

from __future__ import annotations

from typing import Any

from d3s2bench.config import RunConfig, section
from d3s2bench.declarations import wrong_declarations
from d3s2bench.errors import ConfigError, PluginError, unknown_name
from d3s2bench.planning.plan import Cell
from d3s2bench.plugins import KINDS, changed_options, options_of
from d3s2bench.protocols import completed, dataset_recipe, default_protocol
from d3s2bench.values import Json
from d3s2bench.workspace import Workspace

LONG_SIDE = 96


class Configured:
    """Each component is made once; so options are checked once."""

    def __init__(self, config: RunConfig, workspace: Workspace) -> None:
        self.config, self.workspace = config, workspace
        self._made: dict[tuple[object, ...], tuple[Any, dict[str, Any]]] = {}
        self._sizes: dict[str, tuple[int, int]] = {}

    def component(
        self, kind: str, name: str, labels: str | None = None, *, as_shipped: bool = False
    ) -> tuple[Any, dict[str, Any]]:
        """The instance and its ``{name, options, changed, version}``; ``as_shipped``, with its default options."""
        asked = (kind, name, labels, as_shipped)
        if asked not in self._made:
            options = {} if as_shipped else self.config.options.get(section(kind), {}).get(name, {})
            self._made[asked] = self._make(kind, name, dict(options), labels)
        return self._made[asked]

    def _make(self, kind: str, name: str, options: dict[str, Any], labels: str | None) -> tuple[Any, dict[str, Any]]:
        registry = self.workspace.registry
        if labels == "hard":  # the default of every evaluator, whether it knows soft labels or not
            options.pop("labels", None)
        elif labels:
            options["labels"] = labels
        instance, found = registry.create(kind, name, options), registry.find(kind, name)
        if wrong := wrong_declarations(kind, instance):
            raise PluginError(f"{kind} '{name}' of {found.package}: {wrong}")
        options, version = options_of(instance), found.identity
        return instance, {"name": name, "options": options, "changed": changed_options(instance), "version": version}

    def described(self, kind: str, name: str) -> dict[str, Any]:
        """How a record describes a component."""
        return self.component(kind, name)[1]

    def protocol(self, evaluator: Any, cell: Cell, overrides: Json | None = None) -> dict[str, Any]:
        """The evaluator's protocol with this run's overrides, threads and device; every part explicit."""
        if cell.arch not in evaluator.architectures():
            raise unknown_name(f"architecture of evaluator '{cell.evaluator}'", cell.arch, evaluator.architectures())
        published = dataset_recipe(evaluator, cell.arch, cell.dataset).get("size")
        width, height = self.config.size or published or self._size(cell.dataset)
        protocol = default_protocol(evaluator, cell.arch, cell.dataset, (width, height))
        for key, value in (self.config.protocol if overrides is None else overrides).items():
            if key not in protocol:
                raise unknown_name("protocol key", key, protocol)
            protocol[key] = _like(protocol[key], value, key)
        _check_protocol(protocol)
        protocol = completed(evaluator, cell.arch, protocol)
        if cell.converged:
            protocol["iterations"] = protocol["converged_iterations"]
        else:
            protocol["iterations"] = max(1, round(protocol["iterations"] * cell.budget))
        return protocol | {"threads": self.config.threads, "device": self.config.device_type}

    def _size(self, name: str) -> tuple[int, int]:
        if name not in self._sizes:
            height, width, _ = self.workspace.dataset(name).split("train").image(0).shape
            scale = LONG_SIDE / max(width, height)
            self._sizes[name] = max(16, round(width * scale / 8) * 8), max(16, round(height * scale / 8) * 8)
        return self._sizes[name]

    def check_options(self) -> None:
        """Options are checked for components that this run does not use, too. Raises ConfigError."""
        for kind in KINDS:
            for name, options in self.config.options.get(section(kind), {}).items():
                if kind == "dataset":
                    self.workspace.registry.find(kind, name)  # its own check comes when it is opened
                else:
                    self.workspace.registry.create(kind, name, options)


def unversioned(name: str) -> dict[str, Any]:
    """How a record describes what is no component of ours."""
    return {"name": name, "options": {}, "changed": [], "version": ""}


def _like(default: Any, value: Any, key: str) -> Any:
    """An override of the same type as what it replaces; a whole number will do where a fraction may stand."""
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    if isinstance(value, tuple):
        value = list(value)
    if default is not None and type(value) is not type(default):
        raise ConfigError(f"protocol.{key} is {value!r}: it must be of type {type(default).__name__}, as {default!r}")
    return value


def _check_protocol(protocol: Json) -> None:
    for key in ("iterations", "converged_iterations", "batch_size"):
        if protocol.get(key, 1) < 1:
            raise ConfigError(f"protocol.{key} is {protocol[key]}: it must be at least 1")
    size = protocol.get("size", [16, 16])
    if len(size) != 2 or not all(isinstance(side, int) and side >= 16 for side in size):
        raise ConfigError(f"protocol.size is {size}: it must be [width, height], each at least 16 pixels")
