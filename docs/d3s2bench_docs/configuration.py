"""The reference of the configuration keys, the presets and the training protocols."""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Iterator
from typing import Any

from d3s2bench.config import OPTION_KINDS, PRESETS, RunConfig
from d3s2bench_docs import command_line
from d3s2bench_docs.text import Item, attribute_docs, code, default_of, line, markdown, table

INTRODUCTION = """A run is one configuration. Its layers are merged in this order, the last one wins: the defaults
below, `--preset`, the file of `--config`, the options of the command and `--set KEY=VALUE`. Python takes the same keys:
`run(selector="balanced", rate=[0.01, 0.02])`. A key that is not known, or a value of the wrong type, is an error that
names the nearest known one.

In a file and after `--set`, `KIND.NAME.OPTION` is an option of a [component](selectors.md) (`synth.guided.scale: 2`;
KIND is one of KINDS), and `protocol.KEY` a part of the [training protocol](protocols.md) (`protocol.iterations: 300`).
On an axis a single value stands for a list of one.
"""


def items() -> Iterator[Item]:
    for field in _fields():
        yield Item("RunConfig", field.name, _text(field.name))


def page() -> str:
    rows = [(f"`{f.name}`", f"`{f.type}`", code(default_of(f)), line(_text(f.name))) for f in _fields()]
    keys = table(("key", "type", "default", "meaning"), rows)
    introduction = INTRODUCTION.replace("KINDS", ", ".join(f"`{kind}`" for kind in OPTION_KINDS))
    return "\n".join(["# Configuration\n", introduction, keys, _presets()])


def _fields() -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(RunConfig)


def _text(key: str) -> str:
    """What stands below the key in the code, else what the option of the same name says."""
    if told := attribute_docs(RunConfig).get(key):
        return told
    options = (p for command in command_line.commands() for p in command.parameters if p.name == key)
    return next((command_line.DEFAULT.sub("", p.help) for p in options if getattr(p, "help", None)), "")


def _presets() -> str:
    files = sorted(PRESETS.glob("*.yaml"))
    shown = [f"### {file.stem}\n\n```yaml\n{file.read_text(encoding='utf-8')}```\n" for file in files]
    return "\n".join(["## Presets\n", *shown])


def protocols() -> str:
    """The page of the training protocols of the evaluator ``torch``."""
    module = importlib.import_module("d3s2bench_evaluators.protocol")
    shown = []
    for arch in module.architectures():
        protocol = module.default_protocol(arch, (96, 72))
        protocol.pop("size")
        rows = [(f"`{key}`", f"`{json.dumps(value)}`") for key, value in protocol.items()]
        shown.append(f"### {arch}\n\n{table(('key', 'default'), rows)}")
    about = [markdown(module.__doc__), markdown(attribute_docs(module).get("RECIPES")), "## Architectures\n"]
    return "\n".join(["# Training protocols\n", PROTOCOL, *about, *shown])


PROTOCOL = """A protocol is all of a training that changes the numbers and is no method's own. It is written into each
record and hashed; numbers of different hashes never share a column of a table. `--set protocol.KEY=VALUE` changes a key
for all methods of a run, controls among them.
"""
