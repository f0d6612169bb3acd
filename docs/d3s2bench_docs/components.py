"""The reference of the components that come with d3s2bench: what each does, from its docstrings, and its options."""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Iterator
from typing import Any

from d3s2bench.discovery import KINDS, Registered
from d3s2bench.hookspecs import PROJECT
from d3s2bench.plugins import registry
from d3s2bench_docs.text import (
    Item,
    attribute_docs,
    code,
    default_of,
    described,
    line,
    markdown,
    own_doc,
    table,
    without_attributes,
)

ENGINE_FIELDS = {"dataset": {"root", "cache", "name"}, "renderer": {"folder"}}
"""Fields that the engine fills in."""
ABOVE = "see above"
SET_AS = {"synthesizer": "synth"}
"""What options of a kind begin with, where that is not its own name."""


def items() -> Iterator[Item]:
    for kind in kinds():
        for entry in filter(readable, of_kind(kind)):
            yield Item(kind, entry.component.name, entry.component.summary and about(_class(entry)))
            for field in options(entry):
                yield Item(f"{kind} {entry.component.name}", field.name, option_text(_class(entry), field.name))


def pages() -> dict[str, tuple[str, str]]:
    """File name → title and text, one for each kind."""
    return {f"{kind}s.md": (f"{kind.capitalize()}s", _page(kind)) for kind in kinds()}


def kinds() -> list[str]:
    return [kind for kind in KINDS if of_kind(kind)]


def of_kind(kind: str) -> list[Registered]:
    """What comes with d3s2bench itself, other plugins apart."""
    return [row for row in registry().rows if row.component.kind == kind and row.package == PROJECT]


def readable(entry: Registered) -> bool:
    """Whether the libraries it needs are here; without them its module cannot be read."""
    return entry.status == "ok"


def options(entry: Registered) -> list[dataclasses.Field[Any]]:
    cls = _class(entry)
    given = ENGINE_FIELDS.get(entry.component.kind, set())
    return [f for f in dataclasses.fields(cls) if f.name not in given] if dataclasses.is_dataclass(cls) else []


def about(cls: type[Any]) -> str:
    """What the module says of the method, and what the class says; its options stand in a table."""
    module = sys.modules[cls.__module__]
    return "\n".join(markdown(text) for text in (module.__doc__, without_attributes(own_doc(cls))) if text)


def option_text(cls: type[Any], name: str) -> str:
    """What is told of an option: below its field, in a list of attributes, else somewhere in the text above."""
    for owner in cls.__mro__[:-1]:
        if told := attribute_docs(owner).get(name) or described(owner.__doc__).get(name):
            return line(told)
    texts = " ".join(f"{owner.__doc__} {sys.modules[owner.__module__].__doc__}" for owner in cls.__mro__[:-1])
    return ABOVE if any(re.search(rf"\b{name}\b", span) for span in re.findall(r"``(.+?)``", texts)) else ""


def _class(entry: Registered) -> type[Any]:
    return registry().load(entry.component.kind, entry.component.name)


def _page(kind: str) -> str:
    flag = SET_AS.get(kind, kind)
    known = [f"- [{row.component.name}](#{row.component.name}): {row.component.summary}" for row in of_kind(kind)]
    intro = f"Options are set as `--set {flag}.NAME.OPTION=VALUE`." if kind != "renderer" else RENDERER
    shown = [_section(entry, flag) for entry in of_kind(kind)]
    return "\n".join([f"# {kind.capitalize()}s\n", intro + "\n", *known, "", *shown])


RENDERER = "Formats of `d3s2bench leaderboard --format NAME`; their options are set there as `--set OPTION=VALUE`."


def _section(entry: Registered, flag: str) -> str:
    if not readable(entry):
        return f"## {entry.component.name}\n\n{entry.component.summary}. Its options are not shown: {entry.status}.\n"
    cls = _class(entry)
    rows = [(f"`{f.name}`", f"`{_type(f)}`", code(default_of(f)), option_text(cls, f.name)) for f in options(entry)]
    needs = f"Needs the packages {', '.join(entry.component.requires)}.\n" if entry.component.requires else ""
    source = f"`{cls.__module__}:{cls.__name__}`"
    facts = " · ".join([source, *_declared(cls)])
    shown = table(("option", "type", "default", "meaning"), rows)
    return f"## {entry.component.name}\n\n{facts}\n\n{about(cls)}\n{needs}\n{shown}"


def _declared(cls: type[Any]) -> Iterator[str]:
    """What its class variables say that matters to one who runs it."""
    if isinstance(needs := inspect.getattr_static(cls, "needs", None), tuple):
        yield f"needs {', '.join(needs) or 'no model'}"
    if isinstance(fixed := inspect.getattr_static(cls, "deterministic", None), bool):
        yield "the seed does not matter" if fixed else "depends on the seed"


def _type(field: dataclasses.Field[Any]) -> str:
    return str(field.type).replace("'", "")
