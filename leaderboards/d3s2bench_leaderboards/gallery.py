"""Pictures of distilled sets for a page, from the store beside the records: of datasets that may be passed on alone."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from d3s2bench import Json, StoreError
from d3s2bench_leaderboards.rows import Row

WIDTH, HEIGHT = 400, 560
"""The most pixels of a thumbnail; pictures of small photographs are shown as they are."""


@dataclass(frozen=True)
class Picture:
    """The preview of a distilled set: mask, photograph, distilled image and, if there is one, a teacher's reading."""

    row: Row
    record: Json
    width: int
    height: int
    uri: str
    """A data URI."""


@dataclass(frozen=True)
class Gallery:
    pictures: tuple[Picture, ...]
    withheld: tuple[str, ...]
    """Datasets with sets that are not shown: nothing says that their images may be passed on."""
    left_out: int
    """Sets that would be too many."""


def gallery(rows: Iterable[Row], folder: Path | None, may_pass_on: Iterable[str], most: int) -> Gallery:
    """One set for each row: that of its first repetition that has one in the store.

    A dataset may be passed on when the manifest of its set says so (``dataset.redistributable``), or when
    ``may_pass_on`` names it.

    Raises:
        StoreError: a manifest or a preview that cannot be read.
    """
    allowed, found, withheld = set(may_pass_on), [], set()
    for row, record, place in _sets(rows, folder) if folder else ():
        name = row.setting.dataset.name
        if name in allowed or _redistributable(place):
            found.append((row, record, place))
        else:
            withheld.add(name)
    shown = tuple(_picture(*each) for each in found[:most])
    return Gallery(shown, tuple(sorted(withheld)), len(found) - len(shown))


def _sets(rows: Iterable[Row], folder: Path) -> Iterator[tuple[Row, Json, Path]]:
    """Each set once, though several architectures are trained on it."""
    places = {file.parent.name: file.parent for file in (folder / "store" / "distilled").glob("*/preview.png")}
    seen: set[str] = set()
    for row in rows:
        for record in row.records.values():
            if place := places.get(str(record["provenance"]["distilled"])):
                if place.name not in seen:
                    seen.add(place.name)
                    yield row, record, place
                break


def _redistributable(place: Path) -> bool:
    file = place / "manifest.json"
    try:
        dataset: Any = json.loads(file.read_text(encoding="utf-8"))["dataset"]
        return isinstance(dataset, dict) and dataset.get("redistributable") is True
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{file} is no manifest of a distilled set ({error}): make the set again") from error


def _picture(row: Row, record: Json, place: Path) -> Picture:
    from PIL import Image

    file = place / "preview.png"
    try:
        with Image.open(file) as opened:
            picture = opened.convert("RGB")
            picture.thumbnail((WIDTH, HEIGHT))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise StoreError(f"{file} is corrupt or no image ({error}): make the set again") from error
    buffer = io.BytesIO()
    picture.save(buffer, format="WEBP", quality=82, method=4)
    uri = "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
    return Picture(row, record, picture.width, picture.height, uri)
