"""For mmsegmentation 1.x: its usual folders, and a config for ``_base_`` that finds them wherever they lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from d3s2bench.export.classes import Classes
from d3s2bench.export.pairs import write_pairs
from d3s2bench.files import write_bytes
from d3s2bench.sets.distilled import DistilledSet

HEAD = '''"""A distilled set for mmsegmentation 1.x: list this file in the _base_ of a config.

It holds a train set alone: score on the val or test of the dataset that it was distilled from. Masks hold train ids,
255 = ignore. Images keep their size: put the crop and the augmentation of your recipe into train_pipeline.
"""

dataset_type = "BaseSegDataset"
data_root = "{{ fileDirname }}"
'''
TAIL = """train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="PackSegInputs"),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path="img_dir/train", seg_map_path="ann_dir/train"),
        img_suffix=".png",
        seg_map_suffix=".png",
        metainfo=metainfo,
        reduce_zero_label=False,
        ignore_index=255,
        pipeline=train_pipeline,
    ),
)
"""


def write(pairs: DistilledSet, classes: Classes, out: Path) -> None:
    """``img_dir/train``, ``ann_dir/train`` and ``dataset.py``."""
    write_pairs(pairs, out / "img_dir" / "train", out / "ann_dir" / "train")
    metainfo = {"classes": classes.names, "palette": [list(colour) for colour in classes.palette]}
    rows = "".join(f"    {key}={_literal(value)},\n" for key, value in metainfo.items())
    write_bytes(out / "dataset.py", f"{HEAD}metainfo = dict(\n{rows})\n{TAIL}".encode())


def _literal(value: Any) -> str:
    """Python code in ASCII for names and numbers. Without braces, since mmengine replaces ``{{$VARIABLE:}}`` and the
    like in the text of a config before it is read: a name could draw in the environment, or code from it."""
    return ascii(value).replace("{", "\\x7b").replace("}", "\\x7d")
