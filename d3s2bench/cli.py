"""The command line. Only typer is imported here; everything else when a command needs it, so that --help is fast."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from d3s2bench import cli_store
from d3s2bench.cli_datasets import datasets_app

if TYPE_CHECKING:
    from d3s2bench.api import Result
    from d3s2bench.config import RunConfig
    from d3s2bench.plan import Plan
    from d3s2bench.store import Store

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # importing rich would double the time of --help
    help="The benchmark suite for dataset distillation in semantic segmentation.",
)
train_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Train a teacher or a generator on a dataset."
)
app.add_typer(train_app, name="train")
app.add_typer(datasets_app, name="datasets")
app.add_typer(cli_store.store_app, name="store")
app.add_typer(cli_store.wandb_app, name="wandb")
app.command()(cli_store.status)
app.command()(cli_store.explain)

Axis = Annotated[list[str] | None, typer.Option()]
Out = Annotated[str | None, typer.Option(help="Folder of the store and the records.  [default: runs]")]
Datasets = Annotated[list[str] | None, typer.Option("--dataset", help="Repeatable.  [default: scenes]")]
DataRoots = Annotated[
    list[str] | None, typer.Option("--data-root", metavar="[NAME=]DIR", help="Where a dataset lies. Repeatable.")
]
Selectors = Annotated[list[str] | None, typer.Option("--selector", help="Repeatable.  [default: balanced]")]
Synths = Annotated[list[str] | None, typer.Option("--synth", help="Repeatable.  [default: guided]")]
Evaluators = Annotated[list[str] | None, typer.Option("--evaluator", help="Repeatable.  [default: torch]")]
Archs = Annotated[list[str] | None, typer.Option("--arch", help="Student architecture. Repeatable.  [default: unet]")]
Rates = Annotated[list[float] | None, typer.Option("--rate", help="Compression rate. Repeatable.  [default: 0.01]")]
Seed = Annotated[list[int] | None, typer.Option("--seed", help="A repetition. Repeatable.  [default: 0]")]
Seeds = Annotated[int | None, typer.Option("--seeds", metavar="N", help="Repetitions 0 to N-1.")]
Budgets = Annotated[
    str | None,
    typer.Option("--budgets", metavar="LIST", help="Multiples of the iterations, as 0.33,1,3.  [default: 1]"),
]
Holdouts = Annotated[
    list[str] | None,
    typer.Option("--holdout", metavar="[NAME=]PATTERN", help="Train images to develop on, as '0006R0*': split dev."),
]
Quality = Annotated[bool | None, typer.Option("--quality", help="Measure the distilled sets under a judge, too.")]
Judge = Annotated[str | None, typer.Option("--judge", metavar="DIR", help="Use this judge, a teacher of another kind.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="synth.guided.scale=2, protocol.iterations=300, … Repeatable."),
]
Config = Annotated[Path | None, typer.Option("--config", help="YAML file with any of these settings.")]
Preset = Annotated[str | None, typer.Option("--preset", help="A shipped configuration: smoke.")]
Controls = Annotated[str | None, typer.Option("--controls", help="default, all or none.")]
Teacher = Annotated[str | None, typer.Option("--teacher", metavar="DIR", help="Use this teacher.")]
Generator = Annotated[str | None, typer.Option("--generator", metavar="DIR", help="Use this generator.")]
TrainMissing = Annotated[bool | None, typer.Option("--train-missing", help="Train missing teachers and generators.")]
EvalSplit = Annotated[
    str | None, typer.Option("--eval-split", help="Split that is scored.  [default: test, or dev with --holdout]")
]
Device = Annotated[str | None, typer.Option("--device", help="cpu or cuda.  [default: cpu]")]
Workers = Annotated[int | None, typer.Option("--workers", help="Stages at once.  [default: cores / threads]")]
Wandb = Annotated[str | None, typer.Option("--wandb", help="auto, online, offline or disabled.  [default: auto]")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


@app.command()
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
    wandb: Wandb = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and what is reused.")] = False,
    debug: Debug = False,
) -> None:
    """Distil, train and score a comparison matrix with its controls; end with a table."""
    from d3s2bench import api

    made = _config(locals())
    if dry_run:
        _print_plan(made)
    else:
        _finish(api.run(made), made)


@app.command()
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
    debug: Debug = False,
) -> None:
    """Make the distilled sets and stop; prints their folders."""
    from d3s2bench import api

    for folder in api.distill(_config(locals())):
        typer.echo(folder)


@app.command()
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
    wandb: Wandb = None,
    debug: Debug = False,
) -> None:
    """Score a distilled set that was made elsewhere."""
    from d3s2bench import api

    made = _config({name: value for name, value in locals().items() if name != "folder"})
    _finish(api.evaluate(folder, made), made)


@app.command()
def leaderboard(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The --out folder of runs.")],
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


@app.command()
def plugins(
    json: Annotated[bool, typer.Option("--json", help="As a JSON list.")] = False, debug: Debug = False
) -> None:
    """List all components, where they come from and whether they work."""
    from d3s2bench.plugins import registry

    rows = [entry.row() for entry in registry().rows]
    if json:
        from json import dumps

        typer.echo(dumps(rows, indent=1))
        return
    columns = ("kind", "name", "package", "version", "status", "summary")
    widths = [max(len(name), *(len(row[name]) for row in rows)) for name in columns]
    for row in [{name: name.upper() for name in columns}, *rows]:
        typer.echo("  ".join(row[name].ljust(width) for name, width in zip(columns, widths, strict=True)).rstrip())


@train_app.command("generator")
def train_generator(
    dataset: Datasets = None,
    out: Out = None,
    data_root: DataRoots = None,
    holdout: Holdouts = None,
    set_: Set = None,
    config: Config = None,
    device: Device = None,
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
    save: Annotated[Path | None, typer.Option("--save", help="Copy the teacher to this folder.")] = None,
    debug: Debug = False,
) -> None:
    """Train the teacher of a dataset on its train split, and its class-wise feature statistics."""
    _train("teacher", save, {name: value for name, value in locals().items() if name != "save"})


def _train(kind: str, save: Path | None, options: dict[str, Any]) -> None:
    from d3s2bench import api

    for folder in api.train(kind, _config(options), save=save):
        typer.echo(folder)


def _config(options: dict[str, Any]) -> RunConfig:
    """The configuration from a command's options; None means not given."""
    from d3s2bench.config import make_config

    apart = ("set_", "config", "debug", "dry_run", "seeds", "budgets", "api")
    given = {k: v for k, v in options.items() if k not in apart}
    given["data_root"] = _roots(options.get("data_root") or [], options.get("dataset") or [])
    given["holdout"] = _holdouts(options.get("holdout") or [])
    if options.get("seeds") is not None:
        given["seed"] = list(range(options["seeds"]))
    if options.get("budgets") is not None:
        given["budget"] = _numbers(options["budgets"])
    return make_config(given, options.get("config"), options.get("set_") or [])


def _roots(texts: list[str], datasets: list[str]) -> dict[str, str] | None:
    """``NAME=DIR`` names a folder; a bare ``DIR`` belongs to the one dataset that is asked for."""
    from d3s2bench.errors import ConfigError

    roots = {}
    for text in texts:
        name, equals, folder = text.partition("=")
        if not equals:
            if len(datasets) != 1:
                raise ConfigError(f"--data-root {text} says not which dataset lies there: write NAME={text}")
            name, folder = ("" if datasets[0] == "folder" else datasets[0]), text
        if not Path(folder).is_dir():
            raise ConfigError(f"--data-root {text}: there is no folder {folder}")
        if name in roots:
            raise ConfigError(f"--data-root {text}: '{name or 'folder'}' is given twice: keep one of them")
        roots[name] = str(Path(folder).resolve())
    return roots or None


def _holdouts(texts: list[str]) -> dict[str, str] | None:
    """``NAME=PATTERN`` is for one dataset, a bare ``PATTERN`` for all."""
    return {name if equals else "": rest or name for name, equals, rest in (t.partition("=") for t in texts)} or None


def _numbers(text: str) -> list[float]:
    from d3s2bench.errors import ConfigError

    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise ConfigError(f"--budgets {text}: give numbers with commas between them, as 0.33,1,3") from error


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
    from d3s2bench.estimate import estimate

    left = estimate(plan, store)
    nodes, unknown = sum(e.nodes for e in left), sum(e.unknown for e in left)
    if nodes and nodes == unknown:
        return "time and disk: no stage like these was measured in this store yet"
    minutes, size = sum(e.seconds for e in left) / 60, sum(e.bytes for e in left) / 1e6
    told = f"about {minutes:.1f} minutes of one worker, {size:.1f} MB"
    return told + (f", and {unknown} stages of which none alike was measured here" if unknown else "")


def _finish(result: Result, config: RunConfig) -> None:
    typer.echo(result.table, nl=not result.table.endswith("\n"))
    for folder in sorted({str(Path(config.out) / "records")}):
        typer.echo(f"records: {folder}", err=True)
    if result.problems:
        raise typer.Exit(1)


def main() -> None:
    """Entry point: every expected error is one line on stderr and a non-zero exit code."""
    debug = "--debug" in sys.argv
    try:
        app()
    except (KeyboardInterrupt, SystemExit) as ended:  # typer turns Ctrl-C into exit code 130 and says nothing
        if isinstance(ended, SystemExit) and ended.code != 130:
            raise
        _fail("stopped; run the same command again to go on where it was", 130)
    except Exception as error:
        if debug:
            raise
        _fail(_line(error), 1)


def _line(error: Exception) -> str:
    from d3s2bench.worker import explain

    return f"error: {explain(error)}"


def _fail(text: str, code: int) -> None:
    print(text, file=sys.stderr)
    raise SystemExit(code)
