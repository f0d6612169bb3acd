"""Does a record's command again in a folder of its own, and compares the number."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from d3s2bench.config import CELL_OPTIONS, CELL_SETTINGS
from d3s2bench.errors import StageError, StoreError
from d3s2bench.results.records import read_records
from d3s2bench.values import Json

MAIN = "from d3s2bench.cli.app import main; main()"
CHOICES = (
    *("--dataset", "--evaluator", "--arch", "--seed", "--selector", "--synth"),
    *("--rate", "--budgets", "--holdout", "--preset"),
)
"""The options, beside --set, by which ``planning.command`` says what a cell is."""
PROGRAMS = ("python", "config")
"""Options of components that name what is run: an interpreter, a configuration that is a program."""


@dataclass(frozen=True)
class Rerun:
    """The mIoU of a record and that of its repetition, in percent."""

    before: float
    again: float

    @property
    def difference(self) -> float:
        return self.again - self.before


def rerun(record: Json, options: Iterable[str] = (), trusted: bool = False) -> Rerun:
    """Repeats everything behind the record, its teacher and its generator among it unless its command names them.

    ``options`` are added to the command: ``--data-root NAME=DIR`` for a dataset that lies in files. A record may come
    from anyone: what its command says beside the choices that make a cell is done only when it is ``trusted``.

    Raises:
        StoreError: a record without a number or without a command, a command that does more than to give a number, or
            one that gives another cell.
        StageError: the command failed; it has told why.
    """
    if record["status"] != "ok" or not record["provenance"]["command"]:
        raise StoreError(f"record {record['id']} holds no number or no command: there is nothing to repeat")
    with TemporaryDirectory(prefix="d3s2bench-rerun-") as place:
        words = [*command_again(record, Path(place), trusted), *options]
        ended = subprocess.run([sys.executable, "-P", "-c", MAIN, *words], stdout=subprocess.DEVNULL)
        if ended.returncode:
            raise StageError(f"'d3s2bench {shlex.join(words)}' failed: see above")
        found = same_cell(record, list(read_records(Path(place))))
    return Rerun(record["metrics"]["miou"], found["metrics"]["miou"])


def command_again(record: Json, out: Path, trusted: bool = False) -> list[str]:
    """The words after ``d3s2bench``: in a new folder, all models trained there, no controls but those it is one of.

    Raises:
        StoreError: the command does more than to give a number.
    """
    words = shlex.split(record["provenance"]["command"])[1:]
    if not trusted and (more := " ".join(_beyond_choices(words))):
        what = f"the command of record {record['id']} says '{more}', which can run code of whoever wrote it"
        raise StoreError(f"{what}: read 'd3s2bench {shlex.join(words)}', then give --trust")
    settings = ["train_missing=true", "wandb=disabled"]
    settings += [] if record["spec"]["selector"]["name"] == "full" else ["controls=none"]
    return [*words, "--out", str(out), *(word for setting in settings for word in ("--set", setting))]


def _beyond_choices(words: list[str]) -> list[str]:
    """What of a command is no choice of a cell."""
    kind, options = words[:1], words[2 if words[:1] == ["evaluate"] else 1 :]
    if kind not in (["run"], ["evaluate"]):
        return words
    pairs = zip_longest(options[::2], options[1::2], fillvalue="")
    return [word for pair in pairs if not _is_choice(*pair) for word in pair]


def _is_choice(option: str, value: str) -> bool:
    if option != "--set":
        return option in CHOICES
    keys = value.partition("=")[0].split(".")
    known = CELL_OPTIONS if len(keys) > 2 else (*CELL_SETTINGS, "protocol")
    return keys[0] in known and keys[-1] not in PROGRAMS


def same_cell(record: Json, found: list[dict[str, Any]]) -> dict[str, Any]:
    """The record of the same cell; its id differs when the code has changed since."""
    cell = _cell(record["spec"])
    for other in sorted(found, key=lambda each: each["id"] != record["id"]):
        if other["status"] == "ok" and _cell(other["spec"]) == cell:
            return other
    raise StoreError(f"the command of record {record['id']} gave no record of its cell: its code or data have changed")


def _cell(spec: Json) -> list[Any]:
    """What was asked for, whatever the version of the code."""
    components = [[spec[part]["name"], spec[part]["options"]] for part in ("selector", "synth", "evaluator")]
    data = [spec["dataset"]["fingerprint"], spec["dataset"]["split"]]
    return [*components, *data, spec["arch"], spec["rate"], spec["seed"], spec["protocol"]]
