"""Whether all that a record says follows from the counts beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from d3s2bench.discovery import check_name
from d3s2bench.errors import PluginError, StoreError
from d3s2bench.files import digest, load_npz
from d3s2bench.metrics import scores
from d3s2bench.results.records import COMPONENTS, TOLERANCE, read_record
from d3s2bench.upkeep.submission_folder import LARGEST_COUNTS
from d3s2bench.values import Json

Arrays = Mapping[str, NDArray[Any]]

MOST_PIXELS = 2**31
"""Of one kind in one image: more are no photograph, and their sums could run over and hide what was added."""


@dataclass(frozen=True)
class Checked:
    """A record that follows from its counts, and digests of these to compare it by with others."""

    record: Json
    counts: str
    """Of all counts."""
    truth: str
    """Of the labelled pixels per image and class, which no prediction changes."""
    train_share: str
    """Of the share of each class in the train split."""

    @property
    def file(self) -> str:
        return f"{self.record['id']}.json"


def checked_record(file: Path) -> Checked:
    """Raises StoreError or ValueError that says what is wrong with a record or does not follow from its counts."""
    record = read_record(file)
    digest(record)  # Python reads NaN, which no JSON can say
    if wrong := _wrong_head(record, file):
        raise StoreError(wrong)
    counts = _load(file.with_suffix(".npz"))
    for rule in RULES:
        if wrong := rule(record, counts):
            raise StoreError(wrong)
    per_image = counts["per_image"]
    truth, share = per_image.sum(axis=-1), counts.get("train_share", np.zeros(0))
    return Checked(record, _digest(per_image, np.int64), _digest(truth, np.int64), _digest(share, np.float64))


def _wrong_head(record: Json, file: Path) -> str | None:
    if record["id"] != file.stem:
        return f"its id is {record['id']}: the file must be named after it"
    if record["status"] != "ok":
        return f"its status is '{record['status']}': only finished records can be submitted"
    if record["confusion"]["path"] != f"{file.stem}.npz":
        return f"its counts are in {record['confusion']['path']}: they must be its own, {file.stem}.npz"
    if wrong := _no_name(record["spec"]) or _changed_nothing(record["spec"]):
        return wrong
    if record["spec"]["protocol_hash"] != digest(record["spec"]["protocol"]):
        return "its protocol_hash is not the digest of its protocol"
    return None


def _no_name(spec: Json) -> str | None:
    """What looks like the name of another method, as one with a space behind it does, is none."""
    for part in COMPONENTS:
        try:
            check_name(spec[part]["name"])
        except PluginError as error:
            return f"its {part}: {error}"
    return None


def _changed_nothing(spec: Json) -> str | None:
    """An option that is said to be changed must be there: tables name a method by it."""
    for part in COMPONENTS:
        if unknown := set(spec[part].get("changed", ())) - spec[part]["options"].keys():
            return f"its {part} says that the option {min(unknown)} was changed, which it does not have"
    return None


def _load(file: Path) -> Arrays:
    """Raises StoreError for what is no npz, or unpacks to more than can be counts."""
    try:
        with ZipFile(file) as packed:
            size = sum(part.file_size for part in packed.infolist())  # zipfile unpacks no more than it declares
    except BadZipFile as error:
        raise StoreError(f"{file.name} is no npz: {error}") from error
    if size > LARGEST_COUNTS:
        raise StoreError(f"{file.name} unpacks to {size} bytes: at most {LARGEST_COUNTS} are read")
    return load_npz(file)


def _digest(values: NDArray[Any], kind: type[np.generic]) -> str:
    found = hashlib.sha256(str(values.shape).encode())
    found.update(np.ascontiguousarray(values, kind).reshape(-1).data)
    return found.hexdigest()


# --- rules: why the counts are none, or not those of the record ------------------------------------------------------


def _wrong_names(record: Json, counts: Arrays) -> str | None:
    needed, known = {"total", "per_image"}, {"total", "per_image", "train_share"}
    if needed <= counts.keys() <= known and all(isinstance(array, np.ndarray) for array in counts.values()):
        return None
    return f"its counts hold {', '.join(counts) or 'nothing'}: they must be total, per_image and train_share"


def _wrong_shapes(record: Json, counts: Arrays) -> str | None:
    classes = len(record["spec"]["dataset"]["classes"])
    wanted = {"total": (classes, classes), "per_image": (*counts["per_image"].shape[:1], classes, classes)}
    for name, shape in {**wanted, "train_share": (classes,)}.items():
        if name in counts and counts[name].shape != shape:
            return f"its {name} counts have the shape {counts[name].shape}: its {classes} classes give {shape}"
    return None


def _wrong_values(record: Json, counts: Arrays) -> str | None:
    for name in ("total", "per_image"):
        if counts[name].dtype.kind not in "iu":
            return f"its {name} counts are {counts[name].dtype}: pixels are counted in whole numbers"
    per_image = counts["per_image"]
    if per_image.size and not 0 <= per_image.min() <= per_image.max() <= MOST_PIXELS:
        return f"its counts go from {per_image.min()} to {per_image.max()}: pixels are counted from 0 to {MOST_PIXELS}"
    return None


def _wrong_share(record: Json, counts: Arrays) -> str | None:
    share = counts.get("train_share")
    if share is None or (share.dtype.kind == "f" and (share >= 0).all() and abs(share.sum() - 1) < 1e-6):
        return None
    return "its train_share is none: shares of the train pixels are 0 or more and sum to 1"


def _wrong_sum(record: Json, counts: Arrays) -> str | None:
    if np.array_equal(counts["total"], counts["per_image"].sum(axis=0)):
        return None
    return "its total counts are not the sum of those of its images"


def _wrong_scores(record: Json, counts: Arrays) -> str | None:
    again = scores(counts["total"], counts.get("train_share"))
    for name, said in record["metrics"].items():
        if name not in again or not _close(said, again[name]):
            found = again.get(name, "what they give")
            return f"its {name} does not follow from its counts: it says {said}, not {found}"
    return None


RULES: tuple[Callable[[Json, Arrays], str | None], ...] = (
    _wrong_names,
    _wrong_shapes,
    _wrong_values,
    _wrong_share,
    _wrong_sum,
    _wrong_scores,
)
"""In this order: each may take for granted what those before it have found right."""


def _close(said: Any, found: Any) -> bool:
    if isinstance(found, list):
        return isinstance(said, list) and len(said) == len(found) and all(map(_close, said, found))
    if said is None or found is None:
        return said is found
    return bool(abs(said - found) <= TOLERANCE)
