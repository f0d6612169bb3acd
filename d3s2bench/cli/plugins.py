"""``d3s2bench plugins``: all components, where they come from and whether they work."""

from __future__ import annotations

from typing import Annotated

import typer

from d3s2bench.cli.options import Debug


def plugins(
    json: Annotated[bool, typer.Option("--json", help="As a JSON list.")] = False, debug: Debug = False
) -> None:
    """List all components, where they come from and whether they work."""
    from d3s2bench.plugins import registry

    rows = [entry.row() for entry in registry().rows]
    if json:
        from json import dumps

        typer.echo(dumps(rows, indent=1))
        return
    columns = ("kind", "name", "package", "version", "status", "summary")
    widths = [max(len(name), *(len(row[name]) for row in rows)) for name in columns]
    for row in [{name: name.upper() for name in columns}, *rows]:
        typer.echo("  ".join(row[name].ljust(width) for name, width in zip(columns, widths, strict=True)).rstrip())
