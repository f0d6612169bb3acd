"""The evaluator ``mmseg``: mmsegmentation's own Runner on any of its configs, in a process of its own.

mmsegmentation 1.x, github.com/open-mmlab/mmsegmentation. The process may run in another virtual environment: then this
one needs none of its packages. Training is theirs; what it reads is written by us, and its label maps are counted by us
(``counting.confusion``), at the annotations' own resolution.
"""

from __future__ import annotations

import ast
import hashlib
import os
import shutil
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from d3s2bench import ConfigError, Context, Counts, Json, ModelError, Split, Teacher, derive_seed, unknown_name
from d3s2bench_evaluators import mmseg_config, mmseg_process, tool_files
from d3s2bench_evaluators.tool_process import Tool, run_job

PYTHON = "D3S2BENCH_MMSEG_PYTHON"
TOOL = Tool("mmseg", Path(mmseg_process.__file__))

CONFIGS = {
    **{f"segformer-b{n}": f"segformer/segformer_mit-b{n}_8xb2-160k_ade20k-512x512.py" for n in range(6)},
    "mask2former-swin-t": "mask2former/mask2former_swin-t_8xb2-160k_ade20k-512x512.py",
    "mask2former-swin-s": "mask2former/mask2former_swin-s_8xb2-160k_ade20k-512x512.py",
    "mask2former-swin-b": "mask2former/mask2former_swin-b-in1k-384x384-pre_8xb2-160k_ade20k-640x640.py",
    "segmenter-s": "segmenter/segmenter_vit-s_mask_8xb1-160k_ade20k-512x512.py",
    "segmenter-b": "segmenter/segmenter_vit-b_mask_8xb1-160k_ade20k-512x512.py",
    "upernet-swin-t": "swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512.py",
    "upernet-r50": "upernet/upernet_r50_4xb4-160k_ade20k-512x512.py",
    "deeplabv3plus-r50": "deeplabv3plus/deeplabv3plus_r50-d8_4xb4-160k_ade20k-512x512.py",
    "pspnet-r50": "pspnet/pspnet_r50-d8_4xb4-160k_ade20k-512x512.py",
}
"""Architecture → one of mmsegmentation's own configs."""


@dataclass(frozen=True)
class Trained:
    """A trained network: its weights (safetensors, named as mmsegmentation names them), and the config to read them."""

    weights: Path
    config: Json


@dataclass(frozen=True)
class Mmseg:
    """Trains one of mmsegmentation's networks.

    - ``config``: a config file, or the name of one of mmsegmentation's own as
      ``fcn/fcn_hr18_4xb4-160k_ade20k-512x512.py``; its architecture is then named as the file, without ``.py``.
    - ``pretrained``: a file with the backbone's first weights, safetensors or a .pth of nothing but tensors; "" is a
      random start.
    - ``python``: the interpreter that has mmsegmentation. "" is the environment variable D3S2BENCH_MMSEG_PYTHON, else
      this interpreter. Like every option it becomes part of what a result is named by; the variable does not.
    """

    config: str = ""
    pretrained: str = ""
    python: str = ""

    @property
    def needs(self) -> tuple[str, ...]:
        return ()

    def architectures(self) -> tuple[str, ...]:
        return tuple(self._configs())

    def protocol(self, arch: str, size: tuple[int, int]) -> dict[str, Any]:
        """Beside what every evaluator's has: what identifies the config and those who run it.

        Raises:
            ConfigError: the interpreter has no mmsegmentation, or it has no such config.
        """
        found = self._described(arch)
        return {
            "size": list(size),
            "scale": None,
            "iterations": 800,
            "converged_iterations": 6400,
            "batch_size": 4,
            "learning_rate": mmseg_config.own_learning_rate(_literal(found)),
            "precision": "fp32",
            "loader_workers": 0,
            **self._identity(arch),
        }

    def train(self, pairs: Split, arch: str, protocol: Json, context: Context) -> Trained:
        """Raises ConfigError for a protocol that the config or the device does not fit, DatasetError for no pairs."""
        self._check(arch, protocol, context)
        work, classes = _work(context), tuple(context.dataset.classes)
        config, weights = _literal(self._described(arch)), work / "weights.safetensors"
        if not weights.exists():
            tool_files.write_pairs(pairs, work / "pairs", context)
            seed = derive_seed("mmseg", context.seed) % 2**31  # numpy takes no more than 2**32
            first = Path(self.pretrained).resolve() if self.pretrained else None
            training = mmseg_config.training_config(config, classes, protocol, work, seed, first)
            job = {"job": "train", "config": repr(training), "seed": seed, "weights": str(weights)}
            self._run(job, protocol, context)
        return Trained(weights, mmseg_config.network_config(config, len(classes), protocol))

    def evaluate(self, model: Trained, split: Split, protocol: Json, context: Context) -> Counts:
        images, predictions = _work(context) / "images", _work(context) / "predictions"
        for folder in (images, predictions):  # of an evaluation that was killed, maybe on another split
            shutil.rmtree(folder, ignore_errors=True)
        predictions.mkdir(parents=True)
        items = tool_files.write_images(split, images, context)
        job = {"job": "predict", "config": repr(model.config), "weights": str(model.weights), "items": items}
        self._run({**job, "images": str(images), "predictions": str(predictions)}, protocol, context)
        return tool_files.count(split, predictions, context)

    def save_teacher(self, model: Trained, pairs: Split, folder: Path, context: Context) -> None:
        raise ConfigError(NO_TEACHER)

    def load_teacher(self, folder: Path, device: str) -> Teacher:
        raise ModelError(f"{folder} is no teacher of evaluator mmseg: {NO_TEACHER}")

    def _run(self, job: Json, protocol: Json, context: Context) -> None:
        job = {**job, "threads": protocol.get("threads", 1), "device": context.device}
        run_job(TOOL, self._interpreter(), job, _work(context) / "mmseg.log", context.progress)

    def _interpreter(self) -> str:
        return self.python or os.environ.get(PYTHON) or sys.executable

    def _described(self, arch: str) -> Json:
        return _description(self._interpreter(), self._config_of(arch))

    def _configs(self) -> dict[str, str]:
        return CONFIGS | ({Path(self.config).stem: self.config} if self.config else {})

    def _config_of(self, arch: str) -> str:
        if arch not in self._configs():
            raise unknown_name("architecture of evaluator 'mmseg'", arch, self._configs())
        return self._configs()[arch]

    def _identity(self, arch: str) -> dict[str, Any]:
        found = self._described(arch)
        return {
            "config": Path(self._config_of(arch)).name,  # not where it lies: elsewhere it is the same protocol
            "config_sha256": hashlib.sha256(found["config"].encode()).hexdigest(),
            "pretrained": _sha256(Path(self.pretrained)) if self.pretrained else None,
            "versions": found["versions"],
        }

    def _check(self, arch: str, protocol: Json, context: Context) -> None:
        for key, now in self._identity(arch).items():
            if protocol[key] != now:
                raise ConfigError(
                    f"protocol.{key} is {protocol[key]}, but here it is {now}: it says what is there; to use another, "
                    "set an option of evaluator mmseg, and after a change of files or packages start again"
                )
        if protocol["precision"] != "fp32" and not context.device.startswith("cuda"):
            raise ConfigError(f"protocol.precision is '{protocol['precision']}': mmengine needs --device cuda for it")


NO_TEACHER = "evaluator mmseg makes no teachers: train one with --evaluator torch"


def _work(context: Context) -> Path:
    return context.workdir.resolve() / "mmseg"


@cache
def _description(python: str, config: str) -> Json:
    """What ``mmseg_process.describe`` tells; it takes seconds, since mmengine imports torch."""
    return run_job(TOOL, python, {"job": "describe", "config": config})


def _literal(described: Json) -> dict[str, Any]:
    found: dict[str, Any] = ast.literal_eval(described["config"])
    return found


def _sha256(file: Path) -> str:
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"evaluator mmseg: pretrained is {file}: {error.strerror}; name a file") from error
