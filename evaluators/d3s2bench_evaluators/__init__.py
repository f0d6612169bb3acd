"""Evaluators: they train a student on a distilled set and count its predictions."""

from __future__ import annotations

from d3s2bench import Component, hookimpl


@hookimpl
def register_evaluators() -> list[Component]:
    summary = "U-Net and DeepLab students in plain torch, from random initialisation"
    return [Component("evaluator", "torch", "d3s2bench_evaluators.torch_evaluator:Torch", summary)]
