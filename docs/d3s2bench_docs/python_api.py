"""The reference of the names that ``from d3s2bench import …`` gives."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Iterator
from typing import Any

import d3s2bench
from d3s2bench_docs.text import Item, attribute_docs, code, line, markdown, own_doc, signature, table


def items() -> Iterator[Item]:
    for name in d3s2bench.__all__:
        yield Item("d3s2bench", name, _doc(name))


def page() -> str:
    names = sorted(d3s2bench.__all__, key=str.lower)
    return f"# Python\n\n{markdown(d3s2bench.__doc__)}\n" + "\n".join(map(_section, names))


def _section(name: str) -> str:
    found = getattr(d3s2bench, name)
    if inspect.isfunction(found):
        return f"## {name}\n\n{_call(name, found)}\n\n{markdown(_doc(name))}"
    if getattr(found, "_is_protocol", False):
        return f"## {name}\n\n{line(_doc(name))} [Interface](hooks.md#{name.lower()})\n"
    if inspect.isclass(found):
        return f"## {name}\n\n{markdown(_doc(name))}\n{_fields(found)}\n{_methods(found)}"
    return f"## {name}\n\n{markdown(_doc(name))}"


def _doc(name: str) -> str:
    """Of a function or class its docstring; of a value the string below it."""
    found = getattr(d3s2bench, name)
    if inspect.isfunction(found):
        return found.__doc__ or ""
    if inspect.isclass(found) and found.__name__ == name:
        return own_doc(found)
    module = importlib.import_module(f"d3s2bench.{d3s2bench._HOME[name]}")
    return attribute_docs(module).get(name, "")


def _call(name: str, function: Any) -> str:
    return f"```python\n{name}{signature(function)}\n```"


def _fields(cls: type[Any]) -> str:
    if not dataclasses.is_dataclass(cls):
        return ""
    told = attribute_docs(cls)
    rows = [(f"`{f.name}`", f"`{f.type}`", _default(f), line(told.get(f.name, ""))) for f in dataclasses.fields(cls)]
    return table(("field", "type", "default", "meaning"), rows)


def _default(field: dataclasses.Field[Any]) -> str:
    return "" if field.default is dataclasses.MISSING else code(field.default)


def _methods(cls: type[Any]) -> str:
    """Public methods and properties that have a docstring, in the order of the source."""
    fields = {f.name for f in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else set()
    shown = []
    for name, member in vars(cls).items():
        function = getattr(member, "fget", None) or getattr(member, "__func__", None) or member
        if name.startswith("_") or name in fields or not inspect.isfunction(function) or not function.__doc__:
            continue
        call = name if isinstance(member, property) else f"{name}{signature(function)}"
        shown.append(f"- `{call}`: {line(function.__doc__)}")
    return "\n".join(shown) + "\n" if shown else ""
