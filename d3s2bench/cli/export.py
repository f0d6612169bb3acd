"""``d3s2bench export``: a distilled set for another tool."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from d3s2bench.cli.options import DataRoots, Debug, Set, config_of


def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A distilled set: images/*.png, annotations/*.png.")],
    to: Annotated[str, typer.Option("--to", help="mmseg, detectron2 or hf (a folder for load_from_disk).")],
    out: Annotated[Path, typer.Option("--out", help="The folder to write.")],
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="Whose classes it has.  [default: those its manifest records]")
    ] = None,
    data_root: DataRoots = None,
    set_: Set = None,
    debug: Debug = False,
) -> None:
    """Write a distilled set as a folder that another tool loads by itself."""
    from d3s2bench import export as exports
    from d3s2bench.workspace import Workspace

    given = {"dataset": [dataset] if dataset else None, "data_root": data_root, "set_": set_}
    opened = Workspace.of(config_of(given)).dataset(dataset) if dataset else None
    exports.export(folder, to, out, opened)
    typer.echo(out)
