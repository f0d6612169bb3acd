"""What happens in a run, as values: shown on a terminal, printed by ``--json``, handed to ``on_event``.

``--json`` prints one JSON object per line on stdout and nothing else there; what is for people stays on stderr. Each
object has ``event``, the ``name`` of one of the classes below, ``time``, ISO 8601 in UTC, and the fields of that class.
Each stage gives one ``began``, any number of ``progress`` and then ``ended`` or ``failed``; a stage whose inputs failed
gives ``failed`` alone. A stage that is tried again, after its worker was lost, goes on with ``progress``.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import IO, Any, ClassVar

from d3s2bench.results.records import now


@dataclass(frozen=True)
class Event:
    """Something that happened."""

    name: ClassVar[str]


@dataclass(frozen=True)
class Planned(Event):
    """The run is about to start; comes first."""

    name = "plan"
    stages: Mapping[str, tuple[int, int]]
    """Stage → nodes of the plan, and how many of them are left to run."""
    left: int
    """Nodes left to run, of all stages."""


@dataclass(frozen=True)
class OfStage(Event):
    """What is said of one node of the plan."""

    stage: str
    """index, teacher, generator, selection, distilled, quality or record."""
    key: str
    """Its folder in the store; of a record, the first 16 digits name its file."""
    label: str
    """What a person calls it."""


@dataclass(frozen=True)
class Began(OfStage):
    """A stage was handed to the executor."""

    name = "began"


@dataclass(frozen=True)
class Moved(OfStage):
    """A stage goes on; at most some five times a second."""

    name = "progress"
    done: int
    """Steps made, of ``total``; may start again at 0 with another ``note``."""
    total: int
    note: str
    """What a step is."""


@dataclass(frozen=True)
class Ended(OfStage):
    """A stage is done."""

    name = "ended"
    seconds: float
    """Since it began, waiting for a place included."""


@dataclass(frozen=True)
class Failed(OfStage):
    """A stage gave nothing; the others go on."""

    name = "failed"
    reason: str
    """One line: what, where, what to do."""
    skipped: bool
    """True for one that was never begun, because a stage that it needs failed for this reason."""


@dataclass(frozen=True)
class Recorded(Event):
    """A cell has its number; not said of records that were there before."""

    name = "record"
    id: str
    file: str


@dataclass(frozen=True)
class Distilled(Event):
    """A distilled set that was asked for lies in ``folder``; of ``d3s2bench distill`` alone."""

    name = "set"
    folder: str


@dataclass(frozen=True)
class Tabled(Event):
    """The run is over; comes last."""

    name = "table"
    table: str
    """Markdown."""
    records: int
    """Of how many records it is made."""
    problems: Mapping[str, str]
    """Key of each stage without a result → why; the exit code is 1 unless it is empty."""


Tell = Callable[[Event], None]


def untold(event: Event) -> None:
    """Tells nobody."""


def to_json(event: Event) -> dict[str, Any]:
    return {"event": event.name, "time": now(), **asdict(event)}


@dataclass
class JsonLines:
    """Writes events, one per line."""

    stream: IO[str]

    def __call__(self, event: Event) -> None:
        self.stream.write(json.dumps(to_json(event), ensure_ascii=False) + "\n")
        self.stream.flush()


class InTurn:
    """Passes events on one at a time, whichever thread they come from, and none of a stage after its end."""

    def __init__(self, *listeners: Tell) -> None:
        self.listeners, self.lock, self.over = listeners, threading.Lock(), set[str]()

    def __call__(self, event: Event) -> None:
        with self.lock:
            if isinstance(event, Moved) and event.key in self.over:
                return
            if isinstance(event, Ended | Failed):
                self.over.add(event.key)
            for listener in self.listeners:
                listener(event)
