"""What evaluators have in common that leave training to another tool, in a process of its own.

Training is the tool's; what it reads is written by us, and its label maps are counted by us (``counting.confusion``),
at the annotations' own resolution. The process may run in another virtual environment: then this one needs none of the
tool's packages.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from d3s2bench import (
    ConfigError,
    Context,
    Counts,
    Json,
    ModelError,
    Split,
    Teacher,
    derive_seed,
    file_sha256,
    unknown_name,
)
from d3s2bench_evaluators import tool_files
from d3s2bench_evaluators.tool_process import Tool, run_job


@dataclass(frozen=True)
class Setting:
    """What a training has beside its config and protocol."""

    classes: tuple[str, ...]
    device: str
    work: Path
    seed: int


@dataclass(frozen=True)
class Trained:
    """A trained network: its weights (safetensors, named as the tool names them), and what the tool builds it from."""

    weights: Path
    network: Json


@dataclass(frozen=True)
class ToolEvaluator(ABC):
    """Trains the networks of a tool."""

    config: str = ""
    pretrained: str = ""
    python: str = ""

    TOOL: ClassVar[Tool]
    PYTHON: ClassVar[str]
    """The environment variable that names the interpreter."""
    CONFIGS: ClassVar[Mapping[str, Json]]
    """Architecture → what the tool's script is told to describe: ``config``, a file or the name of one of the tool's
    own, and what else its script knows."""

    def __post_init__(self) -> None:
        if self.pretrained and Path(self.pretrained).suffix not in (".safetensors", ".pth"):
            told = f"evaluator {self.TOOL.name}: pretrained is {self.pretrained}"
            raise ConfigError(f"{told}: give a .safetensors file, or a .pth of tensors")

    @property
    def needs(self) -> tuple[str, ...]:
        return ()

    def architectures(self) -> tuple[str, ...]:
        return tuple(self._configs())

    def protocol(self, arch: str, size: tuple[int, int]) -> dict[str, Any]:
        """Beside what every evaluator's has: what identifies the config and those who run it.

        Raises:
            ConfigError: the interpreter has no such tool, or the tool no such config.
        """
        return {
            "size": list(size),
            "scale": None,
            "iterations": 800,
            "converged_iterations": 6400,
            "batch_size": 4,
            "learning_rate": self._own_learning_rate(self._described(arch)),
            "precision": "fp32",
            "loader_workers": 0,
            **self._identity(arch),
        }

    def dataset_recipe(self, arch: str, dataset: str) -> Json:
        """Crop, scale, batch and lengths of the config, on the dataset that it was made for.

        Raises:
            ConfigError: the interpreter has no such tool, or the tool no such config.
        """
        made_for, recipe = self._own_recipe(self._described(arch), Path(self._source(arch)["config"]).name)
        return recipe if made_for == dataset else {}

    def completed(self, arch: str, protocol: Json) -> dict[str, Any]:
        """The protocol as it is.

        Raises:
            ConfigError: the config cannot be trained, or not under this protocol: told before a set is made for it.
        """
        _check_scale(protocol["scale"])
        anywhere = Setting(("any",), "cpu", Path(), 0)
        self._training(self._described(arch), protocol, anywhere)
        return dict(protocol)

    def train(self, pairs: Split, arch: str, protocol: Json, context: Context) -> Trained:
        """Raises ConfigError for a protocol that the config or the device does not fit, DatasetError for no pairs."""
        self._check(arch, protocol, context)
        described, setting = self._described(arch), self._setting(context)
        weights = setting.work / "weights.safetensors"
        if not weights.exists():
            tool_files.write_pairs(pairs, setting.work / "pairs", context)
            training = self._training(described, protocol, setting)
            self._run({"job": "train", "seed": setting.seed, "weights": str(weights), **training}, protocol, context)
        return Trained(weights, self._network(described, protocol, setting))

    def evaluate(self, model: Trained, split: Split, protocol: Json, context: Context) -> Counts:
        images, predictions = self._work(context) / "images", self._work(context) / "predictions"
        for folder in (images, predictions):  # of an evaluation that was killed, maybe on another split
            shutil.rmtree(folder, ignore_errors=True)
        predictions.mkdir(parents=True)
        items = tool_files.write_images(split, images, context)
        job = {"job": "predict", **model.network, "weights": str(model.weights)}
        self._run({**job, "items": items, "images": str(images), "predictions": str(predictions)}, protocol, context)
        return tool_files.count(split, predictions, context)

    def save_teacher(self, model: Trained, pairs: Split, folder: Path, context: Context) -> None:
        raise ConfigError(self._no_teacher())

    def load_teacher(self, folder: Path, device: str) -> Teacher:
        raise ModelError(f"{folder} is no teacher of evaluator {self.TOOL.name}: {self._no_teacher()}")

    def _no_teacher(self) -> str:
        return f"evaluator {self.TOOL.name} makes no teachers: train one with --evaluator torch"

    @abstractmethod
    def _own_learning_rate(self, described: Json) -> float:
        """That of a config, as the tool described it."""

    @abstractmethod
    def _own_recipe(self, described: Json, name: str) -> tuple[str, Json]:
        """The dataset that a config was made for, and the part of the protocol that it trains on it with."""

    @abstractmethod
    def _training(self, described: Json, protocol: Json, setting: Setting) -> Json:
        """What the tool is told to train by, beside seed and place. Raises ConfigError where it cannot be."""

    @abstractmethod
    def _network(self, described: Json, protocol: Json, setting: Setting) -> Json:
        """What the tool builds a trained network from, beside its weights."""

    @abstractmethod
    def _check_precision(self, precision: str, device: str) -> None:
        """Raises ConfigError where the device has none such in this tool."""

    def _first_weights(self) -> Path | None:
        return Path(self.pretrained).resolve() if self.pretrained else None

    def _setting(self, context: Context) -> Setting:
        seed = derive_seed(self.TOOL.name, context.seed) % 2**31  # numpy takes no more than 2**32
        return Setting(tuple(context.dataset.classes), context.device, self._work(context), seed)

    def _work(self, context: Context) -> Path:
        return context.workdir.resolve() / self.TOOL.name

    def _run(self, job: Json, protocol: Json, context: Context) -> None:
        job = {**job, "threads": protocol.get("threads", 1), "device": context.device}
        run_job(self.TOOL, self._interpreter(), job, self._work(context) / f"{self.TOOL.name}.log", context.progress)

    def _interpreter(self) -> str:
        return self.python or os.environ.get(self.PYTHON) or sys.executable

    def _described(self, arch: str) -> Json:
        return _description(self.TOOL, self._interpreter(), json.dumps(self._source(arch)))

    def _configs(self) -> dict[str, Json]:
        return {**self.CONFIGS, **({Path(self.config).stem: {"config": self.config}} if self.config else {})}

    def _source(self, arch: str) -> Json:
        if arch not in self._configs():
            raise unknown_name(f"architecture of evaluator '{self.TOOL.name}'", arch, self._configs())
        return self._configs()[arch]

    def _identity(self, arch: str) -> dict[str, Any]:
        described, first = self._described(arch), self._first_weights()
        return {
            "config": Path(self._source(arch)["config"]).name,  # not where it lies: elsewhere it is the same protocol
            "config_sha256": hashlib.sha256(_text(described["config"]).encode()).hexdigest(),
            "pretrained": self._sha256(first) if first else None,
            **{key: described[key] for key in ("versions", "sources") if key in described},
        }

    def _sha256(self, file: Path) -> str:
        try:
            return file_sha256(file)
        except OSError as error:
            told = f"evaluator {self.TOOL.name}: pretrained is {self.pretrained}"
            raise ConfigError(f"{told}: {error.strerror}; name a file") from error

    def _check(self, arch: str, protocol: Json, context: Context) -> None:
        for key, now in self._identity(arch).items():
            if protocol[key] != now:
                raise ConfigError(
                    f"protocol.{key} is {protocol[key]}, but here it is {now}: it says what is there; to use another, "
                    f"set an option of evaluator {self.TOOL.name}, and after a change of files or packages start again"
                )
        self._check_precision(protocol["precision"], context.device)


def _check_scale(scale: Any) -> None:
    sides = scale if isinstance(scale, list) else []
    if scale is not None and (len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides)):
        raise ConfigError(f"protocol.scale is {scale!r}: it must be [width, height] in pixels, or null to be as size")


@cache
def _description(tool: Tool, python: str, source: str) -> Json:
    """What the tool's script tells of a config (JSON); it takes seconds, since the tool imports torch."""
    return run_job(tool, python, {"job": "describe", **json.loads(source)})


def _text(config: Any) -> str:
    return config if isinstance(config, str) else json.dumps(config, sort_keys=True)
