"""The engine's own plugin: the datasets and executors that come with it."""

from __future__ import annotations

from d3s2bench.component import Component
from d3s2bench.hookspecs import hookimpl


@hookimpl
def register_datasets() -> list[Component]:
    """``scenes`` needs no download; ``folder`` reads what you have; the others read what their authors publish."""
    return [
        Component("dataset", "scenes", "d3s2bench.datasets.scenes:Scenes", "Procedural street scenes, 16 classes"),
        Component("dataset", "folder", "d3s2bench.datasets.folder:Folder", "images/, annotations/ and classes.json"),
        Component("dataset", "ade20k", "d3s2bench.datasets.ade20k:Ade20k", "ADE20K scene parsing, 150 classes"),
        Component(
            "dataset", "coco-stuff-164k", "d3s2bench.datasets.coco_stuff:CocoStuff164k", "COCO-Stuff, 171 classes"
        ),
        Component(
            "dataset", "coco-stuff-10k", "d3s2bench.datasets.coco_stuff:CocoStuff10k", "COCO-Stuff v1.1, 171 classes"
        ),
        Component("dataset", "cityscapes", "d3s2bench.datasets.cityscapes:Cityscapes", "Urban streets, 19 classes"),
        Component("dataset", "voc2012", "d3s2bench.datasets.voc2012:Voc2012", "PASCAL VOC 2012, 21 classes"),
        Component("dataset", "camvid", "d3s2bench.datasets.camvid:CamVid", "Driving in Cambridge, 11 classes"),
        Component("dataset", "nyuv2", "d3s2bench.datasets.nyuv2:NyuV2", "Rooms, 13 or 40 classes"),
        Component(
            "dataset", "hf", "d3s2bench.datasets.hf:HuggingFace", "Hugging Face datasets saved on disk", ("datasets",)
        ),
    ]


@hookimpl
def register_executors() -> list[Component]:
    """Where stages are worked on: results do not depend on it."""
    return [
        Component("executor", "inline", "d3s2bench.execution.inline:Inline", "Worker processes on this machine"),
        Component("executor", "ray", "d3s2bench.execution.on_ray:Ray", "Ray, here or on a cluster", ("ray",)),
        Component("executor", "slurm", "d3s2bench.execution.on_slurm:Slurm", "Slurm job arrays", ("submitit",)),
    ]
