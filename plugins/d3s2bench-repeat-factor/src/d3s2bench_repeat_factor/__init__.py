"""Repeat-factor sampling: a selector for d3s2bench."""

from __future__ import annotations

from d3s2bench import Component, hookimpl

d3s2bench_api = 1


@hookimpl
def register_selectors() -> list[Component]:
    target = "d3s2bench_repeat_factor.selector:RepeatFactor"
    return [Component("selector", "repeat-factor", target, "Rare classes drawn more often (LVIS)")]
