"""The store: every finished stage is a folder named by the hash of all that made it.

A stage works in ``<key>.partial``, which outlives a killed run, and is renamed when it is whole. A lock per key, freed
by the operating system when its holder dies, lets two runs share one store: the second waits, then finds the result.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from filelock import FileLock

from d3s2bench.errors import StoreError
from d3s2bench.files import read_json, write_json
from d3s2bench.values import Json

ARTEFACT = "artefact.json"
SCRATCH = "scratch"
"""The part of a working folder that is thrown away when the stage is done: checkpoints, the journal of a set."""


class Store:
    """The artefacts below ``<out>/store``."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.root = out / "store"

    def prepare(self) -> None:
        """Raises StoreError when the folder cannot be made or written to, or has no locks."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            (self.out / "records").mkdir(exist_ok=True)
        except OSError as error:
            raise StoreError(f"cannot write to {self.out} ({error.strerror}): give another --out") from error
        if not os.access(self.root, os.W_OK):
            raise StoreError(f"cannot write to {self.root} (no permission): give another --out")
        require_locks(self.root)

    def path(self, stage: str, key: str) -> Path:
        return self.root / stage / key

    def has(self, stage: str, key: str) -> bool:
        return (self.path(stage, key) / ARTEFACT).exists()

    def info(self, stage: str, key: str) -> dict[str, Any]:
        """What the stage wrote of itself. Raises StoreError when it is not there."""
        found: dict[str, Any] = read_json(self.path(stage, key) / ARTEFACT)
        return found

    def produce(self, stage: str, key: str, make: Callable[[Path], Json]) -> Path:
        """The artefact's folder, made by ``make(folder) -> info`` unless it exists; what a killed run had described
        already was made, and only gets its name."""
        final = self.path(stage, key)
        work = final.with_name(f"{key}.partial")
        with self.lock(stage, key):
            if not self.has(stage, key):
                work.mkdir(parents=True, exist_ok=True)
                if not (work / ARTEFACT).exists():
                    write_json(work / ARTEFACT, make(work))
                shutil.rmtree(work / SCRATCH, ignore_errors=True)
                work.replace(final)
        return final

    def lock(self, stage: str, key: str) -> FileLock:
        file = self.root / stage / f".{key}.lock"
        file.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(file)


def require_locks(folder: Path) -> None:
    """Raises StoreError where the file system has no ``flock``: a lock that is a file outlives its killed holder."""
    if sys.platform == "win32":  # every lock is the system's there
        return
    import fcntl

    with TemporaryFile(dir=folder) as probe:
        try:
            fcntl.flock(probe, fcntl.LOCK_EX)
        except OSError as error:
            where = f"{folder} on {socket.gethostname()} has no file locks ({error.strerror})"
            raise StoreError(f"{where}: give an --out on a disk of its own, or one mounted with flock") from error


def scratch(work: Path) -> Path:
    """The folder for checkpoints inside a working folder."""
    folder = work / SCRATCH
    folder.mkdir(exist_ok=True)
    return folder
