"""Where a run works: its folder, its data, its device. Planner and workers see the same one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from d3s2bench.config import RunConfig, given_for
from d3s2bench.datasets.held_out import HeldOut
from d3s2bench.errors import ConfigError, UnknownNameError, unknown_name
from d3s2bench.interfaces import Dataset
from d3s2bench.plugins import Registry, field_names, registry
from d3s2bench.storage.store import Store
from d3s2bench.values import Json

FOLDER = "folder"


@dataclass
class Workspace:
    """Opens datasets by name; ``roots`` maps names to folders, the name '' to a bare ``--data-root``, and ``holdouts``
    maps names to patterns of train images, the name '' to a bare ``--holdout``. ``plugins`` are single files."""

    out: Path
    roots: dict[str, str] = field(default_factory=dict)
    dataset_options: dict[str, dict[str, Any]] = field(default_factory=dict)
    holdouts: dict[str, str] = field(default_factory=dict)
    device: str = "cpu"
    plugins: tuple[str, ...] = ()
    _open: dict[str, Dataset] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, config: RunConfig) -> Workspace:
        options, holdouts = config.options.get("dataset", {}), dict(config.holdout)
        plugins = tuple(str(Path(file).resolve()) for file in config.plugin)
        made = cls(Path(config.out), dict(config.data_root), options, holdouts, config.device, plugins)
        made._check_holdouts(config.dataset)
        return made

    def _check_holdouts(self, datasets: Iterable[str]) -> None:
        """A misspelt one would let a run look at test unnoticed. Raises UnknownNameError."""
        known = {*datasets, *self.roots, *self.registry.names("dataset")}
        for name in self.holdouts:
            if name and name not in known:
                raise unknown_name("dataset of --holdout", name, known - {""})

    def to_json(self) -> dict[str, Any]:
        plain = {"out": str(self.out), "roots": self.roots, "dataset_options": self.dataset_options}
        return plain | {"holdouts": self.holdouts, "device": self.device, "plugins": list(self.plugins)}

    @classmethod
    def from_json(cls, value: Json) -> Workspace:
        roots, options, holdouts = value["roots"], value["dataset_options"], value["holdouts"]
        return cls(Path(value["out"]), roots, options, holdouts, value["device"], tuple(value["plugins"]))

    @cached_property
    def store(self) -> Store:
        return Store(self.out)

    @property
    def registry(self) -> Registry:
        return registry(self.plugins)

    def check_device(self) -> None:
        """Raises ConfigError for a device that is not there; torch is imported for others than the CPU alone."""
        if self.device == "cpu":
            return
        import torch

        try:
            wrong = _missing(torch.device(self.device))
        except (RuntimeError, AssertionError) as error:
            wrong = str(error).splitlines()[0]
        if wrong:
            raise ConfigError(f"device '{self.device}' cannot be used ({wrong}): leave out --device for cpu")

    def dataset(self, name: str) -> Dataset:
        """Raises UnknownNameError for a name that is neither registered nor given with ``--data-root``."""
        if name not in self._open:
            opened, pattern = self._opened(name), self.holdout(name)
            self._open[name] = HeldOut(opened, pattern) if pattern else opened
        return self._open[name]

    def holdout(self, name: str) -> str | None:
        """The pattern of the images that are kept out of a dataset's train split."""
        return given_for(name, self.holdouts)

    def _opened(self, name: str) -> Dataset:
        """A folder of our own layout is read as such, whatever it is called."""
        registered = name in self.registry.names("dataset")
        if name in self.roots and (not registered or _is_ours(Path(self.roots[name]))):
            return self._build(FOLDER, {"root": Path(self.roots[name]), "name": name})
        root = given_for(name, self.roots)
        if name == FOLDER and root is None:
            raise ConfigError("dataset 'folder' needs its place: give --data-root DIR")
        if not registered:
            wrong = unknown_name("dataset", name, {*self.registry.names("dataset"), *filter(None, self.roots)})
            raise UnknownNameError(f"{wrong}; a folder of your own is given with --data-root {name}=DIR")
        return self._build(name, {"root": Path(root)} if root else {})

    def _build(self, component: str, places: dict[str, Any]) -> Dataset:
        known = field_names(self.registry.load("dataset", component))
        if "root" in known and "root" not in places:
            raise ConfigError(
                f"dataset '{component}' reads files: give --data-root {component}=DIR; 'd3s2bench datasets' "
                "says where to get it and how it must lie"
            )
        if "root" in places and "root" not in known:
            raise ConfigError(f"dataset '{component}' reads no files: give {places['root']} another name")
        options = self.dataset_options.get(component, {})
        built: Dataset = self.registry.create("dataset", component, options, places | {"cache": self.out / "cache"})
        return built


def _missing(device: Any) -> str:
    """What speaks against a torch device. Nothing is made on a GPU: its context would stay for the whole run."""
    import torch

    if device.type != "cuda":
        torch.empty(1, device=device)
        return ""
    if not torch.cuda.is_available():
        return "torch sees no GPU here"
    found = torch.cuda.device_count()
    return f"there are {found}, from cuda:0 on" if (device.index or 0) >= found else ""


def _is_ours(root: Path) -> bool:
    """Whether it is laid out as the dataset ``folder`` wants it."""
    return (root / "classes.json").is_file() and (root / "images").is_dir()
