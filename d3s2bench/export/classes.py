"""What the classes of a distilled set are called, and their colours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from d3s2bench.datasets.class_table import RGB
from d3s2bench.datasets.folder import is_class_list, palette_of
from d3s2bench.errors import DatasetError
from d3s2bench.files import read_json
from d3s2bench.interfaces import Dataset
from d3s2bench.sets.distilled import MANIFEST


@dataclass(frozen=True)
class Classes:
    """Row k describes train id k."""

    names: tuple[str, ...]
    palette: tuple[RGB, ...]


def classes_of(folder: Path, dataset: Dataset | None) -> Classes:
    """Those of ``dataset``, or else those that the manifest records under ``dataset``.

    Raises:
        DatasetError: neither names them, they differ, or the manifest is none.
    """
    recorded = _recorded(folder / MANIFEST) if (folder / MANIFEST).exists() else None
    if dataset is None:
        if recorded is None:
            raise DatasetError(f"{folder} does not name its classes: give the --dataset that it was distilled from")
        return recorded
    if recorded and recorded.names != dataset.classes:
        raise DatasetError(f"{folder} has other classes than dataset '{dataset.name}': leave out --dataset")
    return Classes(dataset.classes, dataset.palette)


def _recorded(manifest: Path) -> Classes | None:
    """None when the manifest, as one of an earlier version, does not list the classes."""
    found = read_json(manifest)
    about = found.get("dataset") if isinstance(found, Mapping) else None
    if not isinstance(about, Mapping) or "classes" not in about:
        return None
    names = about["classes"]
    if not is_class_list(names) or not all(map(_is_text, names)):
        raise DatasetError(f"{manifest}: classes must be a list of 1 to 255 names")
    return Classes(tuple(names), palette_of(about.get("palette"), len(names), manifest))


def _is_text(name: Any) -> bool:
    """JSON can spell half a character, which no file can hold."""
    return not any("\ud800" <= character <= "\udfff" for character in name)
