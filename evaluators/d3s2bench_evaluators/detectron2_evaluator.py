"""The evaluator ``detectron2``: detectron2's own trainer on its configs of semantic networks, in a process of its own.

github.com/facebookresearch/detectron2, and Mask2Former's project on top of it. Neither is on the package index. Into an
environment with torch, this one or another::

    pip install torchvision safetensors
    pip install --no-build-isolation 'git+https://github.com/facebookresearch/detectron2'
    export D3S2BENCH_DETECTRON2_PYTHON=/that/environment/bin/python

The build takes minutes and a C++ compiler (``FORCE_CUDA=0`` leaves CUDA out; nothing that is compiled is needed here).
PointRend needs opencv-python-headless as well; Mask2Former that, timm, scipy and a checkout of
github.com/facebookresearch/Mask2Former on the PYTHONPATH.

Training is theirs: DatasetCatalog, mapper, trainer. What it reads is written by us, and its label maps are counted by
us (``counting.confusion``), at the annotations' own resolution.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from d3s2bench import ConfigError, Context, Counts, Json, ModelError, Split, Teacher, derive_seed, unknown_name
from d3s2bench_evaluators import detectron2_config, detectron2_process, tool_files
from d3s2bench_evaluators.tool_process import Tool, run_job

PYTHON = "D3S2BENCH_DETECTRON2_PYTHON"
TOOL = Tool("detectron2", Path(detectron2_process.__file__))


@dataclass(frozen=True)
class Source:
    """A config file, or the name of one of detectron2's own, and what is changed in it: key, value, key, value."""

    config: str
    changes: tuple[str | int, ...] = ()


SEMANTIC_FPN = "Misc/semantic_R_50_FPN_1x.yaml"

CONFIGS = {
    "semantic-fpn-r18": Source(SEMANTIC_FPN, ("MODEL.RESNETS.DEPTH", 18, "MODEL.RESNETS.RES2_OUT_CHANNELS", 64)),
    "semantic-fpn-r50": Source(SEMANTIC_FPN),
    "semantic-fpn-r101": Source(SEMANTIC_FPN, ("MODEL.RESNETS.DEPTH", 101)),
}
"""Architecture → where its config comes from."""


@dataclass(frozen=True)
class Trained:
    """A trained network: its weights (safetensors, named as detectron2 names them), and what to build it from."""

    weights: Path
    config: Json
    projects: tuple[str, ...]


@dataclass(frozen=True)
class Detectron2:
    """Trains one of detectron2's semantic networks.

    - ``config``: a config file (``.yaml``), or the name of one of detectron2's own; its architecture is then named as
      the file, without ``.yaml``. It may use the projects DeepLab, PointRend and, where importable, Mask2Former.
    - ``pretrained``: a file with first weights: safetensors, or a ``.pth`` of nothing but tensors. The ``.pkl`` files
      of detectron2's model zoo are refused, since reading one runs what it says. Names are matched by detectron2; what
      does not fit starts at random. "" is a random start.
    - ``python``: the interpreter that has detectron2. "" is the environment variable D3S2BENCH_DETECTRON2_PYTHON, else
      this interpreter. Like every option it becomes part of what a result is named by; the variable does not.
    """

    config: str = ""
    pretrained: str = ""
    python: str = ""

    def __post_init__(self) -> None:
        if self.pretrained and Path(self.pretrained).suffix not in (".safetensors", ".pth"):
            told = f"evaluator detectron2: pretrained is {self.pretrained}"
            raise ConfigError(f"{told}: give a .safetensors file, or a .pth of tensors")

    @property
    def needs(self) -> tuple[str, ...]:
        return ()

    def architectures(self) -> tuple[str, ...]:
        return tuple(self._configs())

    def protocol(self, arch: str, size: tuple[int, int]) -> dict[str, Any]:
        """Beside what every evaluator's has: what identifies the config and those who run it.

        Raises:
            ConfigError: the interpreter has no detectron2, or it has no such config.
        """
        return {
            "size": list(size),
            "scale": None,
            "iterations": 800,
            "converged_iterations": 6400,
            "batch_size": 4,
            "learning_rate": detectron2_config.own_learning_rate(self._described(arch)["config"]),
            "precision": "fp32",
            "loader_workers": 0,
            **self._identity(arch),
        }

    def train(self, pairs: Split, arch: str, protocol: Json, context: Context) -> Trained:
        """Raises ConfigError for a protocol that the config or the device does not fit, DatasetError for no pairs."""
        self._check(arch, protocol, context)
        work, classes, found = _work(context), list(context.dataset.classes), self._described(arch)
        weights, pretrained = work / "weights.safetensors", bool(self.pretrained)
        if not weights.exists():
            seed = derive_seed("detectron2", context.seed) % 2**31  # numpy takes no more than 2**32
            training = detectron2_config.training_config(
                found["config"], len(classes), protocol, context.device, work, seed, pretrained
            )
            tool_files.write_pairs(pairs, work / "pairs", context)
            first = str(Path(self.pretrained).resolve()) if pretrained else ""
            job = {"job": "train", "config": training, "projects": found["projects"], "seed": seed, "pretrained": first}
            self._run(
                {**job, "pairs": str(work / "pairs"), "classes": classes, "weights": str(weights)}, protocol, context
            )
        config = detectron2_config.network_config(found["config"], len(classes), protocol, context.device, pretrained)
        return Trained(weights, config, tuple(found["projects"]))

    def evaluate(self, model: Trained, split: Split, protocol: Json, context: Context) -> Counts:
        images, predictions = _work(context) / "images", _work(context) / "predictions"
        for folder in (images, predictions):  # of an evaluation that was killed, maybe on another split
            shutil.rmtree(folder, ignore_errors=True)
        predictions.mkdir(parents=True)
        items = tool_files.write_images(split, images, context)
        job = {"job": "predict", "config": model.config, "projects": model.projects, "weights": str(model.weights)}
        self._run({**job, "items": items, "images": str(images), "predictions": str(predictions)}, protocol, context)
        return tool_files.count(split, predictions, context)

    def save_teacher(self, model: Trained, pairs: Split, folder: Path, context: Context) -> None:
        raise ConfigError(NO_TEACHER)

    def load_teacher(self, folder: Path, device: str) -> Teacher:
        raise ModelError(f"{folder} is no teacher of evaluator detectron2: {NO_TEACHER}")

    def _run(self, job: Json, protocol: Json, context: Context) -> None:
        job = {**job, "threads": protocol.get("threads", 1), "device": context.device}
        run_job(TOOL, self._interpreter(), job, _work(context) / "detectron2.log", context.progress)

    def _interpreter(self) -> str:
        return self.python or os.environ.get(PYTHON) or sys.executable

    def _described(self, arch: str) -> Json:
        return _description(self._interpreter(), self._source(arch))

    def _configs(self) -> dict[str, Source]:
        return CONFIGS | ({Path(self.config).stem: Source(self.config)} if self.config else {})

    def _source(self, arch: str) -> Source:
        if arch not in self._configs():
            raise unknown_name("architecture of evaluator 'detectron2'", arch, self._configs())
        return self._configs()[arch]

    def _identity(self, arch: str) -> dict[str, Any]:
        found = self._described(arch)
        return {
            "config": Path(self._source(arch).config).name,  # not where it lies: elsewhere it is the same protocol
            "config_sha256": hashlib.sha256(json.dumps(found["config"], sort_keys=True).encode()).hexdigest(),
            "pretrained": _sha256(Path(self.pretrained)) if self.pretrained else None,
            "versions": found["versions"],
            "sources": found["sources"],
        }

    def _check(self, arch: str, protocol: Json, context: Context) -> None:
        for key, now in self._identity(arch).items():
            if protocol[key] != now:
                raise ConfigError(
                    f"protocol.{key} is {protocol[key]}, but here it is {now}: it says what is there; to use another, "
                    "set an option of evaluator detectron2, and after a change of files or packages start again"
                )
        if protocol["precision"] == "fp16" and not context.device.startswith("cuda"):
            raise ConfigError("protocol.precision is 'fp16': detectron2 needs --device cuda for it")


NO_TEACHER = "evaluator detectron2 makes no teachers: train one with --evaluator torch"


def _work(context: Context) -> Path:
    return context.workdir.resolve() / "detectron2"


@cache
def _description(python: str, source: Source) -> Json:
    """What ``detectron2_process.describe`` tells; it takes seconds, since detectron2 imports torch."""
    return run_job(TOOL, python, {"job": "describe", "config": source.config, "changes": source.changes})


def _sha256(file: Path) -> str:
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"evaluator detectron2: pretrained is {file}: {error.strerror}; name a file") from error
