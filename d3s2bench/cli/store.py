"""``d3s2bench store``: looks after the store of a run folder. It runs no stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from d3s2bench.cli.options import Debug, Folder
from d3s2bench.cli.words import age_text, print_table, size_text

if TYPE_CHECKING:
    from d3s2bench.upkeep.inventory import Artefact

store_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Look after the store of a run folder.")


@store_app.command("ls")
def store_ls(folder: Folder, debug: Debug = False) -> None:
    """List all artefacts by stage: key, size, age, what it is."""
    from d3s2bench.upkeep.inventory import artefacts, open_store

    _print_artefacts(artefacts(open_store(folder)))


@store_app.command("verify")
def store_verify(folder: Folder, debug: Debug = False) -> None:
    """Check that every artefact and every record is whole; exit code 1 when one is not."""
    from d3s2bench.upkeep.verify import verify

    checks = list(verify(folder))
    broken = [check for check in checks if check.problem]
    for check in broken:
        typer.echo(f"broken: {check.what}: {check.problem}")
    typer.echo(f"{len(checks) - len(broken)} of {len(checks)} artefacts and records are whole")
    if broken:
        raise typer.Exit(1)


@store_app.command("gc")
def store_gc(
    folder: Folder,
    delete: Annotated[bool, typer.Option("--delete", help="Remove them; without it they are only listed.")] = False,
    partial: Annotated[bool, typer.Option("--partial", help="Also what dead runs have left unfinished.")] = False,
    debug: Debug = False,
) -> None:
    """Remove what no record of the folder refers to. Lists it first: --delete removes."""
    from d3s2bench.upkeep.gc import abandoned, remove, unreferenced

    found = unreferenced(folder) + (abandoned(folder) if partial else [])
    size = sum(artefact.bytes for artefact in found)
    _print_artefacts(found)
    if not delete:
        typer.echo(f"{len(found)} artefacts, {size_text(size)}: nothing was removed; add --delete to remove them")
        return
    gone, held = remove(folder, found)
    for artefact in held:
        typer.echo(f"kept: another process holds {artefact.folder}", err=True)
    typer.echo(f"removed {len(gone)} artefacts" + (f" of {len(found)}" if held else f", {size_text(size)}"))


def _print_artefacts(found: Sequence[Artefact]) -> None:
    from d3s2bench.upkeep.inventory import PARTIAL, dataset_names, in_words

    names, rows = dataset_names(found), []
    for each in found:
        what = "unfinished" if each.folder.name.endswith(PARTIAL) else in_words(each, names)
        rows.append([each.stage, each.key[:12], size_text(each.bytes), age_text(each.age), what])
    if rows:
        print_table([["STAGE", "KEY", "SIZE", "AGE", "WHAT"], *rows])
