"""detectron2 without what torchvision compiles: semantic segmentation needs none of it."""

from __future__ import annotations

import importlib
import sys
from typing import Any


def import_detectron2() -> None:
    """torchvision built for another torch raises at its import unless its operations have their signatures; detectron2
    imports it for boxes, which semantic segmentation has none of."""
    import torch

    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library: Any = torch.library.Library
        _SIGNATURES.append(library("torchvision", "DEF"))
        for operation in ("nms", "qnms"):
            _SIGNATURES[0].define(f"{operation}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        importlib.import_module("torchvision")
    importlib.import_module("detectron2.engine")


_SIGNATURES: list[Any] = []
"""They last as long as this object."""
