"""``d3s2bench run``, ``distill`` and ``evaluate``: a comparison matrix, whole or in part."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from d3s2bench.cli.options import (
    Address,
    Archs,
    AsJson,
    Budgets,
    Config,
    Controls,
    DataRoots,
    Datasets,
    Debug,
    Device,
    EvalSplit,
    Evaluators,
    Executors,
    Generator,
    Holdouts,
    Judge,
    Observers,
    Out,
    Plugins,
    Preset,
    Quality,
    Rates,
    Seed,
    Seeds,
    Selectors,
    Set,
    StrictPlugins,
    Synths,
    Teacher,
    TrainMissing,
    Wandb,
    Workers,
    config_of,
)

if TYPE_CHECKING:
    from d3s2bench.api import Result
    from d3s2bench.config import RunConfig
    from d3s2bench.execution.events import Tell
    from d3s2bench.planning.plan import Plan
    from d3s2bench.storage.store import Store


def run(
    dataset: Datasets = None,
    selector: Selectors = None,
    synth: Synths = None,
    evaluator: Evaluators = None,
    arch: Archs = None,
    rate: Rates = None,
    seed: Seed = None,
    seeds: Seeds = None,
    budgets: Budgets = None,
    out: Out = None,
    data_root: DataRoots = None,
    holdout: Holdouts = None,
    set_: Set = None,
    config: Config = None,
    preset: Preset = None,
    controls: Controls = None,
    teacher: Teacher = None,
    generator: Generator = None,
    judge: Judge = None,
    quality: Quality = None,
    train_missing: TrainMissing = None,
    eval_split: EvalSplit = None,
    device: Device = None,
    workers: Workers = None,
    executor: Executors = None,
    address: Address = None,
    wandb: Wandb = None,
    observer: Observers = None,
    plugin: Plugins = None,
    strict_plugins: StrictPlugins = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and what is reused.")] = False,
    json_: AsJson = False,
    debug: Debug = False,
) -> None:
    """Distil, train and score a comparison matrix with its controls; end with a table."""
    from d3s2bench import api

    made = config_of(locals())
    if dry_run:
        _print_plan(made)
        return
    with _listening(json_) as tell:
        result = api.run(made, tell)
    _finish(result, made, json_)


def distill(
    dataset: Datasets = None,
    selector: Selectors = None,
    synth: Synths = None,
    rate: Rates = None,
    seed: Seed = None,
    seeds: Seeds = None,
    out: Out = None,
    data_root: DataRoots = None,
    holdout: Holdouts = None,
    set_: Set = None,
    config: Config = None,
    preset: Preset = None,
    teacher: Teacher = None,
    generator: Generator = None,
    train_missing: TrainMissing = None,
    device: Device = None,
    workers: Workers = None,
    executor: Executors = None,
    address: Address = None,
    plugin: Plugins = None,
    strict_plugins: StrictPlugins = None,
    json_: AsJson = False,
    debug: Debug = False,
) -> None:
    """Make the distilled sets and stop; prints their folders."""
    from d3s2bench import api

    made = config_of(locals())
    with _listening(json_) as tell:
        folders = api.distill(made, tell)
    for folder in folders if not json_ else ():
        typer.echo(folder)


def evaluate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="images/*.png, annotations/*.png, manifest optional.")],
    dataset: Datasets = None,
    evaluator: Evaluators = None,
    arch: Archs = None,
    seed: Seed = None,
    seeds: Seeds = None,
    budgets: Budgets = None,
    out: Out = None,
    data_root: DataRoots = None,
    holdout: Holdouts = None,
    set_: Set = None,
    config: Config = None,
    preset: Preset = None,
    teacher: Teacher = None,
    eval_split: EvalSplit = None,
    device: Device = None,
    workers: Workers = None,
    executor: Executors = None,
    address: Address = None,
    wandb: Wandb = None,
    observer: Observers = None,
    plugin: Plugins = None,
    strict_plugins: StrictPlugins = None,
    json_: AsJson = False,
    debug: Debug = False,
) -> None:
    """Score a distilled set that was made elsewhere."""
    from d3s2bench import api

    made = config_of({name: value for name, value in locals().items() if name != "folder"})
    with _listening(json_) as tell:
        result = api.evaluate(folder, made, tell)
    _finish(result, made, json_)


@contextmanager
def _listening(as_json: bool) -> Iterator[Tell]:
    """Stdout is kept for the table, or for events as JSON: what libraries print meanwhile goes to stderr."""
    from d3s2bench.execution.events import JsonLines, untold

    tell = JsonLines(sys.stdout) if as_json else untold
    with redirect_stdout(sys.stderr):
        yield tell


def _print_plan(config: RunConfig) -> None:
    from d3s2bench import api

    plan, workspace = api.plan(config)
    typer.echo(f"{'stage':<12}{'nodes':>7}{'reused':>8}{'to run':>8}")
    for stage, total, done in plan.counts(workspace.store):
        typer.echo(f"{stage:<12}{total:>7}{done:>8}{total - done:>8}")
    typer.echo("\n" + _outlook(plan, workspace.store))
    if plan.references:
        typer.echo(f"{len(plan.references)} shipped reference records are used")


def _outlook(plan: Plan, store: Store) -> str:
    """What the rest of a plan takes, as far as stages like those that are left were measured in this store."""
    from d3s2bench.planning.estimate import estimate

    left = estimate(plan, store)
    nodes, unknown = sum(e.nodes for e in left), sum(e.unknown for e in left)
    if nodes and nodes == unknown:
        return "time and disk: no stage like these was measured in this store yet"
    minutes, size = sum(e.seconds for e in left) / 60, sum(e.bytes for e in left) / 1e6
    told = f"about {minutes:.1f} minutes of one worker, {size:.1f} MB"
    return told + (f", and {unknown} stages of which none alike was measured here" if unknown else "")


def _finish(result: Result, config: RunConfig, as_json: bool) -> None:
    if not as_json:
        typer.echo(result.table, nl=not result.table.endswith("\n"))
    typer.echo(f"records: {Path(config.out) / 'records'}", err=True)
    if result.problems:
        raise typer.Exit(1)
