"""The protocol an evaluator trains under unless the user says otherwise: its own, with what is published for a dataset.

Both methods of :class:`d3s2bench.interfaces.Evaluator` that are optional are asked for here alone.
"""

from __future__ import annotations

from typing import Any

from d3s2bench.values import Json


def dataset_recipe(evaluator: Any, arch: str, dataset: str) -> Json:
    """What is published of an architecture for a dataset, ``size`` among it; may be nothing."""
    return evaluator.dataset_recipe(arch, dataset) if hasattr(evaluator, "dataset_recipe") else {}


def default_protocol(evaluator: Any, arch: str, dataset: str, size: tuple[int, int]) -> dict[str, Any]:
    """For images of ``size`` (width, height); the user's changes come on top of it."""
    return {**evaluator.protocol(arch, size), **dataset_recipe(evaluator, arch, dataset), "size": list(size)}


def completed(evaluator: Any, arch: str, protocol: dict[str, Any]) -> dict[str, Any]:
    """With what the user's changes left open."""
    return dict(evaluator.completed(arch, protocol)) if hasattr(evaluator, "completed") else protocol
