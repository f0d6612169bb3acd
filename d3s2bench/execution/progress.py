"""Shows where a run is: bars with rate and time left on a terminal, a line per finished stage elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any, Self

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


class Display:
    """Progress of the stages at work; everything goes to stderr, the table alone to stdout."""

    def __init__(self, todo: int) -> None:
        self.todo, self.finished, self.start = todo, 0, time.monotonic()
        self.bars = _bars() if sys.stderr.isatty() else None
        self.tasks: dict[str, Any] = {}
        self.total = self.bars.add_task(f"all {todo} stages", total=todo, note="") if self.bars else None

    def __enter__(self) -> Self:
        if self.bars:
            self.bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.bars:
            self.bars.stop()

    def began(self, node: Node) -> None:
        if self.bars:
            self.tasks[node.key] = self.bars.add_task(label(node), total=None, note="")

    def moved(self, node: Node, done: int, total: int, note: str) -> None:
        if self.bars and node.key in self.tasks:
            self.bars.update(self.tasks[node.key], completed=done, total=total, note=note)

    def ended(self, node: Node, problem: str | None) -> None:
        self.finished += 1
        text = problem or "done"
        if self.bars:
            if node.key in self.tasks:
                self.bars.remove_task(self.tasks.pop(node.key))
            self.bars.update(self.total, completed=self.finished)
            if problem:
                self.bars.console.print(f"{label(node)}: {text}", markup=False, highlight=False)
        else:
            seconds = time.monotonic() - self.start
            print(f"[{self.finished}/{self.todo}] {seconds:6.1f} s  {label(node)}: {text}", file=sys.stderr, flush=True)


def _bars() -> Any:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
