"""For detectron2: image and annotation folders that ``load_sem_seg`` reads, and a module that registers them.

The module is the same for every set: what a set says of itself is in ``dataset.json`` alone, which it reads.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from d3s2bench.export.classes import Classes
from d3s2bench.export.pairs import Item, write_pairs
from d3s2bench.files import write_json
from d3s2bench.sets.distilled import DistilledSet
from d3s2bench.values import IGNORE

MODULE = Path(__file__).with_name("detectron2_register.py")


def write(pairs: DistilledSet, classes: Classes, out: Path) -> None:
    """``images``, ``annotations``, ``dataset.json`` and ``register.py``."""
    items = write_pairs(pairs, out / "images", out / "annotations")
    metadata = {
        "stuff_classes": list(classes.names),
        "stuff_colors": [list(colour) for colour in classes.palette],
        "ignore_label": IGNORE,
        "evaluator_type": "sem_seg",
    }
    write_json(out / "dataset.json", {"metadata": metadata, "items": [_described(item) for item in items]})
    shutil.copyfile(MODULE, out / "register.py")


def _described(item: Item) -> dict[str, Any]:
    """detectron2's standard dict, with paths from the folder on."""
    files = {"file_name": f"images/{item.name}.png", "sem_seg_file_name": f"annotations/{item.name}.png"}
    return {**files, "image_id": item.name, "height": item.height, "width": item.width}
