"""``d3s2bench leaderboard``: records as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from d3s2bench.cli.options import Debug, Folder, Plugins


def leaderboard(
    folder: Folder,
    format: Annotated[str, typer.Option("--format", help="A renderer: markdown, csv, latex, …")] = "markdown",
    out: Annotated[Path | None, typer.Option("--out", help="File to write, else stdout; a folder for figures.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="An option of the format. Repeatable.")
    ] = None,
    plugin: Plugins = None,
    debug: Debug = False,
) -> None:
    """Print all records of a folder as a table."""
    from d3s2bench import api
    from d3s2bench.config import parse_assignments
    from d3s2bench.errors import ConfigError
    from d3s2bench.files import write_bytes

    made = api.leaderboard(folder, format, plugin or (), **parse_assignments(set_ or []))
    if not isinstance(made, str):
        if out is None:
            raise ConfigError(f"--format {format} makes {len(made)} files: name a folder for them with --out")
        for name, content in made.items():
            write_bytes(out / name, content)
    elif out:
        write_bytes(out, made.encode())
    else:
        typer.echo(made, nl=not made.endswith("\n"))
