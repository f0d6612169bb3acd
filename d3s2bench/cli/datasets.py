"""``d3s2bench datasets``: which there are and how to get them; and a look at one that lies on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from d3s2bench.cli.options import Debug, Plugins, roots

datasets_app = typer.Typer(
    invoke_without_command=True,
    rich_markup_mode=None,
    help="List the datasets: where to get each, its licence and how it must lie. Look at one with inspect.",
)


@datasets_app.callback()
def list_datasets(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="As a JSON list.")] = False,
    plugin: Plugins = None,
    debug: Debug = False,
) -> None:
    if context.invoked_subcommand:
        return
    rows = _rows(tuple(plugin or ()))
    if json:
        from json import dumps

        typer.echo(dumps(rows, indent=1, ensure_ascii=False))
    else:
        typer.echo("\n\n".join(map(_paragraph, rows)))


@datasets_app.command()
def inspect(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A dataset of the list, or any name for a folder.")],
    data_root: Annotated[str | None, typer.Option("--data-root", metavar="[NAME=]DIR", help="Where it lies.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.png", help="Draw its long tail and samples.")
    ] = None,
    pairs: Annotated[int, typer.Option("--pairs", min=0, help="Pairs to decode of each split; 0 = all.")] = 1000,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="An option of the dataset. Repeatable.")
    ] = None,
    plugin: Plugins = None,
    debug: Debug = False,
) -> None:
    """Check the files of a dataset, print how frequent its classes are, draw the long tail and a contact sheet."""
    from d3s2bench.datasets.catalogue import entry
    from d3s2bench.sets.inspection import describe, inspect_split

    if out:
        _check_picture(out)
    dataset = _opened(name, data_root, set_ or [], tuple(plugin or ()))
    ordered = sorted(dataset.splits, key=lambda split: split != "train")
    reports = [inspect_split(dataset, split, pairs) for split in ordered]
    typer.echo(describe(dataset, reports), nl=False)
    if (known := entry(name)) and known.notes:
        typer.echo(f"\nnote: {known.notes}")
    if out:
        from d3s2bench.sets.inspection_picture import draw_inspection

        draw_inspection(out, dataset, reports)
        typer.echo(f"picture: {out}", err=True)


def _rows(files: tuple[str, ...]) -> list[dict[str, Any]]:
    """Every registered dataset, with what the catalogue knows of it."""
    from dataclasses import asdict

    from d3s2bench.datasets.catalogue import entry
    from d3s2bench.plugins import registry

    found = [row.row() for row in registry(files).rows if row.component.kind == "dataset"]
    return [row | (asdict(known) if (known := entry(row["name"])) else {}) for row in found]


def _paragraph(row: dict[str, Any]) -> str:
    head = f"{row['name']}: {row.get('title', row['summary'])}"
    if row["status"] != "ok":
        head += f" [{row['status']}]"
    if "images" not in row:
        return head
    counts = ", ".join(f"{split} {count:,}" for split, count in row["images"].items())
    tree = row["tree"].replace("\n", "\n            ")
    lines = [head] + ([f"  images    {row['classes']} classes; {counts}"] if counts else [])
    lines += [f"  get       {row['where']}"]
    lines += [f"  licence   {row['licence']}", f"  tree      {tree}", f"  note      {row['notes']}"]
    return "\n".join(lines)


def _opened(name: str, data_root: str | None, assignments: list[str], files: tuple[str, ...]) -> Any:
    from d3s2bench.config import parse_assignments
    from d3s2bench.workspace import Workspace

    places = roots([data_root] if data_root else [], [name]) or {}
    options = parse_assignments([given.removeprefix(f"dataset.{name}.") for given in assignments])  # as run spells it
    return Workspace(Path("runs"), places, {name: options}, plugins=files).dataset(name)


def _check_picture(out: Path) -> None:
    from d3s2bench.errors import ConfigError

    if out.suffix.lower() != ".png":
        raise ConfigError(f"--out {out}: the picture is a PNG; name it FILE.png")
