"""What lies in a store, in words."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from d3s2bench.errors import StoreError
from d3s2bench.files import folder_sha256, read_json
from d3s2bench.storage.store import ARTEFACT, Store
from d3s2bench.values import Json

PARTIAL = ".partial"
MODELS = ("teacher", "generator")


@dataclass(frozen=True)
class Artefact:
    """A folder of the store: a finished stage, or one that is being worked on or was given up."""

    stage: str
    key: str
    folder: Path

    @cached_property
    def info(self) -> dict[str, Any]:
        """What the stage wrote of itself; empty when that cannot be read."""
        try:
            found = read_json(self.folder / ARTEFACT)
        except StoreError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def identity(self) -> dict[str, Any]:
        found = self.info.get("identity")
        return found if isinstance(found, dict) else {}

    @property
    def bytes(self) -> int:
        """Of all its files."""
        return sum(size for size, _ in self._files())

    @property
    def age(self) -> float:
        """Seconds since it was finished; of an unfinished one, since one of its files was written last."""
        if made := self.info.get("created"):
            last = datetime.fromisoformat(made).timestamp()
        else:
            last = max((moment for _, moment in self._files()), default=self.folder.stat().st_mtime)
        return max(0.0, time.time() - last)

    def _files(self) -> list[tuple[int, float]]:
        """Size and time of each file; one that a run moves away meanwhile is left out."""
        found = []
        for file in self.folder.rglob("*"):
            try:
                stat = file.stat()
            except FileNotFoundError:
                continue
            found += [] if file.is_dir() else [(stat.st_size, stat.st_mtime)]
        return found


def open_store(out: Path) -> Store:
    """Raises StoreError when the folder is not that of a run."""
    if not (out / "store").is_dir():
        raise StoreError(f"{out} holds no store: give the --out folder of a run")
    return Store(out)


def artefacts(store: Store) -> list[Artefact]:
    """The finished ones, by stage and key."""
    return [found for found in _folders(store) if not found.folder.name.endswith(PARTIAL)]


def partial_artefacts(store: Store) -> list[Artefact]:
    """Those that are not finished, by stage and key."""
    return [found for found in _folders(store) if found.folder.name.endswith(PARTIAL)]


def _folders(store: Store) -> list[Artefact]:
    places = sorted(place for place in store.root.glob("*/[!.]*") if place.is_dir())
    return [Artefact(place.parent.name, place.name.removesuffix(PARTIAL), place) for place in places]


def models_by_hash(found: Iterable[Artefact]) -> dict[str, Artefact]:
    """Teachers and generators by the hash of their files, as records and manifests name them."""
    return {folder_sha256(each.folder): each for each in found if each.stage in MODELS}


# --- words -----------------------------------------------------------------------------------------------------------


def dataset_names(found: Iterable[Artefact]) -> dict[str, str]:
    """Fingerprint → name, as far as the artefacts say it."""
    names: dict[str, str] = {}
    for info in (each.info for each in found):
        if isinstance(info.get("dataset"), dict):
            names[info["dataset"]["fingerprint"]] = info["dataset"]["name"]
        elif "trained_on" in info:
            names[info["dataset"]] = info["trained_on"].partition("/")[0]
    return names


def in_words(artefact: Artefact, names: Json) -> str:
    """What an artefact is; ``names`` are those of :func:`dataset_names`."""
    tell = {
        "index": _index,
        "teacher": _teacher,
        "generator": _generator,
        "selection": _selection,
        "distilled": _distilled,
        "quality": _quality,
    }.get(artefact.stage)
    try:
        return tell(artefact.info, artefact.identity, names) if tell else ""
    except (KeyError, TypeError):
        return "does not say what it is: see 'd3s2bench store verify'"


def component_in_words(component: Json) -> str:
    """A component with those options that are not at their defaults."""
    changed = {name: component["options"][name] for name in component.get("changed", ())}
    told = ", ".join(f"{name}={value}" for name, value in changed.items())
    return f"{component['name']}({told})" if told else str(component["name"])


def _index(info: Json, identity: Json, names: Json) -> str:
    return f"masks of {info['images']} images of {_dataset(identity['dataset'], names)}/{identity['split']}"


def _teacher(info: Json, identity: Json, names: Json) -> str:
    evaluator, iterations = component_in_words(identity["evaluator"]), identity["protocol"].get("iterations")
    return f"{evaluator} {identity['arch']} trained on {info['trained_on']}, {iterations} iterations"


def _generator(info: Json, identity: Json, names: Json) -> str:
    return f"{component_in_words(identity['generator'])} trained on {info['trained_on']}"


def _selection(info: Json, identity: Json, names: Json) -> str:
    chosen = f"{component_in_words(identity['selector'])}, {info['images']} of {info['total_images']} images"
    return chosen if identity["seed"] is None else f"{chosen}, #{identity['seed']}"


def _distilled(info: Json, identity: Json, names: Json) -> str:
    method = f"{component_in_words(info['selector'])} + {component_in_words(info['synth'])}"
    return f"{method} of {info['dataset']['name']}, {info['budget']['images']} images, #{info['repetition']}"


def _quality(info: Json, identity: Json, names: Json) -> str:
    return f"set {identity['distilled'][:12]} under a judge, {info['judge_miou']:.1f} mIoU"


def _dataset(fingerprint: str, names: Json) -> str:
    return str(names.get(fingerprint, f"dataset {fingerprint[:8]}"))
