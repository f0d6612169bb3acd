"""Whether everything that a run has left is whole: sets against their manifests, records against their counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from d3s2bench.errors import D3S2Error, StoreError
from d3s2bench.files import file_sha256, folder_sha256, load_npz, read_image, read_json
from d3s2bench.results.records import TOLERANCE, read_record, recomputed_miou
from d3s2bench.sets.distilled import MANIFEST
from d3s2bench.storage.store import ARTEFACT
from d3s2bench.upkeep.inventory import MODELS, Artefact, artefacts, open_store
from d3s2bench.values import Json

PARTS = {
    "index": "index.npz",
    "teacher": "teacher.json",
    "generator": "generator.json",
    "selection": "selection.npz",
    "distilled": MANIFEST,
    "quality": "quality.json",
}
"""What the next stage reads."""


@dataclass(frozen=True)
class Check:
    """One artefact or record that was looked at; ``problem`` says what is wrong and what to do."""

    what: str
    place: Path
    problem: str | None


def verify(out: Path) -> Iterator[Check]:
    """Looks at every finished artefact, then at every record. Raises StoreError when there is no store."""
    found = artefacts(open_store(out))
    said = _model_hashes(found)
    for artefact in found:
        yield Check(f"{artefact.stage} {artefact.key[:12]}", artefact.folder, _artefact_problem(artefact, said))
    for file in sorted((out / "records").glob("*.json")):
        yield Check(f"record {file.stem}", file, _record_problem(file))


# --- artefacts -------------------------------------------------------------------------------------------------------


def _artefact_problem(artefact: Artefact, said: dict[str, set[str]]) -> str | None:
    try:
        _check_artefact(artefact, said)
    except (D3S2Error, OSError, KeyError, TypeError, AttributeError) as error:
        what = str(error) if isinstance(error, D3S2Error | OSError) else f"{type(error).__name__}: {error}"
        return f"{what}; delete the folder {artefact.folder} and run the command again: it is made anew"
    return None


def _check_artefact(artefact: Artefact, said: dict[str, set[str]]) -> None:
    about = read_json(artefact.folder / ARTEFACT)
    if (about.get("stage"), about.get("key")) != (artefact.stage, artefact.key):
        raise StoreError(f"{ARTEFACT} is that of {about.get('stage')} {about.get('key')}")
    part = PARTS.get(artefact.stage)
    if part and not (artefact.folder / part).is_file():
        raise StoreError(f"{part} is missing")
    for file in sorted(artefact.folder.rglob("*")):
        _check_file(file)
    if artefact.stage == "distilled":
        _check_set(artefact.folder)
    if artefact.key in said and said[artefact.key] != {folder_sha256(artefact.folder)}:
        raise StoreError("its files are not those that the sets of this store were made with")


def _check_file(file: Path) -> None:
    """Reads it, whatever it is; pictures of a set are compared with the manifest instead."""
    if file.suffix == ".json":
        read_json(file)
    elif file.suffix == ".npz":
        load_npz(file)
    elif file.suffix == ".png" and file.parent.name not in ("images", "annotations"):
        read_image(file)
    elif file.suffix == ".safetensors":
        _check_safetensors(file)


def _check_safetensors(file: Path) -> None:
    """The header, and that the file is as long as it says."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "numpy"):
            pass
    except (SafetensorError, OSError) as error:
        raise StoreError(f"{file} is corrupt ({error})") from error


def _check_set(folder: Path) -> None:
    """Every file of the manifest as it was written, and none besides."""
    expected = {
        folder / part / f"{sample['name']}.png": sha256
        for sample in read_json(folder / MANIFEST)["samples"]
        for part, sha256 in sample["sha256"].items()
    }
    found = {file for part in ("images", "annotations") for file in (folder / part).glob("*.png")}
    for file in sorted(found - expected.keys()):
        raise StoreError(f"{file} is not in the manifest")
    for file, sha256 in expected.items():
        if not file.is_file() or file_sha256(file) != sha256:
            raise StoreError(f"{file} is missing or not the file of the manifest")


def _model_hashes(found: list[Artefact]) -> dict[str, set[str]]:
    """Key of a teacher or generator of this store → hashes of its files when something was made with it."""
    said: dict[str, set[str]] = {}
    for artefact in found:
        for role, key in (artefact.identity.get("models") or {}).items():
            told = artefact.info.get(role)
            if role in MODELS and isinstance(told, dict):
                said.setdefault(key, set()).add(told["sha256"])
    return said


# --- records ---------------------------------------------------------------------------------------------------------


def _record_problem(file: Path) -> str | None:
    try:
        record = read_record(file)
        if record["status"] == "ok":
            _check_score(file, record)
    except D3S2Error as error:
        return f"{error}; delete {file} and run the command again: it is scored anew"
    return None


def _check_score(file: Path, record: Json) -> None:
    miou, again = record["metrics"]["miou"], recomputed_miou(file, record)
    if abs(again - miou) > TOLERANCE:
        raise StoreError(f"its mIoU {miou:.4f} does not follow from its counts, which give {again:.4f}")
