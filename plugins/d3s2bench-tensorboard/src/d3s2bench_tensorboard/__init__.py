"""Records in TensorBoard: an observer for d3s2bench."""

from __future__ import annotations

from d3s2bench import Component, hookimpl

d3s2bench_api = 1


@hookimpl
def register_observers() -> list[Component]:
    target = "d3s2bench_tensorboard.observer:TensorBoard"
    return [Component("observer", "tensorboard", target, "Each record as a run of TensorBoard", ("tensorboardX",))]
