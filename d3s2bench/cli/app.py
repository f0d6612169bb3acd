"""The command line. A command is imported when it is used, so that --help and the quick commands are quick."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

COMMANDS = {
    "run": ("matrix:run", "Distil, train and score a comparison matrix with its controls."),
    "distill": ("matrix:distill", "Make the distilled sets and stop."),
    "evaluate": ("matrix:evaluate", "Score a distilled set that was made elsewhere."),
    "train": ("train:train_app", "Train a teacher or a generator on a dataset."),
    "leaderboard": ("leaderboard:leaderboard", "Print all records of a folder as a table."),
    "export": ("export:export", "Write a distilled set as mmsegmentation, detectron2 or datasets load it."),
    "submission": ("submission:submission_app", "Hand results in to a leaderboard; check what was handed in."),
    "status": ("status:status", "Show where a run is."),
    "explain": ("explain:explain", "Show where a number comes from, or make it again."),
    "store": ("store:store_app", "Look after the store of a run folder."),
    "wandb": ("wandb:wandb_app", "Rebuild the Weights & Biases runs of a folder."),
    "datasets": ("datasets:datasets_app", "List the datasets and how to get them; look at one."),
    "plugins": ("plugins:plugins_app", "List all components and whether they work; make one, check one."),
}
"""Name → where the command stands in this package, a function or an app of several; its line in --help."""


class LazyGroup(TyperGroup):
    """Builds a command when it is asked for, not all of them at each start."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.commands = dict.fromkeys(COMMANDS)  # type: ignore[assignment]  # names, for suggestions

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        found = getattr(import_module(f"d3s2bench.cli.{module}"), attribute)
        return typer.main.get_group(found) if isinstance(found, typer.Typer) else typer.main.get_command(_app_of(found))

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


def _app_of(command: Any) -> typer.Typer:
    alone = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    alone.command()(command)
    return alone


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # importing rich would double the time of --help
)


@app.callback()
def d3s2bench() -> None:
    """The benchmark suite for dataset distillation in semantic segmentation."""


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
    from d3s2bench.execution.worker import explain

    return f"error: {explain(error)}"


def _fail(text: str, code: int) -> NoReturn:
    print(text, file=sys.stderr)
    raise SystemExit(code)
