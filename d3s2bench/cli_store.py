"""The commands that look after a folder of results: its store, its records, its W&B runs. They run no stage."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from d3s2bench.explanation import Explanation
    from d3s2bench.status import Status
    from d3s2bench.store_inventory import Artefact

store_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Look after the store of a run folder.")
wandb_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Weights & Biases.")

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The --out folder of runs.")]
Roots = Annotated[
    list[str] | None, typer.Option("--data-root", metavar="NAME=DIR", help="Where a dataset lies. Repeatable.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]

# --- store -----------------------------------------------------------------------------------------------------------


@store_app.command("ls")
def store_ls(folder: Folder, debug: Debug = False) -> None:
    """List all artefacts by stage: key, size, age, what it is."""
    from d3s2bench.store_inventory import artefacts, open_store

    _print_artefacts(artefacts(open_store(folder)))


@store_app.command("verify")
def store_verify(folder: Folder, debug: Debug = False) -> None:
    """Check that every artefact and every record is whole; exit code 1 when one is not."""
    from d3s2bench.store_verify import verify

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
    from d3s2bench.store_gc import abandoned, remove, unreferenced

    found = unreferenced(folder) + (abandoned(folder) if partial else [])
    size = sum(artefact.bytes for artefact in found)
    _print_artefacts(found)
    if not delete:
        typer.echo(f"{len(found)} artefacts, {_size(size)}: nothing was removed; add --delete to remove them")
        return
    gone, held = remove(folder, found)
    for artefact in held:
        typer.echo(f"kept: another process holds {artefact.folder}", err=True)
    typer.echo(f"removed {len(gone)} artefacts" + (f" of {len(found)}" if held else f", {_size(size)}"))


def _print_artefacts(found: Sequence[Artefact]) -> None:
    from d3s2bench.store_inventory import PARTIAL, dataset_names, in_words

    names, rows = dataset_names(found), []
    for each in found:
        what = "unfinished" if each.folder.name.endswith(PARTIAL) else in_words(each, names)
        rows.append([each.stage, each.key[:12], _size(each.bytes), _age(each.age), what])
    if rows:
        _print_table([["STAGE", "KEY", "SIZE", "AGE", "WHAT"], *rows])


# --- status ----------------------------------------------------------------------------------------------------------


def status(
    folder: Folder,
    watch: Annotated[float | None, typer.Option("--watch", metavar="SECONDS", min=0.1, help="Repeat.")] = None,
    debug: Debug = False,
) -> None:
    """Show where a run is, from its files alone: records by status, stages finished and being worked on."""
    from d3s2bench.status import read_status

    try:
        while True:
            if watch and sys.stdout.isatty():
                typer.echo("\033[2J\033[H", nl=False)  # an empty terminal, from its first line
            _print_status(read_status(folder))
            if watch is None:
                return
            time.sleep(watch)
            typer.echo()
    except KeyboardInterrupt:  # how a watch ends
        return


def _print_status(found: Status) -> None:
    from d3s2bench.plan import STAGES
    from d3s2bench.status import STATUSES

    typer.echo(f"runs at work: {', '.join(found.runs) or 'none'}")
    counts = [f"{found.records[name]} {name}" for name in STATUSES if found.records[name]]
    typer.echo(f"records: {', '.join(counts) or 'none'}")
    for reason, count in found.reasons.most_common():
        typer.echo(f"  {count} × {reason}")
    rows = [["STAGE", "FINISHED", "AT WORK", "ABANDONED"]]
    for stage in STAGES:
        finished = found.records["ok"] if stage == "record" else found.finished[stage]
        numbers = [finished, found.count(stage, held=True), found.count(stage, held=False)]
        rows += [[stage, *map(str, numbers)]] if any(numbers) else []
    _print_table(rows)
    for work in found.work:
        images = "" if work.images is None else f", {work.images} images"
        what = "at work" if work.held else "abandoned"
        typer.echo(f"{what}: {work.artefact.stage} {work.artefact.key[:12]}, written {_age(work.artefact.age)}{images}")


# --- explain ---------------------------------------------------------------------------------------------------------


def explain(
    record: Annotated[str, typer.Argument(metavar="RECORD", help="A record's JSON file, or DIR/ID.")],
    again: Annotated[bool, typer.Option("--rerun", help="Do it all again in a new folder and compare.")] = False,
    within: Annotated[float, typer.Option("--within", help="Points of mIoU that a rerun may differ by.")] = 0.0,
    data_root: Roots = None,
    debug: Debug = False,
) -> None:
    """Show where a number comes from; exit code 1 when it does not follow from its counts or a rerun differs."""
    from d3s2bench.explanation import explain, find_record
    from d3s2bench.rerun import rerun

    found = explain(find_record(record))
    _print_explanation(found)
    wrong = found.recomputed is not None and not found.follows
    if again:
        made = rerun(found.record, [word for root in data_root or () for word in ("--data-root", root)])
        typer.echo(f"again      mIoU {made.again:.4f}, {made.difference:+.4f} points")
        wrong |= abs(made.difference) > within
    if wrong:
        raise typer.Exit(1)


def _print_explanation(found: Explanation) -> None:
    record, made = found.record, found.record["provenance"]
    rows = [
        ["record", f"{record['id']} {record['status']}" + (f": {record['reason']}" if record["reason"] else "")],
        ["cell", _cell(found)],
        ["score", _score(found)],
        ["made", f"{record['created']}, commit {made['commit'] or 'not known'}"],
        ["versions", _versions(record["versions"])],
        ["seeds", ", ".join(f"{name} {seed}" for name, seed in made["seeds"].items() if seed is not None) or "none"],
        ["seconds", ", ".join(f"{k} {v:.1f}" for k, v in record["timings"].items() if v is not None) or "none"],
        ["command", str(made["command"])],
    ]
    _print_table(rows)
    parts = [
        [part.role, part.key[:12], _seconds(part.seconds), part.what, str(part.folder or "")] for part in found.parts
    ]
    if parts:
        typer.echo()
        _print_table([["PART", "KEY", "TOOK", "WHAT", "WHERE"], *parts])


def _cell(found: Explanation) -> str:
    from d3s2bench.store_inventory import component_in_words

    spec = found.record["spec"]
    method = f"{component_in_words(spec['selector'])} + {component_in_words(spec['synth'])}"
    trained = f"{component_in_words(spec['evaluator'])} {spec['arch']}, {spec['protocol']['iterations']} iterations"
    return f"{method}, rate {spec['rate']:g} of {spec['dataset']['name']}, {trained}, #{spec['seed']}"


def _score(found: Explanation) -> str:
    metrics, split = found.record["metrics"], found.record["spec"]["dataset"]["split"]
    if metrics is None or found.recomputed is None:
        return "none"
    counts = found.file.parent / found.record["confusion"]["path"]
    if found.follows:
        return f"mIoU {metrics['miou']:.4f} on {split}; it follows from its counts, {counts}"
    return f"mIoU {metrics['miou']:.4f} on {split}; its counts, {counts}, give {found.recomputed:.4f}: do not use it"


def _versions(then: dict[str, str]) -> str:
    from d3s2bench.records import versions

    here = versions()
    return ", ".join(
        f"{name} {version}" + (f" (here {here[name]})" if here.get(name, version) != version else "")
        for name, version in then.items()
    )


# --- W&B -------------------------------------------------------------------------------------------------------------


@wandb_app.command("push")
def wandb_push(
    folder: Folder,
    data_root: Roots = None,
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


# --- words -----------------------------------------------------------------------------------------------------------


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _size(count: int) -> str:
    if count < 1000:
        return f"{count} B"
    size = float(count)
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 1000:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} TB"


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f} s"


def _age(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"
