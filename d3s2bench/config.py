"""What a run is asked to do: defaults < preset < file < command line, every key checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from d3s2bench.errors import ConfigError, unknown_name

PRESETS = Path(__file__).parent / "presets"
AXES = ("dataset", "selector", "synth", "evaluator", "arch", "rate", "budget", "seed")
CELL_OPTIONS = ("dataset", "selector", "synth", "evaluator", "generator")
"""Kinds of components whose options change what a cell is."""
OPTION_KINDS = (*CELL_OPTIONS, "observer", "executor")
CELL_SETTINGS = (
    *("size", "threads", "device", "eval_split", "teacher", "generator"),
    *("teacher_evaluator", "teacher_arch", "teacher_protocol", "generator_family"),
)
"""Keys, axes, options and the protocol apart, that change what a cell is."""
CHOICES = {"controls": ("default", "all", "none"), "wandb": ("auto", "online", "offline", "disabled")}


@dataclass
class RunConfig:
    """One comparison matrix. Lists are its axes."""

    dataset: list[str] = field(default_factory=lambda: ["scenes"])
    """Names of datasets, or of folders that ``data_root`` names."""
    selector: list[str] = field(default_factory=lambda: ["balanced"])
    """Who chooses the images of the train split."""
    synth: list[str] = field(default_factory=lambda: ["guided"])
    """Who makes the distilled set of what was chosen."""
    evaluator: list[str] = field(default_factory=lambda: ["torch"])
    """Who trains the students and counts their predictions."""
    arch: list[str] = field(default_factory=lambda: ["unet"])
    """Architectures of the students."""
    rate: list[float] = field(default_factory=lambda: [0.01])
    """Compression rates: distilled images / train images."""
    budget: list[float] = field(default_factory=lambda: [1.0])
    """Training budgets: multiples of the protocol's iterations, for all methods and for full at the same iterations."""
    seed: list[int] = field(default_factory=lambda: [0])
    """Repetitions; each gives independent seeds to selection, synthesis and training."""
    out: str = "runs"
    data_root: dict[str, str] = field(default_factory=dict)
    holdout: dict[str, str] = field(default_factory=dict)
    """Dataset → pattern of the train images that become the split dev; '' for every dataset."""
    teacher: str | None = None
    generator: str | None = None
    judge: str | None = None
    generator_family: str = "pixel"
    """The generator component that trains and loads generators; one given as a folder tells its own."""
    teacher_evaluator: str = "torch"
    """Which evaluator trains and loads teachers and judges; students may be trained by others."""
    teacher_arch: str = "unet"
    """Architecture of a teacher that is trained."""
    judge_arch: str = "deeplab"
    """Architecture of a judge that is trained; another than the teacher's."""
    quality: bool = False
    """Whether each distilled set is measured under a judge, a network of another architecture than the teacher."""
    train_missing: bool = False
    controls: str = "default"
    eval_split: str | None = None
    """null = the dataset's own ``eval_split`` or else test, and dev where ``holdout`` carves one out of train."""
    size: list[int] | None = None
    """Width and height students are trained at; null = long side 96, the aspect of the first train image."""
    device: str = "cpu"
    threads: int = 1
    """Numeric threads per stage; 1 and 2 give different weights, so it is part of the protocol."""
    workers: int | None = None
    """Stages at once; null = cores / threads, one where they compute on a GPU; several with ``device=cuda`` share out
    the GPUs, one to each. Changes no result."""
    executor: str = "inline"
    """Where stages are worked on: inline, ray, slurm. Changes no result."""
    wandb: str = "auto"
    observer: list[str] = field(default_factory=list)
    """Who is told of each record that this run scores. Changes no result."""
    plugin: list[str] = field(default_factory=list)
    """Python files whose components are there beside all that is installed."""
    strict_plugins: bool = False
    """Whether a broken plugin stops the run, though nothing of it is used."""
    preset: str | None = None
    options: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    """kind → component → option → value."""
    protocol: dict[str, Any] = field(default_factory=dict)
    """Overrides of the evaluator's training protocol."""
    teacher_protocol: dict[str, Any] | None = None
    """Overrides of the protocol that teachers and judges are trained under; null = those of ``protocol``."""

    @property
    def device_type(self) -> str:
        """What of the device changes numbers: which of several GPUs it is does not."""
        return self.device.partition(":")[0]


def section(kind: str) -> str:
    """What the options of a kind of components stand under: ``synth.NAME.OPTION`` for a synthesizer's."""
    return "synth" if kind == "synthesizer" else kind


def given_for(dataset: str, named: Mapping[str, str]) -> str | None:
    """What ``named`` holds for a dataset: under its name, else under '' for all."""
    return named.get(dataset, named.get(""))


def make_config(
    given: Mapping[str, Any] | None = None, file: Path | None = None, assignments: Iterable[str] = ()
) -> RunConfig:
    """Merges the layers. ``assignments`` are ``key=value`` with dots, ``synth.guided.scale=2`` for an option.

    Raises:
        ConfigError: an unknown key, a value of the wrong type or out of range.
    """
    from omegaconf import OmegaConf

    cli = parse_assignments(assignments, _place)
    asked = [_file(file) if file else {}, {k: v for k, v in (given or {}).items() if v is not None}, cli]
    preset = next((layer["preset"] for layer in reversed(asked) if layer.get("preset")), None)
    layers = [preset_layer(preset)] if preset else []
    merged = OmegaConf.structured(RunConfig)
    for layer in layers + asked:
        merged = _merged(merged, layer)
    with _in_one_line():
        config = OmegaConf.to_object(merged)
    assert isinstance(config, RunConfig)
    _check(config)
    return config


def _merged(config: Any, layer: Mapping[str, Any]) -> Any:
    from omegaconf import OmegaConf

    known = {f.name for f in fields(RunConfig)}
    for key in layer:
        if key not in known:
            raise unknown_name("configuration key", str(key), known)
    for kind in layer.get("options") or {}:
        if kind not in OPTION_KINDS:
            raise unknown_name("kind of options", str(kind), OPTION_KINDS)
    for key, value in layer.items():
        if isinstance(value, list) and isinstance(getattr(RunConfig(), key), dict):
            raise ConfigError(f"configuration: {key} is a list: write a mapping, NAME: VALUE")
    with _in_one_line():
        return OmegaConf.merge(config, _single_values_as_lists(layer))


@contextmanager
def _in_one_line() -> Iterator[None]:
    from omegaconf.errors import OmegaConfBaseException

    try:
        yield
    except OmegaConfBaseException as error:
        raise ConfigError(f"configuration: {str(error).splitlines()[0]} (key '{error.full_key}')") from error


def _single_values_as_lists(layer: Mapping[str, Any]) -> dict[str, Any]:
    """A single value where a list is due means a list of one."""
    lists = {f.name for f in fields(RunConfig) if str(f.type).startswith("list")}
    return {k: [v] if k in lists and not isinstance(v, list | tuple | None) else v for k, v in layer.items()}


def parse_assignments(assignments: Iterable[str], place: Callable[[str], str] = str) -> dict[str, Any]:
    """``KEY=VALUE`` texts as a nested mapping; dots in a key, once it is placed, go down.

    Raises:
        ConfigError: a text without ``=``, or a value that is no YAML.
    """
    import yaml
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    placed = []
    for text in assignments:
        key, equals, _ = text.partition("=")
        if not equals:
            raise ConfigError(f"'{text}' assigns nothing: write KEY=VALUE, as in synth.guided.scale=2")
        placed.append(place(key) + text[len(key) :])
    try:
        found = OmegaConf.to_container(OmegaConf.from_dotlist(placed))
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(f"cannot read {' '.join(placed)}: {' '.join(str(error).split())}") from error
    assert isinstance(found, dict)
    return {str(k): v for k, v in found.items()}


def preset_layer(name: str) -> dict[str, Any]:
    known = {file.relative_to(PRESETS).with_suffix("").as_posix(): file for file in PRESETS.rglob("*.yaml")}
    if str(name) not in known:
        raise unknown_name("preset", str(name), known)
    return _file(known[name])


def _file(file: Path) -> dict[str, Any]:
    import yaml
    from omegaconf import OmegaConf

    try:
        found = OmegaConf.to_container(_with_dotted_keys(OmegaConf.load(file)))
    except OSError as error:
        raise ConfigError(f"cannot read configuration {file}: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is no valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{file} must hold a mapping of configuration keys")
    return {str(k): v for k, v in found.items()}


def _with_dotted_keys(loaded: Any) -> Any:
    """``synth.guided.scale: 2`` at the top of a file means what it means after ``--set``."""
    from omegaconf import DictConfig, OmegaConf

    if not isinstance(loaded, DictConfig):
        return loaded
    placed = OmegaConf.create({key: value for key, value in loaded.items() if "." not in str(key)})
    for key in loaded:
        if "." in str(key):
            OmegaConf.update(placed, _place(str(key)), loaded[key], force_add=True)
    return placed


def _place(key: str) -> str:
    """Where a dotted key belongs: ``synth.guided.scale`` is an option."""
    return f"options.{key}" if key.partition(".")[0] in OPTION_KINDS and key.count(".") >= 2 else key


def _check(config: RunConfig) -> None:
    for key, allowed in CHOICES.items():
        if getattr(config, key) not in allowed:
            raise unknown_name(key, getattr(config, key), allowed)
    for axis in AXES:
        if not getattr(config, axis):
            raise ConfigError(f"'{axis}' is an empty list: give at least one value")
        if any(isinstance(value, dict | list) for value in getattr(config, axis)):
            raise ConfigError(f"'{axis}' must list plain values: an option is set as synth.guided.scale=2")
    if not all(0 < budget < float("inf") for budget in config.budget):
        raise ConfigError(f"budget is {config.budget}: give multiples of the iterations above 0, as in 0.33,1,3")
    for key, least, found in (
        ("seed", 0, min(config.seed)),
        ("threads", 1, config.threads),
        ("workers", 1, 1 if config.workers is None else config.workers),
    ):
        if found < least:
            raise ConfigError(f"{key} is {found}: give at least {least}")
    if "iterations" in (config.teacher_protocol or {}):
        raise ConfigError("a teacher trains to convergence: set teacher_protocol.converged_iterations, not iterations")
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", config.device):
        raise ConfigError(f"unknown device '{config.device}': give cpu, cuda or cuda:N")
    if config.size is not None and (len(config.size) != 2 or min(config.size) < 16):
        raise ConfigError("size must be [width, height], each at least 16 pixels")
