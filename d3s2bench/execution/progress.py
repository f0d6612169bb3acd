"""Shows where a run is, on stderr: bars with rate and time left on a terminal, lines elsewhere, few of them in CI."""

from __future__ import annotations

import os
import sys
import time
from typing import Any, Self

from d3s2bench.execution.events import Began, Ended, Event, Failed, Moved
from d3s2bench.planning.plan import Node

NAMES = {
    "index": "index masks",
    "teacher": "train teacher",
    "generator": "train generator",
    "selection": "select",
    "distilled": "synthesise",
    "quality": "judge",
    "record": "train and score",
}


def label(node: Node) -> str:
    """What a person calls the stage."""
    run = node.run.get("spec", node.run)
    parts = [run[part]["name"] for part in ("selector", "synth") if part in run]
    parts += [str(run["arch"])] if node.stage == "record" else []
    parts += [f"{run['protocol']['iterations']} it"] if node.stage == "record" else []
    parts += [f"#{run['seed']}"] if "seed" in run else []
    return " ".join([NAMES[node.stage], *parts])


def display(left: int) -> Display:
    """What suits where stderr goes; ``left`` stages will be told of."""
    if sys.stderr.isatty():
        return Bars(left)
    return Lines(left, quiet=os.environ.get("CI", "").lower() not in ("", "0", "false"))


class Display:
    """Takes events while it is entered. The table alone goes to stdout."""

    def __init__(self, left: int) -> None:
        self.left, self.finished, self.start = left, 0, time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def __call__(self, event: Event) -> None:
        raise NotImplementedError


class Lines(Display):
    """One line for each finished stage; when ``quiet``, for failures, and one at the end."""

    def __init__(self, left: int, quiet: bool) -> None:
        super().__init__(left)
        self.quiet, self.failed = quiet, 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, Ended | Failed):
            self.finished += 1
            self.failed += isinstance(event, Failed)
            if not self.quiet or (isinstance(event, Failed) and not event.skipped):
                self._print(f"{event.label}: {_ending(event)}")

    def __exit__(self, *error: object) -> None:
        if self.quiet:
            self._print(f"{self.finished - self.failed} stages done, {self.failed} without a result")

    def _print(self, text: str) -> None:
        seconds = time.monotonic() - self.start
        print(f"[{self.finished}/{self.left}] {seconds:6.1f} s  {text}", file=sys.stderr, flush=True)


class Bars(Display):
    """A bar for each stage at work below one for all."""

    def __init__(self, left: int) -> None:
        super().__init__(left)
        self.bars, self.tasks, self.notes = _bars(), dict[str, Any](), dict[str, str]()
        self.total = self.bars.add_task(f"all {left} stages", total=left, note="")

    def __enter__(self) -> Self:
        self.bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bars.stop()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Began):
            self.tasks[event.key] = self.bars.add_task(event.label, total=None, note="")
        elif isinstance(event, Moved):
            self._move(self.tasks[event.key], event)
        elif isinstance(event, Ended | Failed):
            self._end(event)

    def _move(self, task: Any, event: Moved) -> None:
        if self.notes.setdefault(event.key, event.note) != event.note:
            self.notes[event.key] = event.note
            self.bars.reset(task)  # other steps have another rate
        self.bars.update(task, completed=event.done, total=event.total, note=event.note)

    def _end(self, event: Ended | Failed) -> None:
        self.finished += 1
        if event.key in self.tasks:
            self.bars.remove_task(self.tasks.pop(event.key))
        self.bars.update(self.total, completed=self.finished)
        if isinstance(event, Failed):
            self.bars.console.print(f"{event.label}: {_ending(event)}", markup=False, highlight=False)


def _ending(event: Ended | Failed) -> str:
    if isinstance(event, Ended):
        return "done"
    return "skipped" if event.skipped else f"failed: {event.reason}"


def rate(speed: float | None) -> str:
    """Steps per second, or seconds per step where that is the larger number."""
    if not speed:
        return ""
    return f"{speed:.1f}/s" if speed >= 1 else f"{1 / speed:.1f} s each"


def _bars() -> Any:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(rate(task.speed))

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        Rate(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
