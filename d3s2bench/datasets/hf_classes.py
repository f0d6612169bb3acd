"""Which classes the masks of a ``datasets`` set have: from a file beside it, or from a column of ClassLabel."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from d3s2bench.datasets.class_table import RGB, ClassTable
from d3s2bench.datasets.folder import default_colour, palette_of
from d3s2bench.datasets.label_map import OUTSIDE, UNKNOWN
from d3s2bench.errors import DatasetError
from d3s2bench.values import IGNORE

CLASS_FILES = ("classes.json", "id2label.json")


@dataclass(frozen=True)
class ClassList:
    """The classes as ``source`` lists them, in the order of their ids, and what else it says."""

    source: str
    ids: tuple[int, ...]
    names: tuple[str, ...]
    palette: tuple[RGB, ...]
    ignored: tuple[int, ...] = ()
    redistributable: bool = False

    def table(self, ignored: tuple[int, ...], shift: int) -> ClassTable:
        """The classes that are not ignored; masks hold their ids plus ``shift``.

        Raises:
            DatasetError: no class is left, there are too many, or an id is negative or beyond 16 bits.
        """
        listed = zip((i + shift for i in self.ids), self.palette, self.names, strict=True)
        rows = [row for row in listed if row[0] not in ignored]
        if not 1 <= len(rows) < UNKNOWN or not all(0 <= i < OUTSIDE for i in (*ignored, *(row[0] for row in rows))):
            limits = f"1 to {UNKNOWN - 1} are possible, with ids from 0 to {OUTSIDE - 1}, and such ids to ignore"
            raise DatasetError(f"{self.source} gives {len(rows)} classes: {limits}")
        ids, palette, names = zip(*rows, strict=True)
        return ClassTable(ids, palette, names)


def class_file(root: Path, given: str) -> Path:
    """The file that is given, relative to the set, or the first of the usual ones that is there."""
    found = [name for name in CLASS_FILES if (root / name).is_file()]
    return root / (given or [*found, *CLASS_FILES][0])


def classes_of_file(file: Path) -> ClassList:
    """From a list of names, from ``{"classes": such a list, …}`` as the dataset ``folder`` has it, or from
    ``{"id": "name", …}``. Raises DatasetError for a file that is missing or says something else."""
    about = _description(file)
    ids, names = _ids_and_names(about.get("classes", about), file)
    palette = palette_of(about.get("palette"), len(names), file)
    ignore = about.get("ignore_index", IGNORE)
    if not isinstance(ignore, int):
        raise DatasetError(f"{file}: ignore_index is {ignore!r}: it must be a whole number")
    ignored = () if ignore == IGNORE else (ignore,)
    return ClassList(str(file), ids, names, palette, ignored, bool(about.get("redistributable", False)))


def _description(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        said = f"cannot read {file} ({error.strerror}): it must list the class names"
        raise DatasetError(f"{said}; or name a column of ClassLabel with --set dataset.hf.class_column=NAME") from error
    except ValueError as error:
        raise DatasetError(f"{file} is no valid JSON: {error}") from error
    return found if isinstance(found, dict) else {"classes": found}


def _ids_and_names(listed: Any, file: Path) -> tuple[tuple[int, ...], tuple[str, ...]]:
    named = dict(enumerate(listed)) if isinstance(listed, list) else listed
    try:
        rows = sorted((int(i), name) for i, name in named.items() if isinstance(name, str))
    except (ValueError, AttributeError):
        rows = []
    ids = tuple(i for i, _ in rows)
    if not rows or len(rows) != len(named) or len(set(ids)) != len(ids):
        raise DatasetError(f'{file} must hold a list of names, {{"classes": names}} or {{"0": "name", …}}')
    return ids, tuple(name for _, name in rows)


def classes_of_column(rows: Any, column: str, place: Path) -> ClassList:
    """The names of a column of ClassLabel, or of lists of them. Raises DatasetError for another kind of column."""
    kind = rows.features.get(column)
    while not hasattr(kind, "names") and getattr(kind, "feature", None) is not None:
        kind = kind.feature
    if not hasattr(kind, "names"):
        columns = ", ".join(rows.features)
        raise DatasetError(f"{place} has no column '{column}' of ClassLabel: its columns are {columns}")
    names = tuple(kind.names)
    palette = tuple(default_colour(i) for i in range(len(names)))
    return ClassList(f"{place}, column {column}", tuple(range(len(names))), names, palette)
