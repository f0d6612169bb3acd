"""The selectors that come with d3s2bench: which images of the train split a distilled set is made from."""

from __future__ import annotations

from d3s2bench import Component, hookimpl


@hookimpl
def register_selectors() -> list[Component]:
    """One file each; its docstring says where the method comes from and what in it is a re-implementation."""
    home = "d3s2bench_selectors"
    return [
        Component("selector", "random", f"{home}.random:Random", "Uniform, without replacement (control)"),
        Component("selector", "balanced", f"{home}.balanced:Balanced", "D3S2 stage 1: greedy, rarest classes first"),
        Component("selector", "k-center", f"{home}.k_center:KCenter", "Greedy k-center on the teacher's features"),
        Component("selector", "dfss", f"{home}.dfss:Dfss", "DFSS: nearest to the teacher's BatchNorm statistics"),
    ]
