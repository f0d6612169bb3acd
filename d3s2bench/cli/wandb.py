"""``d3s2bench wandb``: Weights & Biases from the files of a folder."""

from __future__ import annotations

from typing import Annotated

import typer

from d3s2bench.cli.options import DataRoots, Debug, Folder, roots

wandb_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Weights & Biases.")


@wandb_app.command("push")
def wandb_push(
    folder: Folder,
    data_root: DataRoots = None,
    wandb: Annotated[str, typer.Option("--wandb", help="auto, online or offline.")] = "auto",
    debug: Debug = False,
) -> None:
    """Rebuild every W&B run of a folder from its files; pushing again updates the same runs."""
    from d3s2bench.wandb_log import push

    pushed = push(folder, roots(data_root or [], []) or {}, wandb)
    typer.echo(f"W&B: pushed {pushed.records} records, {pushed.sets} with their distilled set")
    for name in sorted(pushed.unknown):
        typer.echo(f"the sets of '{name}' stay here: give --data-root {name}=DIR to show that they may go", err=True)
