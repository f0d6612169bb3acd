"""The reference of the command line, from the commands themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import typer

from d3s2bench_docs.text import Item, inline, markdown, table

DEFAULT = re.compile(r"\s*\[default: (?P<default>[^\]]+)\]")
NOT_OURS = {"help", "install_completion", "show_completion"}
"""What click and typer add, and describe, by themselves."""


@dataclass(frozen=True)
class Command:
    """A command with its place: ``("d3s2bench", "store", "gc")``."""

    path: tuple[str, ...]
    command: Any
    context: Any

    @property
    def title(self) -> str:
        return " ".join(self.path)

    @property
    def parameters(self) -> list[Any]:
        return [p for p in self.command.params if p.name not in NOT_OURS]

    def subcommands(self) -> Iterator[Command]:
        for name in getattr(self.command, "list_commands", lambda _: [])(self.context):
            found = self.command.get_command(self.context, name)
            yield Command((*self.path, name), found, _context(found, name, self.context))


def _context(command: Any, name: str, parent: Any = None) -> Any:
    return command.context_class(command, info_name=name, parent=parent)


def root() -> Command:
    from d3s2bench.cli.app import app

    command = typer.main.get_command(app)
    return Command(("d3s2bench",), command, _context(command, "d3s2bench"))


@cache
def commands() -> tuple[Command, ...]:
    """All commands, groups before what is in them."""

    def below(command: Command) -> Iterator[Command]:
        yield command
        for each in command.subcommands():
            yield from below(each)

    return tuple(below(root()))


def items() -> Iterator[Item]:
    for command in commands():
        yield Item("command line", command.title, command.command.help or "")
        for parameter in command.parameters:
            yield Item(command.title, _name(parameter), getattr(parameter, "help", None) or "")


def page() -> str:
    sections = [_section(command) for command in commands()[1:]]
    return f"# Command line\n\n{markdown(root().command.help)}\n{COMPLETION}\n" + "\n".join(sections)


COMPLETION = """`d3s2bench --install-completion` sets up completion for the shell that it is started in.

Exit codes: 0, all went well; 1, an error, told in one line on stderr; 2, the command is not spelt so; 130, stopped
with Ctrl-C, and the same command goes on where it was. The table alone goes to stdout. `--debug` shows the traceback of
an error.
"""


def _section(command: Command) -> str:
    rank = "#" * len(command.path)
    usage = re.sub(r"[{}]", "", " ".join(command.command.collect_usage_pieces(command.context)))
    parameters = table(("option", "value", "default", "meaning"), map(_row, command.parameters))
    about = markdown(command.command.help)
    return f"{rank} {command.title}\n\n{about}\n```\n{command.title} {usage}\n```\n\n{parameters}"


def _row(parameter: Any) -> tuple[str, str, str, str]:
    told = getattr(parameter, "help", None) or ""
    found = DEFAULT.search(told)
    meaning = inline(DEFAULT.sub("", told)) + (" Required." if parameter.required else "")
    return f"`{_name(parameter)}`", _value(parameter), found["default"] if found else _default(parameter), meaning


def _name(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.human_readable_name)
    return ", ".join(parameter.opts + parameter.secondary_opts)


def _value(parameter: Any) -> str:
    if parameter.param_type_name == "argument" or getattr(parameter, "is_flag", False):
        return ""
    return f"`{parameter.metavar or parameter.type.name.upper()}`"


def _default(parameter: Any) -> str:
    value = parameter.default
    return "" if value in (None, False, "", (), []) or callable(value) else f"{value}"
