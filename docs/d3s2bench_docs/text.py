"""From docstrings to Markdown: what all generated pages share."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from typing import Any

ROLE = re.compile(r":(?:func|class|meth|mod|attr):`~?([^`]+)`")
SECTION = re.compile(
    r"^(?P<title>Args|Attributes|Raises|Returns|Yields):\n(?P<body>.*?)(?=^\S|\Z)", re.MULTILINE | re.DOTALL
)
ENTRY = re.compile(r"(?P<name>[\w., ]+?): (?P<text>.*)")
EMPHASIS = re.compile(r"\*(\w[\w -]*)\*")
BULLET = re.compile(r"- ``(?P<name>\w+)``: (?P<text>.*)")


@dataclasses.dataclass(frozen=True)
class Item:
    """Something that must be documented: where it stands, its name, and the text that was found (may be empty)."""

    where: str
    name: str
    text: str


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; empty without rows."""
    lines = [" | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) for row in rows]
    return "\n".join([" | ".join(head), " | ".join("---" for _ in head), *lines]) + "\n" if lines else ""


def code(value: Any) -> str:
    """A value as code; what is empty or unset stays readable."""
    return f"`{value!r}`" if isinstance(value, str) else f"`{value}`"


def default_of(field: dataclasses.Field[Any]) -> Any:
    """The default of a field that has one."""
    make = field.default_factory
    return field.default if make is dataclasses.MISSING else make()


def line(text: str) -> str:
    """A docstring's text in one line of Markdown."""
    return inline(" ".join(text.split()))


def inline(text: str) -> str:
    """Roles and double backticks as code; angle brackets outside code are no HTML."""
    parts = ROLE.sub(r"`\1`", text).replace("``", "`").split("`")
    parts[::2] = map(_escaped, parts[::2])
    return "`".join(parts)


def _escaped(prose: str) -> str:
    """Without what Markdown would take for HTML or for emphasis that is none."""
    pieces = EMPHASIS.split(prose.replace("<", "&lt;"))
    pieces[::2] = [piece.replace("*", "\\*") for piece in pieces[::2]]
    pieces[1::2] = [f"*{piece}*" for piece in pieces[1::2]]
    return "".join(pieces)


def markdown(docstring: str | None) -> str:
    """A whole docstring: paragraphs, lists, examples; its sections as lists under a bold word."""
    text, made, end = inspect.cleandoc(docstring or ""), [], 0
    for section in SECTION.finditer(text):
        made += [_prose(text[end : section.start()]), _section(section["title"], section["body"])]
        end = section.end()
    return "\n".join([*made, _prose(text[end:])]).rstrip() + "\n"


def _prose(block: str) -> str:
    """Paragraphs; what is indented, or begins with >>>, is code."""
    out: list[str] = []
    for indented, paragraphs in groupby(re.split(r"\n\s*\n", block.rstrip()), lambda each: each.startswith("    ")):
        if indented:
            out.append(_fence("python", textwrap.dedent("\n\n".join(paragraphs))))
        else:
            out += [_fence("pycon", p) if p.startswith(">>>") else _lists(inline(p)) for p in paragraphs]
    return "\n\n".join(out) + "\n"


def _fence(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```"


def _lists(paragraph: str) -> str:
    """A list wants an empty line before it."""
    return re.sub(r"(?m)^(?!- |\d+\. |  )(.*)\n(?=- |1\. )", r"\1\n\n", paragraph)


def _section(title: str, body: str) -> str:
    entries = "\n".join(f"- {f'`{name}`: ' if name else ''}{line(text)}" for name, text in entries_of(body))
    return f"**{title}**\n\n{entries}\n"


def entries_of(body: str) -> Iterator[tuple[str, str]]:
    """``name: text`` entries of a section, whose further lines are indented deeper."""
    for entry in re.split(r"\n(?=\S)", textwrap.dedent(body).strip("\n")):
        found = ENTRY.match(entry.replace("\n", " "))
        yield (found["name"], entry.partition(": ")[2]) if found else ("", entry)


def described(docstring: str | None) -> dict[str, str]:
    """What the ``Attributes`` section and lists of the form "- ``name``: text" say of single fields."""
    text, found = inspect.cleandoc(docstring or ""), dict[str, str]()
    for section in SECTION.finditer(text):
        if section["title"] == "Attributes":
            for names, told in entries_of(section["body"]):
                found |= {name.strip(): line(told) for name in names.split(",")}
    for bullet in re.split(r"\n(?=- |\S)", text):
        if match := BULLET.match(" ".join(bullet.split())):
            found[match["name"]] = line(match["text"])
    return found


def attribute_docs(owner: Any) -> dict[str, str]:
    """Name → the string that stands below an assignment, in a class or a module."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(owner)))
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) and inspect.isclass(owner) else tree.body
    found = {}
    for statement, after in pairwise(body):
        for name in _assigned(statement):
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                found[name] = inspect.cleandoc(str(after.value.value))
    return found


def _assigned(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.AnnAssign):
        return [statement.target.id] if isinstance(statement.target, ast.Name) else []
    if isinstance(statement, ast.Assign):
        return [target.id for target in statement.targets if isinstance(target, ast.Name)]
    return []


def signature(function: Any) -> str:
    """``(…) -> …`` as it stands in the source."""
    definition = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(definition, ast.FunctionDef) and definition.returns
    return f"({ast.unparse(definition.args)}) -> {ast.unparse(definition.returns)}"


def without_attributes(docstring: str) -> str:
    """The docstring of a class without its ``Attributes`` section, for where a table shows them."""
    text = inspect.cleandoc(docstring)
    return SECTION.sub(lambda section: "" if section["title"] == "Attributes" else section[0], text)


def own_doc(cls: type[Any]) -> str:
    """The docstring that was written for a class, not the one that ``dataclass`` makes up."""
    text = cls.__dict__.get("__doc__") or ""
    return "" if text.startswith(f"{cls.__name__}(") else text
