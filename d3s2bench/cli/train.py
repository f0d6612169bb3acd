"""``d3s2bench train``: the models that a dataset needs once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from d3s2bench.cli.options import (
    Config,
    DataRoots,
    Datasets,
    Debug,
    Device,
    Holdouts,
    Out,
    Plugins,
    Set,
    StrictPlugins,
    config_of,
)

train_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Train a teacher or a generator on a dataset."
)


@train_app.command("generator")
def train_generator(
    dataset: Datasets = None,
    out: Out = None,
    data_root: DataRoots = None,
    holdout: Holdouts = None,
    set_: Set = None,
    config: Config = None,
    device: Device = None,
    plugin: Plugins = None,
    strict_plugins: StrictPlugins = None,
    save: Annotated[Path | None, typer.Option("--save", help="Copy the generator to this folder.")] = None,
    debug: Debug = False,
) -> None:
    """Train the layout-to-image diffusion model of a dataset on its train split."""
    _train("generator", save, {name: value for name, value in locals().items() if name != "save"})


@train_app.command("teacher")
def train_teacher(
    dataset: Datasets = None,
    out: Out = None,
    data_root: DataRoots = None,
    holdout: Holdouts = None,
    set_: Set = None,
    config: Config = None,
    device: Device = None,
    plugin: Plugins = None,
    strict_plugins: StrictPlugins = None,
    save: Annotated[Path | None, typer.Option("--save", help="Copy the teacher to this folder.")] = None,
    debug: Debug = False,
) -> None:
    """Train the teacher of a dataset on its train split, and its class-wise feature statistics."""
    _train("teacher", save, {name: value for name, value in locals().items() if name != "save"})


def _train(kind: str, save: Path | None, options: dict[str, Any]) -> None:
    from d3s2bench import api

    for folder in api.train(kind, config_of(options), save=save):
        typer.echo(folder)
