"""Evaluators: they train a student on a distilled set and count its predictions."""

from __future__ import annotations

from d3s2bench import Component, hookimpl


@hookimpl
def register_evaluators() -> list[Component]:
    """``mmseg`` and ``detectron2`` require nothing here: they may be installed for another interpreter, and say
    themselves what is missing."""
    home = "d3s2bench_evaluators"
    return [
        Component("evaluator", "torch", f"{home}.torch_evaluator:Torch", "Small and published networks in plain torch"),
        Component("evaluator", "mmseg", f"{home}.mmseg_evaluator:Mmseg", "mmsegmentation's Runner, in its own process"),
        Component(
            "evaluator",
            "detectron2",
            f"{home}.detectron2_evaluator:Detectron2",
            "detectron2's trainer, in its own process",
        ),
    ]
