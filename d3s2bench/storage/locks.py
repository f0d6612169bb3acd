"""Who is at work in a store, told from locks that the operating system frees when their holder dies."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout

from d3s2bench.storage.store import Store

_RUNS = count()
"""Tells the runs of one process apart."""


def is_held(lock: Path) -> bool:
    """Whether a process holds the lock file; never makes it."""
    if not lock.exists():
        return False
    try:
        with FileLock(lock, blocking=False):
            return False
    except Timeout:
        return True


def lock_file(store: Store, stage: str, key: str) -> Path:
    """The file behind :meth:`Store.lock`."""
    return store.root / stage / f".{key}.lock"


@contextmanager
def at_work(store: Store) -> Iterator[None]:
    """A run says that it lives, also between two stages, when it holds no stage's lock."""
    file = store.root / f".run-{socket.gethostname()}-{os.getpid()}-{next(_RUNS)}.lock"
    with FileLock(file):
        try:
            yield
        finally:
            file.unlink(missing_ok=True)


def live_runs(store: Store) -> list[str]:
    """``host-pid`` of the runs at work."""
    held = [file.stem for file in sorted(store.root.glob(".run-*.lock")) if is_held(file)]
    return [name.removeprefix(".run-").rpartition("-")[0] for name in held]
