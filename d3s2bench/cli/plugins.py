"""``d3s2bench plugins``: all components, where they come from and whether they work; a new one, a check of one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from d3s2bench.cli.completion import any_component, kinds
from d3s2bench.cli.options import Debug, Plugins, StrictPlugins
from d3s2bench.cli.words import print_table

if TYPE_CHECKING:
    from d3s2bench.testing.check import Verdict

plugins_app = typer.Typer(
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode=None,
    help="List all components, where they come from and whether they work. Make a plugin with new, try one with check.",
)


@plugins_app.callback()
def list_plugins(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="As a JSON list.")] = False,
    plugin: Plugins = None,
    strict_plugins: StrictPlugins = None,
    debug: Debug = False,
) -> None:
    if context.invoked_subcommand:
        return
    from d3s2bench.plugins import registry

    found = registry(tuple(plugin or ()))
    rows = [entry.row() for entry in found.rows]
    if json:
        from json import dumps

        typer.echo(dumps(rows, indent=1))
    else:
        print_table([["KIND", "NAME", "PACKAGE", "VERSION", "STATUS", "SUMMARY"], *map(_cells, rows)])
    if strict_plugins:
        found.require_healthy()


def _cells(row: dict[str, str]) -> list[str]:
    """What is wrong with a component stands where its summary would."""
    status, _, reason = row["status"].partition(": ")
    return [row["kind"], row["name"], row["package"], row["version"], status, reason or row["summary"]]


@plugins_app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the distribution and of its component.")],
    kind: Annotated[str, typer.Option("--kind", help="What it brings.", autocompletion=kinds)] = "selector",
    into: Annotated[Path, typer.Option("--into", metavar="DIR", help="Where its folder is made.")] = Path(),
    debug: Debug = False,
) -> None:
    """Write a complete distribution that passes its own tests: entry point, component, contract test, README, CI."""
    from d3s2bench.template import write_distribution

    folder = write_distribution(name, kind, into)
    typer.echo(f"{folder}: now\n  pip install -e '{folder}[test]'\n  pytest {folder}")


@plugins_app.command()
def check(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of a component.", autocompletion=any_component)],
    kind: Annotated[
        str | None, typer.Option("--kind", help="When several have the name.", autocompletion=kinds)
    ] = None,
    plugin: Plugins = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="[KIND.NAME.]OPTION=VALUE", help="An option of it. Repeatable.")
    ] = None,
    data_root: Annotated[str | None, typer.Option("--data-root", metavar="DIR", help="Where a dataset lies.")] = None,
    debug: Debug = False,
) -> None:
    """Try a component on tiny data: what it promises by its kind, and whether it keeps it. Exit code 1 when not."""
    from d3s2bench.errors import PluginError

    files = tuple(plugin or ())
    found = [kind] if kind else _kinds_of(name, files)
    options = {each: _options(set_ or [], each, name, found) for each in found}
    try:
        from d3s2bench.testing.check import check
    except ModuleNotFoundError as error:
        raise PluginError(f"checking needs {error.name}: pip install 'd3s2bench[testing]'") from error
    verdicts = {each: check(each, name, files, data_root, options[each]) for each in found}
    for each, made in verdicts.items():
        _print_verdicts(f"{each} {name}", made, debug)
    if any(verdict.outcome == "failed" for made in verdicts.values() for verdict in made):
        raise typer.Exit(1)


def _kinds_of(name: str, files: tuple[str, ...]) -> list[str]:
    from d3s2bench.errors import unknown_name
    from d3s2bench.plugins import KINDS, registry

    found = registry(files)
    if having := [kind for kind in KINDS if name in found.names(kind)]:
        return having
    raise unknown_name("component", name, {known for kind in KINDS for known in found.names(kind)})


def _options(assignments: list[str], kind: str, name: str, kinds: list[str]) -> dict[str, Any]:
    """``OPTION=VALUE`` is for each kind that has the name, ``selector.NAME.OPTION=VALUE``, as for a run, for one."""
    from d3s2bench.config import parse_assignments, section

    prefix = {each: f"{section(each)}.{name}." for each in kinds}
    others = tuple(prefix[each] for each in kinds if each != kind)
    return parse_assignments(text.removeprefix(prefix[kind]) for text in assignments if not text.startswith(others))


def _print_verdicts(title: str, verdicts: list[Verdict], traces: bool) -> None:
    typer.echo(title)
    for verdict in verdicts:
        mark = {"passed": "ok", "failed": "FAILED"}.get(verdict.outcome, verdict.outcome)
        typer.echo(f"  {mark:<8} {verdict.promise}" + (f": {verdict.why}" if verdict.why else ""))
        if traces and verdict.traceback:
            typer.echo(f"{verdict.traceback}\n")
    counts = {outcome: sum(v.outcome == outcome for v in verdicts) for outcome in ("passed", "failed", "skipped")}
    typer.echo(f"  {counts['passed']} kept, {counts['failed']} broken, {counts['skipped']} not tried")
