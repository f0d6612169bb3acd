"""How often a split has been looked at: each evaluation is logged before it is made, so that no number can be had
from a test split without a trace."""

from __future__ import annotations

import json
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
    with FileLock(out / "store" / f".{LOG}.lock"):
        with (out / LOG).open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        same = [row for row in read_evaluations(out) if _split_of(row) == _split_of(line)]
    return {
        "number": len({row["record"] for row in same}),
        "configurations": len({row["configuration"] for row in same}),
    }


def read_evaluations(out: Path) -> Iterator[dict[str, Any]]:
    """The lines of the log, oldest first; a line that a kill tore is left out."""
    file = out / LOG
    for text in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        try:
            yield json.loads(text)
        except ValueError:
            continue


def _split_of(row: Json) -> tuple[str, str]:
    return row["fingerprint"], row["split"]
