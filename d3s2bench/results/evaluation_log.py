"""How often a split has been looked at: each evaluation is logged before it is made, so that no number can be had
from a test split without a trace."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock

from d3s2bench.files import digest
from d3s2bench.values import Json

LOG = "evaluations.jsonl"


def log_evaluation(out: Path, record: str, spec: Json) -> dict[str, int]:
    """Adds a line to ``<out>/evaluations.jsonl``; returns how many different records the split has given in this
    store up to now (``number``), and of how many different ``configurations`` (repetitions apart).

    A record that is scored again, after a kill or when it was deleted, counts once: its number is the same.
    """
    line = {
        "record": record,
        "dataset": spec["dataset"]["name"],
        "fingerprint": spec["dataset"]["fingerprint"],
        "split": spec["dataset"]["split"],
        "configuration": digest({k: v for k, v in spec.items() if k != "seed"})[:16],
    }
    file = (out / LOG).resolve()
    with FileLock(out / "store" / f".{LOG}.lock"):
        _append(file, json.dumps(line))
        return _counted(file).up_to_now(_split_of(line))


def with_looks(record: Json, out: Path) -> dict[str, Any]:
    """The record, saying how often its split has been looked at in this store by now rather than when it was scored."""
    data, provenance, file = record["spec"]["dataset"], record["provenance"], (out / LOG).resolve()
    if not (provenance.get("evaluations") and file.exists()):
        return dict(record)
    looks = _counted(file).up_to_now((data["fingerprint"], data["split"]))
    return {**record, "provenance": {**provenance, "evaluations": looks}}


def _append(file: Path, line: str) -> None:
    with file.open("ab+") as log:
        if end := log.seek(0, os.SEEK_END):
            log.seek(end - 1)
        torn = log.read(1) not in (b"", b"\n")
        log.write(b"\n" * torn + line.encode() + b"\n")


def read_evaluations(out: Path) -> Iterator[dict[str, Any]]:
    """The lines of the log, oldest first; a line that a kill tore is left out."""
    file = out / LOG
    return _rows(file.read_bytes()) if file.exists() else iter(())


class _Counted:
    """What this process has read of a log: of a long one it reads only what has come since, from whichever process."""

    def __init__(self, file: Path) -> None:
        self.file, self.end = file, 0
        self.records: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        self.configurations: defaultdict[tuple[str, str], set[str]] = defaultdict(set)

    def up_to_now(self, split: tuple[str, str]) -> dict[str, int]:
        with self.file.open("rb") as log:
            log.seek(self.end)
            for row in _rows(log.read()):
                self.records[_split_of(row)].add(row["record"])
                self.configurations[_split_of(row)].add(row["configuration"])
            self.end = log.tell()
        return {"number": len(self.records[split]), "configurations": len(self.configurations[split])}


_COUNTED: dict[Path, _Counted] = {}


def _counted(file: Path) -> _Counted:
    if file not in _COUNTED or file.stat().st_size < _COUNTED[file].end:  # another log of that name
        _COUNTED[file] = _Counted(file)
    return _COUNTED[file]


def _rows(text: bytes) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue


def _split_of(row: Json) -> tuple[str, str]:
    return row["fingerprint"], row["split"]
