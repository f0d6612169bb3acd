"""d3s2bench: the benchmark suite for dataset distillation in semantic segmentation.

The names below are the public face. Everything is loaded when first used, so that ``import d3s2bench`` is fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from d3s2bench.api import distill, evaluate, leaderboard, run
    from d3s2bench.checkpoint import train_steps
    from d3s2bench.component import Component
    from d3s2bench.errors import (
        BudgetError,
        ConfigError,
        D3S2Error,
        DatasetError,
        ModelError,
        PluginError,
        StageError,
        StoreError,
        UnknownNameError,
        WorkerDied,
        first_line,
        plain,
        unknown_name,
    )
    from d3s2bench.execution.remote import run_task
    from d3s2bench.execution.resources import cores
    from d3s2bench.files import file_sha256
    from d3s2bench.hookspecs import hookimpl
    from d3s2bench.hub import pretrained_folder, pretrained_sha256, require_weights
    from d3s2bench.interfaces import Context, Dataset, Folders, Generator, Site, Split, Tap, Task, Teacher
    from d3s2bench.metrics import scores
    from d3s2bench.plugins import configure, options_of
    from d3s2bench.seeds import derive_seed
    from d3s2bench.sets.distilled import DistilledSet
    from d3s2bench.sets.mask_index import build_mask_index
    from d3s2bench.values import IGNORE, Budget, Counts, Image, Json, Mask, MaskIndex, Sample, Selection

_HOMES = {
    "api": ("distill", "evaluate", "leaderboard", "run"),
    "checkpoint": ("train_steps",),
    "component": ("Component",),
    "sets.distilled": ("DistilledSet",),
    "sets.mask_index": ("build_mask_index",),
    "errors": (
        "BudgetError",
        "ConfigError",
        "D3S2Error",
        "DatasetError",
        "ModelError",
        "PluginError",
        "StageError",
        "StoreError",
        "UnknownNameError",
        "WorkerDied",
        "first_line",
        "plain",
        "unknown_name",
    ),
    "execution.remote": ("run_task",),
    "execution.resources": ("cores",),
    "files": ("file_sha256",),
    "hookspecs": ("hookimpl",),
    "hub": ("pretrained_folder", "pretrained_sha256", "require_weights"),
    "interfaces": ("Context", "Dataset", "Folders", "Generator", "Site", "Split", "Tap", "Task", "Teacher"),
    "metrics": ("scores",),
    "plugins": ("configure", "options_of"),
    "seeds": ("derive_seed",),
    "values": (
        "IGNORE",
        "Budget",
        "Counts",
        "Image",
        "Json",
        "Mask",
        "MaskIndex",
        "Sample",
        "Selection",
    ),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "IGNORE",
    "Budget",
    "BudgetError",
    "Component",
    "ConfigError",
    "Context",
    "Counts",
    "D3S2Error",
    "Dataset",
    "DatasetError",
    "DistilledSet",
    "Folders",
    "Generator",
    "Image",
    "Json",
    "Mask",
    "MaskIndex",
    "ModelError",
    "PluginError",
    "Sample",
    "Selection",
    "Site",
    "Split",
    "StageError",
    "StoreError",
    "Tap",
    "Task",
    "Teacher",
    "UnknownNameError",
    "WorkerDied",
    "build_mask_index",
    "configure",
    "cores",
    "derive_seed",
    "distill",
    "evaluate",
    "file_sha256",
    "first_line",
    "hookimpl",
    "leaderboard",
    "options_of",
    "plain",
    "pretrained_folder",
    "pretrained_sha256",
    "require_weights",
    "run",
    "run_task",
    "scores",
    "train_steps",
    "unknown_name",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'd3s2bench' has no attribute '{name}'")
    return getattr(import_module(f"d3s2bench.{_HOME[name]}"), name)
