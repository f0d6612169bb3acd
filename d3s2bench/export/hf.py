"""For the Hugging Face library ``datasets``: a DatasetDict with the split train, which holds the files' own bytes.

The dataset ``hf`` reads it back. Class names are in the features, as those of the ClassLabel of column ``classes`` (the
classes of each mask), and with their colours in ``classes.json``.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from d3s2bench.errors import ConfigError, DatasetError
from d3s2bench.export.classes import Classes
from d3s2bench.export.pairs import write_pairs
from d3s2bench.files import write_json
from d3s2bench.sets.distilled import DistilledSet


def write(pairs: DistilledSet, classes: Classes, out: Path) -> None:
    """What ``save_to_disk`` writes, with ``classes.json``."""
    datasets = _library()
    if len(set(classes.names)) != len(classes.names):
        raise DatasetError(f"{pairs.folder} has two classes of one name, which datasets does not take: rename one")
    features = datasets.Features(
        {
            "name": datasets.Value("string"),
            "image": datasets.Image(),
            "annotation": datasets.Image(),
            "classes": datasets.Sequence(datasets.ClassLabel(names=list(classes.names))),
        }
    )
    files = out / "files"
    items = write_pairs(pairs, files / "images", files / "annotations")
    columns = {
        "name": [item.name for item in items],
        "image": [str(files / "images" / f"{item.name}.png") for item in items],
        "annotation": [str(files / "annotations" / f"{item.name}.png") for item in items],
        "classes": [list(item.present) for item in items],
    }
    train = datasets.Dataset.from_dict(columns, features=features, split="train")
    datasets.DatasetDict({"train": train}).save_to_disk(str(out))  # takes in the files, some at a time
    shutil.rmtree(files)
    listed = {"classes": list(classes.names), "palette": [list(colour) for colour in classes.palette]}
    write_json(out / "classes.json", listed)


def _library() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise ConfigError("--to hf needs the library datasets: pip install 'd3s2bench[hf]'") from error
    return datasets
