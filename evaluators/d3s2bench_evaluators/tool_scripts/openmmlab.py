"""mmcv without what it compiles, and mmengine without setuptools.

mmcv-lite will do for networks whose operations have a way in plain torch.
"""

from __future__ import annotations

import importlib
import sys
import types
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any


class _NotCompiled(types.ModuleType):
    """Stands in for mmcv's compiled operations while ``mmcv.ops`` looks whether they are there."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*args: Any, **kwargs: Any) -> None:
            raise RuntimeError(f"this network needs mmcv's compiled operation '{name}': install mmcv for mmcv-lite")

        return missing


def import_operations() -> None:
    """``mmcv.ops``, without what is compiled where that is missing."""
    if find_spec("mmcv._ext") is not None:
        return
    sys.modules["mmcv._ext"] = _NotCompiled("mmcv._ext")
    try:
        importlib.import_module("mmcv.ops")
        attention: Any = importlib.import_module("mmcv.ops.multi_scale_deform_attn")
        attention.IS_CUDA_AVAILABLE = False  # on a GPU, too, it then takes its way in plain torch
    finally:
        del sys.modules["mmcv._ext"]  # mmengine's report of the environment would take it for the real one


def find_packages_without_setuptools() -> None:
    """mmengine finds the base of ``_base_ = 'mmseg::…'`` through pkg_resources, which setuptools 82 has no more."""
    if find_spec("pkg_resources") is None:
        module: Any = importlib.import_module("mmengine.config.config")
        module.is_installed = _is_installed
        module.get_installed_path = _folder


def _is_installed(distribution: str) -> bool:
    return any(metadata.distributions(name=distribution))


def _folder(distribution: str) -> str:
    """That of its import package."""
    top = metadata.distribution(distribution).read_text("top_level.txt") or distribution
    spec = find_spec(top.split()[0])
    assert spec and spec.origin
    return str(Path(spec.origin).parent)
