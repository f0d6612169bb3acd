"""``d3s2bench status``: where a run is."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from d3s2bench.cli.options import Debug, Folder
from d3s2bench.cli.words import age_text, print_table

if TYPE_CHECKING:
    from d3s2bench.upkeep.status import Status


def status(
    folder: Folder,
    watch: Annotated[float | None, typer.Option("--watch", metavar="SECONDS", min=0.1, help="Repeat.")] = None,
    debug: Debug = False,
) -> None:
    """Show where a run is, from its files alone: records by status, stages finished and being worked on."""
    from d3s2bench.upkeep.status import read_status

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
    from d3s2bench.planning.plan import STAGES
    from d3s2bench.upkeep.status import STATUSES

    typer.echo(f"runs at work: {', '.join(found.runs) or 'none'}")
    counts = [f"{found.records[name]} {name}" for name in STATUSES if found.records[name]]
    typer.echo(f"records: {', '.join(counts) or 'none'}")
    for reason, count in found.reasons.most_common():
        typer.echo(f"  {count} × {reason}")
    rows = [["STAGE", "FINISHED", "AT WORK", "ABANDONED"] + (["LEFT"] if found.left else [])]
    for stage in STAGES:
        finished = found.records["ok"] if stage == "record" else found.finished[stage]
        numbers = [finished, found.count(stage, held=True), found.count(stage, held=False)]
        numbers += [found.left[stage]] if found.left else []
        rows += [[stage, *map(str, numbers)]] if any(numbers) else []
    print_table(rows)
    for work in found.work:
        images = "" if work.images is None else f", {work.images} images"
        what, made = "at work" if work.held else "abandoned", work.artefact
        typer.echo(f"{what}: {made.stage} {made.key[:12]}, written {age_text(made.age)}{images}")
