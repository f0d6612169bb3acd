"""``d3s2bench leaderboard``: records as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from d3s2bench.cli.options import Debug, Folder


def leaderboard(
    folder: Folder,
    format: Annotated[str, typer.Option("--format", help="markdown, csv or latex.")] = "markdown",
    out: Annotated[Path | None, typer.Option("--out", help="File to write; stdout by default.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="An option of the format. Repeatable.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Print all records of a folder as a table."""
    from d3s2bench import api
    from d3s2bench.config import parse_assignments
    from d3s2bench.files import write_bytes

    table = api.leaderboard(folder, format, **parse_assignments(set_ or []))
    if out:
        write_bytes(out, table.encode())
    else:
        typer.echo(table, nl=not table.endswith("\n"))
