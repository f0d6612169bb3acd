"""What lies in the folder of a submission: plain files of a few kinds, none too large to read, each listed."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from d3s2bench.errors import StoreError
from d3s2bench.files import file_sha256, read_json
from d3s2bench.schema import violation
from d3s2bench.values import Json

MANIFEST, ENVIRONMENT, RECORDS = "submission.json", "environment.txt", "records"
SCHEMA = Path(__file__).parent / "submission.schema.json"
PARTS = re.compile(rf"{re.escape(ENVIRONMENT)}|{RECORDS}/[0-9a-f]{{16}}\.(json|npz)")
LARGEST_TEXT = 8 * 2**20
"""Bytes of a record, a manifest or a list of distributions: the manifest of 10,000 records has 2 MB."""
LARGEST_COUNTS = 2 * 2**30
"""Bytes of the counts of a record, packed or not. Those of COCO-Stuff, the largest dataset here, are 5000 images ×
171 × 171 classes × 8 bytes: 1.2 GB."""


@dataclass(frozen=True)
class Problem:
    """Why a submission is refused: ``where`` is the file, or the method and its column."""

    where: str
    what: str


def unreadable(folder: Path) -> Iterator[Problem]:
    """What must not even be opened. Raises StoreError for a folder without a manifest."""
    entries = _entries(folder)
    if folder / MANIFEST not in entries:
        raise StoreError(f"{folder} is no submission: it has no {MANIFEST}; make one with d3s2bench submission create")
    for entry in entries:
        if why := _unsafe(entry, entry == folder / RECORDS):
            yield Problem(_name(folder, entry), why)


def _entries(folder: Path) -> list[Path]:
    """All that lies in the folder and in its records; what lies deeper has no place there."""
    records, found = folder / RECORDS, list(folder.iterdir()) if folder.is_dir() else []
    return sorted([*found, *(records.iterdir() if records.is_dir() and not records.is_symlink() else ())])


def _unsafe(entry: Path, may_be_folder: bool) -> str | None:
    about = entry.lstat()
    if stat.S_ISLNK(about.st_mode):
        return "is a link: a submission holds plain files"
    if stat.S_ISDIR(about.st_mode):
        return None if may_be_folder else f"is a folder: a submission has none but {RECORDS}"
    if not stat.S_ISREG(about.st_mode):
        return "is a pipe, a socket or a device: a submission holds plain files"
    largest = LARGEST_COUNTS if entry.suffix == ".npz" else LARGEST_TEXT
    return f"has {about.st_size} bytes: at most {largest} are read" if about.st_size > largest else None


def _name(folder: Path, entry: Path) -> str:
    return entry.relative_to(folder).as_posix()


def digests(folder: Path) -> dict[str, str]:
    """Relative name → SHA-256 of each file but the manifest."""
    files = [entry for entry in _entries(folder) if not entry.is_dir() and entry != folder / MANIFEST]
    return {_name(folder, file): file_sha256(file) for file in files}


def read_manifest(folder: Path) -> Json:
    """Raises StoreError for one that does not follow its schema."""
    found: Json = read_json(folder / MANIFEST)
    if wrong := violation(SCHEMA, found, "the manifest"):
        raise StoreError(f"{folder / MANIFEST} is no valid manifest: {wrong}")
    return found


def changed_files(folder: Path, manifest: Json) -> Iterator[Problem]:
    """Files that are not those that the manifest lists, or that no submission holds."""
    found, listed = digests(folder), manifest["files"]
    for name in sorted(found.keys() | listed.keys()):
        if name not in found:
            yield Problem(name, f"is in {MANIFEST} and not in the folder")
        elif name not in listed:
            yield Problem(name, f"is in the folder and not in {MANIFEST}")
        elif found[name] != listed[name]:
            yield Problem(name, f"is not the file that {MANIFEST} lists: its SHA-256 differs")
        elif not PARTS.fullmatch(name):
            yield Problem(name, f"is no part of a submission: it holds {ENVIRONMENT}, records and their counts alone")
    if wrong := wrong_time(manifest["created"]):
        yield Problem(MANIFEST, wrong)


def wrong_time(created: str) -> str | None:
    """Of a time with its offset that does not exist or is yet to come; a day later than now is a matter of clocks."""
    try:
        future = datetime.fromisoformat(created) > datetime.now(UTC) + timedelta(days=1)
    except ValueError as error:
        return f"was made at no time: {created} ({error})"
    return f"was made in the future: {created}" if future else None
