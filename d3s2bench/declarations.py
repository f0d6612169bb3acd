"""What a component declares of itself, and in words what is wrong with it: for a run and for the contracts."""

from __future__ import annotations

from typing import Any

from d3s2bench.interfaces import Evaluator, Selector, Synthesizer

MODELS = ("generator", "teacher", "torch")
"""What a component may need; ``torch`` stands for no model."""
DECLARING = {"selector": Selector, "synthesizer": Synthesizer, "evaluator": Evaluator}
"""Kind → what its components look like; those of other kinds declare nothing."""


def wrong_declarations(kind: str, component: Any) -> str | None:
    """What a run cannot do without and this component does not say, or says wrongly; None when all is well."""
    if kind not in DECLARING:
        return None
    interface = DECLARING[kind]
    if missing := sorted(name for name in _declared(interface) if not hasattr(component, name)):
        return f"it does not declare {', '.join(missing)}: see {interface.__name__} in d3s2bench/interfaces.py"
    return wrong_needs(component.needs)


def wrong_needs(needs: Any) -> str | None:
    """What is wrong with the ``needs`` of a component; None when they are as they should be."""
    if not isinstance(needs, tuple):
        return f'its needs must be a tuple, as ("teacher",), not {needs!r}'
    if any(need not in MODELS for need in needs):
        return f"its needs are {needs}: give some of {', '.join(MODELS)}"
    return None


def _declared(interface: Any) -> set[str]:
    """Its attributes and properties, not its methods."""
    return {*interface.__annotations__, *(name for name, what in vars(interface).items() if isinstance(what, property))}
