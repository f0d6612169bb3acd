"""``d3s2bench wandb``: Weights & Biases from the files of a folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from d3s2bench.cli.options import DataRoots, Debug, Folder

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

    pushed = push(folder, _roots(data_root or []), wandb)
    typer.echo(f"W&B: pushed {pushed.records} records, {pushed.sets} with their distilled set")
    for name in sorted(pushed.unknown):
        typer.echo(f"the sets of '{name}' stay here: give --data-root {name}=DIR to show that they may go", err=True)


def _roots(texts: Iterable[str]) -> dict[str, str]:
    from d3s2bench.errors import ConfigError

    roots = {}
    for text in texts:
        name, equals, place = text.partition("=")
        if not (name and equals and Path(place).is_dir()):
            raise ConfigError(f"--data-root {text}: write NAME=DIR with a folder that exists")
        roots[name] = place
    return roots
