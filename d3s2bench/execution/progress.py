"""Shows where a run is, on stderr, with rates and times left: bars on a terminal, lines elsewhere, few in CI."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
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
EVERY, SHARE = 60.0, 0.05
"""A stage on its way has a line after so many seconds and so large a share of its steps."""
A_WEEK = 7 * 24 * 3600.0


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
        self.moved: dict[str, Moved] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def __call__(self, event: Event) -> None:
        raise NotImplementedError

    def counts_anew(self, event: Moved) -> bool:
        """Whether these are other steps than before, with another rate. The note does not tell: it may be a loss."""
        before = self.moved.get(event.key)
        self.moved[event.key] = event
        return before is None or event.total != before.total or event.done < before.done


@dataclass
class Pace:
    """How fast a stage goes on since its ``first`` step that was seen."""

    first: int
    since: float
    told: int
    at: float

    def due(self, event: Moved, now: float) -> bool:
        return now - self.at >= EVERY and self.told + SHARE * event.total <= event.done < event.total

    def text(self, event: Moved, now: float) -> str:
        self.told, self.at = event.done, now
        speed = (event.done - self.first) / (now - self.since)
        left = timedelta(seconds=round((event.total - event.done) / speed))
        note = f" ({event.note})" if event.note else ""
        return f"{event.done} of {event.total}{note}, {rate(speed)}, {left} left"


class Lines(Display):
    """One line for each finished stage, some on the way of one that takes long; ``quiet``: for failures and the end."""

    def __init__(self, left: int, quiet: bool, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(left)
        self.quiet, self.failed, self.clock = quiet, 0, clock
        self.paces: dict[str, Pace] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, Moved) and not self.quiet:
            self._move(event, self.clock())
        elif isinstance(event, Ended | Failed):
            self.finished += 1
            self.failed += isinstance(event, Failed)
            if not self.quiet or (isinstance(event, Failed) and not event.skipped):
                self._print(f"{event.label}: {_ending(event)}")

    def _move(self, event: Moved, now: float) -> None:
        if self.counts_anew(event):
            self.paces[event.key] = Pace(event.done, now, event.done, now)
        elif (pace := self.paces[event.key]).due(event, now):
            self._print(f"{event.label}: {pace.text(event, now)}")

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
        self.bars, self.tasks = _bars(), dict[str, Any]()
        self.total = self.bars.add_task(f"all {left} stages", total=left, note="", unequal=True)

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
        if self.counts_anew(event):
            self.bars.reset(task)
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
    from rich.table import Column
    from rich.text import Text

    class Rate(ProgressColumn):
        """Of all stages there is none: one takes a moment, another an hour."""

        def render(self, task: Task) -> Text:
            return Text("" if "unequal" in task.fields else rate(task.speed))

    class Left(TimeRemainingColumn):
        def render(self, task: Task) -> Text:
            return Text("") if "unequal" in task.fields else super().render(task)

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        Rate(table_column=Column(no_wrap=True)),
        TimeElapsedColumn(),
        Left(),
        console=Console(stderr=True),
        transient=True,
        speed_estimate_period=A_WEEK,  # a step of a long training may take minutes
    )
