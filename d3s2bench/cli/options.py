"""The options that several commands share, and the configuration that they give."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from d3s2bench.cli.completion import components

if TYPE_CHECKING:
    from d3s2bench.config import RunConfig

Out = Annotated[str | None, typer.Option(help="Folder of the store and the records.  [default: runs]")]
Datasets = Annotated[
    list[str] | None,
    typer.Option("--dataset", help="Repeatable.  [default: scenes]", autocompletion=components("dataset")),
]
DataRoots = Annotated[
    list[str] | None, typer.Option("--data-root", metavar="[NAME=]DIR", help="Where a dataset lies. Repeatable.")
]
Selectors = Annotated[
    list[str] | None,
    typer.Option("--selector", help="Repeatable.  [default: balanced]", autocompletion=components("selector")),
]
Synths = Annotated[
    list[str] | None,
    typer.Option("--synth", help="Repeatable.  [default: guided]", autocompletion=components("synthesizer")),
]
Evaluators = Annotated[
    list[str] | None,
    typer.Option("--evaluator", help="Repeatable.  [default: torch]", autocompletion=components("evaluator")),
]
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
Preset = Annotated[str | None, typer.Option("--preset", help="Shipped: smoke, d3s2/ade20k-1pct, d3s2/coco-stuff-1pct.")]
Controls = Annotated[str | None, typer.Option("--controls", help="default, all or none.")]
Teacher = Annotated[str | None, typer.Option("--teacher", metavar="DIR", help="Use this teacher.")]
Generator = Annotated[str | None, typer.Option("--generator", metavar="DIR", help="Use this generator.")]
TrainMissing = Annotated[bool | None, typer.Option("--train-missing", help="Train missing teachers and generators.")]
EvalSplit = Annotated[
    str | None, typer.Option("--eval-split", help="Split that is scored.  [default: test, or dev with --holdout]")
]
Device = Annotated[str | None, typer.Option("--device", help="cpu or cuda.  [default: cpu]")]
Workers = Annotated[int | None, typer.Option("--workers", help="Stages at once.  [default: cores / threads, GPU: 1]")]
Executors = Annotated[
    str | None,
    typer.Option("--executor", help="inline, ray or slurm.  [default: inline]", autocompletion=components("executor")),
]
Address = Annotated[
    str | None, typer.Option("--address", metavar="HOST:PORT", help="Of a Ray cluster.  [default: starts its own]")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print events as JSON lines instead of the table.")]
Wandb = Annotated[str | None, typer.Option("--wandb", help="auto, online, offline or disabled.  [default: auto]")]
Observers = Annotated[
    list[str] | None,
    typer.Option("--observer", help="Who is told of each record. Repeatable.", autocompletion=components("observer")),
]
Plugins = Annotated[
    list[str] | None, typer.Option("--plugin", metavar="FILE.py", help="A plugin that is one file. Repeatable.")
]
StrictPlugins = Annotated[bool | None, typer.Option("--strict-plugins", help="Stop when any plugin is broken.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The --out folder of runs.")]


def config_of(options: dict[str, Any]) -> RunConfig:
    """The configuration from a command's options; None means not given."""
    from d3s2bench.config import make_config
    from d3s2bench.errors import ConfigError

    if options.get("dry_run") and options.get("json_"):
        raise ConfigError("--dry-run prints a plan, --json the events of a run: give one of the two")
    apart = ("set_", "config", "debug", "dry_run", "seeds", "budgets", "api", "address", "json_")
    given = {k: v for k, v in options.items() if k not in apart}
    if options.get("address") is not None:
        given["options"] = {"executor": {"ray": {"address": options["address"]}}}
    given["data_root"] = roots(options.get("data_root") or [], options.get("dataset") or [])
    given["holdout"] = _holdouts(options.get("holdout") or [])
    if options.get("seeds") is not None:
        if options.get("seed"):
            raise ConfigError("--seeds N is repetitions 0 to N-1, --seed K repetition K: give one of the two")
        if options["seeds"] < 1:
            raise ConfigError(f"--seeds is {options['seeds']}: give at least 1")
        given["seed"] = list(range(options["seeds"]))
    if options.get("budgets") is not None:
        given["budget"] = _numbers(options["budgets"])
    _check_sections(options.get("set_") or [], tuple(options.get("plugin") or ()))
    made = make_config(given, options.get("config"), options.get("set_") or [])
    if options.get("address") is not None and made.executor != "ray":
        raise ConfigError(f"--address {options['address']} is that of a Ray cluster: add --executor ray")
    return made


def _check_sections(assignments: list[str], files: tuple[str, ...]) -> None:
    """Raises ConfigError for ``facility.gamma=2``, which lacks the kind, and says where it belongs."""
    from dataclasses import fields

    from d3s2bench.config import OPTION_KINDS, RunConfig
    from d3s2bench.errors import ConfigError

    known = {*OPTION_KINDS, *(field.name for field in fields(RunConfig))}
    for key in (text.partition("=")[0] for text in assignments):
        name, dot, option = key.partition(".")
        found = _sections_of(name, files) if dot and name not in known else []
        if full := [f"'{each}.{name}.{option}'" for each in found if each in OPTION_KINDS]:
            raise ConfigError(f"unknown configuration key '{key}': did you mean {' or '.join(full)}?")


def _sections_of(name: str, files: tuple[str, ...]) -> list[str]:
    from d3s2bench.config import section
    from d3s2bench.plugins import KINDS, registry

    return [section(kind) for kind in KINDS if name in registry(files).names(kind)]


def roots(texts: list[str], datasets: list[str]) -> dict[str, str] | None:
    """``NAME=DIR`` names a folder; a bare ``DIR`` belongs to the one dataset that is asked for."""
    from d3s2bench.errors import ConfigError

    found = {}
    for text in texts:
        name, equals, folder = text.partition("=")
        if not equals:
            if len(datasets) != 1:
                raise ConfigError(f"--data-root {text} says not which dataset lies there: write NAME={text}")
            name, folder = ("" if datasets[0] == "folder" else datasets[0]), text
        if not Path(folder).is_dir():
            raise ConfigError(f"--data-root {text}: there is no folder {folder}")
        if name in found:
            raise ConfigError(f"--data-root {text}: '{name or 'folder'}' is given twice: keep one of them")
        found[name] = str(Path(folder).resolve())
    return found or None


def _holdouts(texts: list[str]) -> dict[str, str] | None:
    """``NAME=PATTERN`` is for one dataset, a bare ``PATTERN`` for all."""
    return {name if equals else "": rest or name for name, equals, rest in (t.partition("=") for t in texts)} or None


def _numbers(text: str) -> list[float]:
    from d3s2bench.errors import ConfigError

    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise ConfigError(f"--budgets {text}: give numbers with commas between them, as 0.33,1,3") from error
