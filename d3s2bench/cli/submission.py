"""``d3s2bench submission``: hand results in to a leaderboard, and check what was handed in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from d3s2bench.cli.options import Debug, Folder

submission_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Hand results in to a leaderboard; check what was handed in."
)


@submission_app.command("create")
def create(
    folder: Folder,
    out: Annotated[Path, typer.Option("--out", help="The folder to write.")],
    title: Annotated[str, typer.Option("--title", help="What is submitted, in one line.")],
    contact: Annotated[str, typer.Option("--contact", help="Whom a maintainer may ask.")],
    link: Annotated[str, typer.Option("--link", help="Where the method is described.")] = "",
    debug: Debug = False,
) -> None:
    """Write the finished records of a folder, their counts and the environment as a submission, then check it."""
    from d3s2bench.upkeep import submission

    made = submission.create(folder, out, title, contact, link)
    typer.echo(f"{made}: {len(list((made / submission.RECORDS).glob('*.json')))} records")
    check(made)


@submission_app.command("check")
def check(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A submission.")],
    repetitions: Annotated[int, typer.Option("--repetitions", min=1, help="That each method must have.")] = 5,
    debug: Debug = False,
) -> None:
    """Check files, counts, protocols, seeds, budgets, repetitions and controls, without a GPU; exit code 1 when it is
    refused."""
    from d3s2bench.errors import StoreError, plain
    from d3s2bench.upkeep import submission

    try:
        problems = submission.check(folder, repetitions)
    except StoreError as error:
        raise StoreError(plain(str(error))) from error
    for problem in problems:
        typer.echo(plain(f"refused: {problem.where}: {problem.what}"))
    if problems:
        raise typer.Exit(1)
    typer.echo("accepted: every number follows from its counts, under the default protocols, with all repetitions")
