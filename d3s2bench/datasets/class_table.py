"""The classes of a known dataset, as data: ``tables/*.tsv`` holds id in the files, colour and name of each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

RGB = tuple[int, int, int]


@dataclass(frozen=True)
class ClassTable:
    """Row k describes train id k."""

    ids: tuple[int, ...]
    """What the mask files call it."""
    palette: tuple[RGB, ...]
    names: tuple[str, ...]


@cache
def class_table(name: str) -> ClassTable:
    """The table ``tables/<name>.tsv``, which says in its head where it comes from."""
    text = (Path(__file__).parent / "tables" / f"{name}.tsv").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    ids, colours, names = zip(*rows, strict=True)
    return ClassTable(tuple(map(int, ids)), tuple(_colour(text) for text in colours), names)


def _colour(text: str) -> RGB:
    red, green, blue = map(int, text.split())
    return red, green, blue
