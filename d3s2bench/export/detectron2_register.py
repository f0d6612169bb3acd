"""A distilled set for detectron2: ``register()``, then ``cfg.DATASETS.TRAIN = ("distilled_train",)``.

It reads ``dataset.json`` beside it; the masks hold train ids, 255 = ignore. It is a train set alone: score on the val
or test of the dataset that it was distilled from.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent


def described() -> dict[str, Any]:
    """``metadata`` and ``items`` of the set."""
    found: dict[str, Any] = json.loads((FOLDER / "dataset.json").read_text(encoding="utf-8"))
    return found


def load() -> list[dict[str, Any]]:
    """The dicts that DatasetCatalog wants, with the places of the files on this machine."""
    files = ("file_name", "sem_seg_file_name")
    return [item | {key: str(FOLDER / item[key]) for key in files} for item in described()["items"]]


def register(name: str = "distilled_train") -> None:
    """Makes ``name`` known to DatasetCatalog and MetadataCatalog."""
    from detectron2.data import DatasetCatalog, MetadataCatalog

    DatasetCatalog.register(name, load)
    folders = {"image_root": str(FOLDER / "images"), "sem_seg_root": str(FOLDER / "annotations")}
    MetadataCatalog.get(name).set(**folders, **described()["metadata"])
