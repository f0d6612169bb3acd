"""Does a record's command again in a folder of its own, and compares the number."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from d3s2bench.errors import StageError, StoreError
from d3s2bench.results.records import read_records
from d3s2bench.values import Json

MAIN = "from d3s2bench.cli.app import main; main()"


@dataclass(frozen=True)
class Rerun:
    """The mIoU of a record and that of its repetition, in percent."""

    before: float
    again: float

    @property
    def difference(self) -> float:
        return self.again - self.before


def rerun(record: Json, options: Iterable[str] = ()) -> Rerun:
    """Repeats everything behind the record, its teacher and its generator among it unless its command names them.

    ``options`` are added to the command: ``--data-root NAME=DIR`` for a dataset that lies in files.

    Raises:
        StoreError: a record without a number or without a command, or a command that gives another cell.
        StageError: the command failed; it has told why.
    """
    if record["status"] != "ok" or not record["provenance"]["command"]:
        raise StoreError(f"record {record['id']} holds no number or no command: there is nothing to repeat")
    with TemporaryDirectory(prefix="d3s2bench-rerun-") as place:
        words = [*command_again(record, Path(place)), *options]
        ended = subprocess.run([sys.executable, "-P", "-c", MAIN, *words], stdout=subprocess.DEVNULL)
        if ended.returncode:
            raise StageError(f"'d3s2bench {shlex.join(words)}' failed: see above")
        found = same_cell(record, list(read_records(Path(place))))
    return Rerun(record["metrics"]["miou"], found["metrics"]["miou"])


def command_again(record: Json, out: Path) -> list[str]:
    """The words after ``d3s2bench``: in a new folder, all models trained there, no controls but those it is one of."""
    words = shlex.split(record["provenance"]["command"])[1:]
    settings = ["train_missing=true", "wandb=disabled"]
    settings += [] if record["spec"]["selector"]["name"] == "full" else ["controls=none"]
    return [*words, "--out", str(out), *(word for setting in settings for word in ("--set", setting))]


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
