"""``d3s2bench leaderboard``: records as a table, a page or figures."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from d3s2bench.cli.options import Debug, Folder, Plugins, StrictPlugins

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def leaderboard(
    folder: Folder,
    format: Annotated[str, typer.Option("--format", help="markdown, csv, latex, html or figures.")] = "markdown",
    out: Annotated[Path | None, typer.Option("--out", help="File to write, else stdout; a folder for figures.")] = None,
    rows: Annotated[
        str | None, typer.Option("--rows", metavar="KEYS", help="Of dataset,rate,arch,selector,synth,labels.")
    ] = None,
    columns: Annotated[
        str | None, typer.Option("--columns", metavar="KEYS", help="Of the same: a grid, as --columns dataset,rate.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option("--metric", help="miou, miou_tail, pixel_accuracy, bytes, seconds, …")
    ] = None,
    sort: Annotated[str | None, typer.Option("--sort", metavar="KEY", help="A key, score, std, …; -KEY turns.")] = None,
    where: Annotated[
        list[str] | None, typer.Option("--where", metavar="KEY=V,V", help="Filter; also KEY!=V, with *. Repeatable.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="An option of the format. Repeatable.")
    ] = None,
    plugin: Plugins = None,
    strict_plugins: StrictPlugins = None,
    debug: Debug = False,
) -> None:
    """Print all records of a folder as a table, or write them as a page or figures."""
    from d3s2bench import api
    from d3s2bench.config import parse_assignments
    from d3s2bench.plugins import registry

    if strict_plugins:
        registry(tuple(plugin or ())).require_healthy()
    axes = {name: text.split(",") for name, text in (("rows", rows), ("columns", columns)) if text}
    given = {"metric": metric, "sort": sort, "where": where or None} | axes
    options = {name: value for name, value in given.items() if value is not None} | parse_assignments(set_ or [])
    with _garbage_kept():
        made = api.leaderboard(folder, format, plugin or (), **options)
    _write(made, format, out)


@contextmanager
def _garbage_kept() -> Iterator[None]:
    """Of ten thousand records nearly all is kept to the end: to look for what is not takes a tenth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _write(made: str | Mapping[str, bytes], format: str, out: Path | None) -> None:
    from d3s2bench.errors import ConfigError
    from d3s2bench.files import write_bytes

    if isinstance(made, str):
        if out:
            write_bytes(out, made.encode())
        else:
            typer.echo(made, nl=not made.endswith("\n"))
    elif out is None:
        raise ConfigError(f"--format {format} makes {len(made)} files: name a folder for them with --out")
    else:
        for name, content in made.items():
            write_bytes(out / name, content)
