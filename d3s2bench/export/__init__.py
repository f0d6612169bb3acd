"""``d3s2bench export``: a distilled set as a folder that another tool loads by itself.

Masks are written as grey PNG, whose pixels are train ids for every reader: detectron2 turns what it reads into grey,
and the ids of a palette PNG would become the brightness of their colours. Images and manifest are copied as they are,
so that the manifest's hashes of the images hold; those of the masks are of the files that were exported.
"""

from __future__ import annotations

import shutil
from importlib import import_module
from pathlib import Path

from d3s2bench.errors import unknown_name
from d3s2bench.export.classes import classes_of
from d3s2bench.files import folder_under_name
from d3s2bench.interfaces import Dataset
from d3s2bench.sets.distilled import MANIFEST, DistilledSet

TARGETS = {
    "mmseg": "img_dir, ann_dir and dataset.py for mmsegmentation 1.x",
    "detectron2": "images, annotations, dataset.json and register.py",
    "hf": "a Hugging Face datasets folder, for load_from_disk",
}
"""Name of a module of this package → what it writes."""


def export(folder: Path, to: str, out: Path, dataset: Dataset | None = None) -> None:
    """Writes the distilled set of ``folder`` into the new folder ``out``: whole or not at all.

    The names and colours of the classes are those of ``dataset``, or else those that the manifest records.

    Raises:
        UnknownNameError: ``to`` is none of TARGETS.
        DatasetError: the set is no whole set, or its classes are not known.
        StoreError: ``out`` exists or cannot be written.
        ConfigError: the library that the target needs is not installed.
    """
    if to not in TARGETS:
        raise unknown_name("export target", to, TARGETS)
    classes = classes_of(folder, dataset)
    pairs = DistilledSet.open(folder, len(classes.names))
    with folder_under_name(out) as work:
        import_module(f"d3s2bench.export.{to}").write(pairs, classes, work)
        if (folder / MANIFEST).exists():
            shutil.copyfile(folder / MANIFEST, work / MANIFEST)
