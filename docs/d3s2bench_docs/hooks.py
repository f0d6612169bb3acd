"""The reference of the hooks and of what each kind of component looks like."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from d3s2bench_docs.text import Item, attribute_docs, line, markdown, own_doc, signature


def items() -> Iterator[Item]:
    for hook in _hooks():
        yield Item("hooks", hook.__name__, hook.__doc__ or "")
    for interface in _interfaces():
        yield Item("interfaces", interface.__name__, own_doc(interface))


def page() -> str:
    from d3s2bench import hookspecs, interfaces

    about = [f"# Hooks and interfaces\n\n{markdown(hookspecs.__doc__)}", f"`API = {hookspecs.API}`. {_api()}\n"]
    hooks = [f"### {hook.__name__}\n\n{_signature(hook)}\n\n{markdown(hook.__doc__)}" for hook in _hooks()]
    shown = [f"### {each.__name__}\n\n```python\n{inspect.getsource(each)}```\n" for each in _interfaces()]
    return "\n".join([*about, "## Hooks\n", *hooks, f"## Interfaces\n\n{markdown(interfaces.__doc__)}", *shown])


def _api() -> str:
    from d3s2bench import hookspecs

    return line(attribute_docs(hookspecs)["API"])


def _signature(hook: Any) -> str:
    return f"```python\ndef {hook.__name__}{signature(hook)}\n```"


def _hooks() -> list[Any]:
    from d3s2bench import hookspecs
    from d3s2bench.discovery import HOOKS

    return [getattr(hookspecs, name) for name in HOOKS]


def _interfaces() -> list[Any]:
    """The classes of ``interfaces.py``, in the order in which they are to be read."""
    from d3s2bench import interfaces

    return [
        found
        for name, found in vars(interfaces).items()
        if inspect.isclass(found) and found.__module__ == interfaces.__name__ and not name.startswith("_")
    ]
