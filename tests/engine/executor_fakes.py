"""Fast components that leave a trace of when they are worked on, beside the store, whatever machine does it."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from engine_fakes import First, Majority, distribution, environment, fake_config

from d3s2bench import Budget, Component, Context, Json, MaskIndex, Selection, Split, api, hookimpl
from d3s2bench.config import RunConfig
from d3s2bench.storage.store import Store
from d3s2bench.upkeep.inventory import partial_artefacts

JOURNAL = "journal.txt"
TIMES = {"created", "timings", "peak_memory"}
"""What differs between two runs of a cell."""


@hookimpl
def register_selectors() -> list[Component]:
    return [Component("selector", "watched", "executor_fakes:WatchedSelector", "A fake")]


@hookimpl
def register_evaluators() -> list[Component]:
    return [Component("evaluator", "watched", "executor_fakes:WatchedEvaluator", "A fake")]


TORCH = """
class Anything:
    type = "cpu"

    def __call__(self, *given, **named):
        return self

    def __getattr__(self, name):
        return self

def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return Anything()
"""
"""As much of torch as a worker touches when no component does: importing it would be most of such a run."""


def install_watched(monkeypatch: pytest.MonkeyPatch, site: Path) -> None:
    """Worker processes then have these fakes, and that torch."""
    distribution(site, "watched", "from executor_fakes import register_evaluators, register_selectors\n")
    light = site.with_name("light")  # never on the path of this process
    light.mkdir()
    (light / "torch.py").write_text(TORCH)
    monkeypatch.setenv("PYTHONPATH", environment(light, site)["PYTHONPATH"])


@dataclass(frozen=True)
class WatchedSelector(First):
    """Takes some time, which it sleeps."""

    seconds: float = 0.0

    def select(self, index: MaskIndex, budget: Budget, context: Context) -> Selection:
        with _watched(context):
            time.sleep(self.seconds)
            return super().select(index, budget, context)


@dataclass(frozen=True)
class WatchedEvaluator(Majority):
    """Takes some time, which it sleeps."""

    seconds: float = 0.0

    def train(self, pairs: Split, arch: str, protocol: Json, context: Context) -> int:
        with _watched(context):
            context.progress(1, 2, "naps")
            time.sleep(self.seconds)
            return super().train(pairs, arch, protocol, context)


@contextmanager
def _watched(context: Context) -> Iterator[None]:
    partial = context.workdir.parent
    journal = partial.parents[2] / JOURNAL
    _write(journal, f"began {partial.name} {os.getpid()} {os.getppid()}\n")
    yield
    _write(journal, f"ended {partial.name} {os.getpid()} {os.getppid()}\n")


def _write(file: Path, line: str) -> None:
    """One write to the end, which the system does not tear."""
    opened = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(opened, line.encode())
    os.close(opened)


def journal(out: Path) -> list[list[str]]:
    """(began or ended, folder of the stage, process that worked, its parent) of each line up to now."""
    file = out / JOURNAL
    return [line.split() for line in file.read_text().splitlines()] if file.exists() else []


def times(out: Path, what: str) -> Counter[str]:
    """How often each stage has ``began`` or ``ended``."""
    return Counter(folder for told, folder, *_ in journal(out) if told == what)


def watched_config(tiny: Path, out: Path, seconds: float = 0.0, **given: Any) -> RunConfig:
    """Watched stages on the tiny dataset; ``given`` overrides."""
    options = {"selector": {"watched": {"seconds": seconds}}, "evaluator": {"watched": {"seconds": seconds}}}
    plain = {"selector": "watched", "evaluator": "watched", "options": options}
    return fake_config(tiny, out, **plain | given)


# --- what every executor must give -----------------------------------------------------------------------------------


DIFFERS = {"evaluations", "command", "commit"}


def kept(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Records without the times; how many came before depends on which was first, the fake writes a command that names
    an option at its default, ``python -m pytest`` finds the code in the checkout, a command where it is installed, and
    each worker has a log of its own."""
    plain = [{k: v for k, v in record.items() if k not in TIMES} for record in records]
    for record in plain:
        record["reason"] = record["reason"] and without_log(record["reason"])
        record["provenance"] = {k: v for k, v in record["provenance"].items() if k not in DIFFERS}
    return plain


def without_log(text: str) -> str:
    return re.sub(r"logs/worker[\w.-]+\.log", "logs/worker.log", text)


def check_as_inline(result: api.Result, inline: api.Result, out: Path) -> None:
    """The same table to the byte, the same records and images; every stage was done, and once. ``inline`` is the result
    of the folder of that name."""
    assert without_log(result.table) == without_log(inline.table)
    for theirs, ours in zip(kept(result.records), kept(inline.records), strict=True):
        assert not (other := {key: (theirs[key], ours[key]) for key in ours if theirs[key] != ours[key]}), other
    assert images(out) == images(out.parent / "inline")
    assert set(times(out, "ended").values()) == {1}, "a stage was done twice"
    assert times(out, "ended").keys() == times(out.parent / "inline", "ended").keys()
    left = [[each.key for each in partial_artefacts(Store(folder))] for folder in (out, out.parent / "inline")]
    assert left[0] == left[1]  # what has failed


def images(out: Path) -> dict[str, bytes]:
    return {str(file.relative_to(out)): file.read_bytes() for file in out.glob("store/distilled/*/*/*.png")}


def as_results(out: Path, events: list[dict[str, Any]], config: RunConfig) -> tuple[api.Result, api.Result]:
    """What a command said, as a result, beside that of the same matrix inline."""
    inline = api.run(config)
    records = {event["id"] for event in events if event["event"] == "record"}
    read = [json.loads((out / "records" / f"{record['id']}.json").read_text()) for record in inline.records]
    assert {record["id"] for record in read if record["status"] == "ok"} == records
    return api.Result(read, events[-1]["table"], events[-1]["problems"]), inline


def at_work(out: Path) -> list[tuple[int, int]]:
    """(worker, its parent) of the stages that have begun, not ended, and whose process lives."""
    ended = {line[1:] for line in map(tuple, journal(out)) if line[0] == "ended"}
    begun = [line[1:] for line in map(tuple, journal(out)) if line[0] == "began" and line[1:] not in ended]
    return [(int(pid), int(parent)) for _, pid, parent in begun if alive(int(pid)) and alive(int(parent))]


def alive(pid: int) -> bool:
    """Whether the process runs; one that nobody has waited for is dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found = [pid]
    for each in found:
        found += parents.get(each, [])
    return found


def command_line(tiny: Path, out: Path, *words: str) -> list[str]:
    """What :func:`watched_config` says, as a command."""
    plain = ["run", "--data-root", f"tiny={tiny}", "--dataset", "tiny", "--out", str(out), "--rate", "0.2", "--json"]
    plain += ["--synth", "noisy", "--evaluator", "watched", "--arch", "flat", "--controls", "none"]
    return [sys.executable, "-P", "-c", "from d3s2bench.cli.app import main; main()", *plain, *words]
