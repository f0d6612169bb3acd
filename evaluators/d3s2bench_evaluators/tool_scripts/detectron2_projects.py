"""The projects of detectron2 that a config may use: DeepLab, PointRend and, where it is importable, Mask2Former."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from typing import Any

from .jobs import JobError, package_folder

USES = {
    "DeepLabV3Head": ("deeplab",),
    "DeepLabV3PlusHead": ("deeplab",),
    "WarmupPolyLR": ("deeplab",),
    "PointRendSemSegHead": ("point_rend",),
    "MaskFormer": ("deeplab", "mask2former"),
}
"""What a config names → the projects that define it."""


def projects_of(said: Any) -> list[str]:
    model, solver = said.get("MODEL", {}), said.get("SOLVER", {})
    names = (
        model.get("META_ARCHITECTURE"),
        model.get("SEM_SEG_HEAD", {}).get("NAME"),
        solver.get("LR_SCHEDULER_NAME"),
    )
    return sorted({project for name in names for project in USES.get(name, ())})


def defaults(projects: list[str]) -> Any:
    """With the projects' keys; their networks are registered then."""
    from detectron2.config import get_cfg

    config = get_cfg()
    if "deeplab" in projects:
        importlib.import_module("detectron2.projects.deeplab").add_deeplab_config(config)
    if "point_rend" in projects:
        _project("detectron2.projects.point_rend", "PointRend").add_pointrend_config(config)
    if "mask2former" in projects:
        _mask2former().add_maskformer2_config(config)
    return config


def _project(module: str, name: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        reason = " ".join(str(error).split())
        raise JobError(f"evaluator detectron2: {sys.executable} cannot import {name} ({reason}): {PROJECT}") from error


PROJECT = (
    "PointRend and Mask2Former need opencv-python-headless, Mask2Former also timm, scipy and a checkout of "
    "github.com/facebookresearch/Mask2Former on the PYTHONPATH or in a .pth file of site-packages"
)


def _mask2former() -> Any:
    """Its attention in plain torch where its operations are not compiled: its own way on CPUs, taken on any error."""
    try:
        importlib.import_module("MultiScaleDeformableAttention")
    except ImportError:
        sys.modules["MultiScaleDeformableAttention"] = types.ModuleType("MultiScaleDeformableAttention")
    return _project("mask2former", "Mask2Former")


def mask2former_trainer() -> Any:
    """Of its training script, which lies beside its package."""
    _mask2former()
    script = package_folder("mask2former").parent / "train_net.py"
    if not script.is_file():
        raise JobError(f"evaluator detectron2: no {script}: Mask2Former must be a whole checkout")
    spec = importlib.util.spec_from_file_location("mask2former_train_net", script)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Trainer
