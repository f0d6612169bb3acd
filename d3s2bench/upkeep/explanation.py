"""Where a number comes from: every artefact behind a record, its seeds, its code, and whether it follows from its
counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from d3s2bench.errors import StoreError
from d3s2bench.results.records import TOLERANCE, read_record, recomputed_miou
from d3s2bench.storage.store import Store
from d3s2bench.upkeep.code_since import Code, code_since
from d3s2bench.upkeep.inventory import MODELS, Artefact, artefacts, dataset_names, in_words, models_by_hash
from d3s2bench.values import Json


@dataclass(frozen=True)
class Part:
    """One thing that a number was made from. ``key`` is the store's, or the hash of the files for a model and for a
    set that came from elsewhere; ``folder`` is None when it does not lie in this store."""

    role: str
    key: str
    folder: Path | None = None
    seconds: float | None = None
    what: str = "made elsewhere or removed: not in this store"


@dataclass(frozen=True)
class Explanation:
    """A record with what it was made from, in the order in which it was made."""

    file: Path
    record: dict[str, Any]
    parts: tuple[Part, ...]
    code: tuple[Code, ...]
    recomputed: float | None
    """The mIoU again from the counts, in percent; None for a record without a number."""

    @property
    def follows(self) -> bool:
        """Whether the score is what its counts give."""
        metrics = self.record["metrics"]
        known = metrics is not None and self.recomputed is not None
        return known and abs(metrics["miou"] - self.recomputed) <= TOLERANCE

    @property
    def changes(self) -> str:
        """Whose code has changed since, in words; empty for nobody's."""
        return "; ".join(code.since for code in self.code if code.since)


def find_record(place: str) -> Path:
    """The file of a record that is given as its file or as ``DIR/ID``, where the first digits of ID do.

    Raises:
        StoreError: none of that name, or several.
    """
    path = Path(place)
    if path.is_file():
        return path
    folder = path.parent / "records" if (path.parent / "records").is_dir() else path.parent
    found = sorted(file for file in folder.glob("*.json") if file.stem.startswith(path.name))
    if not found:
        raise StoreError(f"there is no record {path.name} in {folder}: give its JSON file or DIR/ID")
    if len(found) > 1:
        raise StoreError(f"{len(found)} records in {folder} begin with {path.name}: give more digits")
    return found[0]


def explain(file: Path) -> Explanation:
    """Raises StoreError for a record that does not follow the schema or whose counts are not its own."""
    record = read_record(file)
    recomputed = recomputed_miou(file, record) if record["status"] == "ok" else None
    parts = tuple(_parts(record, _Places(_store_of(file))))
    return Explanation(file, record, parts, tuple(code_since(record)), recomputed)


def _store_of(file: Path) -> Store:
    return Store(file.resolve().parent.parent if file.resolve().parent.name == "records" else file.resolve().parent)


class _Places:
    """Finds artefacts of a store by key, and models by the hash of their files."""

    def __init__(self, store: Store) -> None:
        self.found = {artefact.key: artefact for artefact in artefacts(store)}
        self.models = models_by_hash(self.found.values())
        self.names = dataset_names(self.found.values())

    def part(self, role: str, key: str, artefact: Artefact | None) -> Part:
        if artefact is None:
            return Part(role, key)
        seconds = artefact.info.get("seconds")
        return Part(role, artefact.key, artefact.folder, seconds, in_words(artefact, self.names))

    def model(self, role: str, model: Json) -> Part:
        if model["sha256"] in self.models:
            return self.part(role, model["sha256"], self.models[model["sha256"]])
        what = f"given or shipped with the dataset, trained on {model['trained_on'] or 'data that is not known'}"
        return Part(role, model["sha256"], what=what)

    def index_of(self, spec: Json) -> str | None:
        """The index of the record's train split."""
        indexes = (each for each in self.found.values() if each.stage == "index")
        fingerprint = spec["dataset"]["fingerprint"]
        return next((each.key for each in indexes if each.identity.get("dataset") == fingerprint), None)


def _parts(record: Json, places: _Places) -> Iterable[Part]:
    made, quality = record["provenance"], record.get("quality") or {}
    models: Mapping[str, Json | None] = {**{role: made[role] for role in MODELS}, "judge": quality.get("judge")}
    keys = {"index": places.index_of(record["spec"]), "selection": made["selection"], "distilled": made["distilled"]}
    for role in ("index", *MODELS, "selection", "distilled", "judge", "quality"):
        if model := models.get(role):
            yield places.model(role, model)
        elif key := keys.get(role) or (quality.get("key") if role == "quality" else None):
            yield places.part(role, key, places.found.get(key))
