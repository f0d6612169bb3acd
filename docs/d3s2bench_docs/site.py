"""All generated pages: address below ``docs/`` → title and text."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from d3s2bench_docs import command_line, components, configuration, hooks, python_api, schemas
from d3s2bench_docs.text import Item


@cache
def pages() -> dict[str, tuple[str, str]]:
    single = {
        "command-line.md": ("Command line", command_line.page()),
        "configuration.md": ("Configuration", configuration.page()),
        "protocols.md": ("Training protocols", configuration.protocols()),
        "hooks.md": ("Hooks and interfaces", hooks.page()),
        "python.md": ("Python", python_api.page()),
    }
    return {f"reference/{name}": page for name, page in (single | components.pages() | schemas.pages()).items()}


def items() -> Iterator[Item]:
    """Everything that must have a text."""
    for module in (command_line, configuration, hooks, components, schemas, python_api):
        yield from module.items()
