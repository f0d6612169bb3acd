"""A detectron2 config brought to a dataset and a protocol: plain values in, plain values out, no detectron2.

The config keeps its network, its losses, its optimiser but for the learning rate, its augmentation and the shape of its
learning-rate schedule. What depends on the dataset or the protocol is replaced, and so is what needs several devices or
somebody's weights:

- weights start at random: nothing is frozen, BatchNorm learns. With ``pretrained`` both are as the config says;
- SyncBN becomes BN, which on one device is the same;
- heads get the number of classes and the label that is ignored, 255;
- the schedule's steps and its warm-up shrink or grow with the number of iterations;
- a crop of a fixed size gets the protocol's; lengths of edges keep their ratio to ``INPUT.MIN_SIZE_TEST``, which
  becomes the shorter of the protocol's ``scale``, or, where that is null, keeps its ratio to the crop (becomes the
  shorter of ``size`` where there is none of a fixed size);
- prediction looks at whole images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from d3s2bench import IGNORE, ConfigError, Json
from d3s2bench_evaluators.recipes import ITERATIONS
from d3s2bench_evaluators.tool_scripts.detectron2_jobs import DATASET

Part: TypeAlias = dict[str, Any]

SEMANTIC = ("SemanticSegmentor", "MaskFormer")
DATASETS = {"ade20k_sem_seg_train": "ade20k", "cityscapes_fine_sem_seg_train": "cityscapes"}
"""detectron2's name of a train split → our dataset."""
PRECISIONS = {"fp32": False, "fp16": True}
"""Whether SOLVER.AMP is enabled."""


def own_learning_rate(config: Json) -> float:
    return float(config["SOLVER"]["BASE_LR"])


def own_recipe(config: Json) -> tuple[str, Part]:
    """The dataset that a config was made for ("" for one that we do not know), and what it trains on it with."""
    images, solver = config["INPUT"], config["SOLVER"]
    name = next(iter(config["DATASETS"]["TRAIN"]), "")
    if images["CROP"]["TYPE"] != "absolute" or not images["MIN_SIZE_TEST"]:
        return "", {}
    height, width = images["CROP"]["SIZE"]
    return DATASETS.get(name, ""), {
        "size": [width, height],
        "scale": [images["MAX_SIZE_TEST"], images["MIN_SIZE_TEST"]],
        "batch_size": solver["IMS_PER_BATCH"],
        "iterations": min(ITERATIONS, solver["MAX_ITER"]),
        "converged_iterations": solver["MAX_ITER"],
    }


def network_config(config: Json, classes: int, protocol: Json, device: str, pretrained: bool = False) -> Part:
    """What predicting needs: the network and the sizes of images.

    Raises:
        ConfigError: a network that labels no pixels, or no size to measure others by.
    """
    _check(config)
    model: Part = _everywhere(config["MODEL"], _on_one_device if pretrained else _from_scratch)
    for part in ("SEM_SEG_HEAD", "POINT_HEAD"):
        if part in model:
            model[part]["NUM_CLASSES"] = classes
    model["SEM_SEG_HEAD"]["IGNORE_VALUE"] = IGNORE
    if "MASK_FORMER" in model:
        model["MASK_FORMER"]["TEST"] |= {"SEMANTIC_ON": True, "INSTANCE_ON": False, "PANOPTIC_ON": False}
    model |= {"DEVICE": device, "WEIGHTS": ""}
    return {**config, "MODEL": model, "INPUT": _sized(config["INPUT"], protocol)}


def training_config(
    config: Json, classes: int, protocol: Json, device: str, work: Path, seed: int, pretrained: bool = False
) -> Part:
    """What detectron2's trainer takes to train on dataset ``d3s2bench``; its checkpoints go to ``work/trainer``."""
    return {
        **network_config(config, classes, protocol, device, pretrained),
        "DATASETS": {**config["DATASETS"], "TRAIN": [DATASET], "TEST": []},
        "DATALOADER": {**config["DATALOADER"], "NUM_WORKERS": protocol["loader_workers"]},
        "SOLVER": _solver(config["SOLVER"], protocol),
        "TEST": {**config["TEST"], "EVAL_PERIOD": 0, "EXPECTED_RESULTS": []},
        "SEED": seed,
        "OUTPUT_DIR": str(work / "trainer"),
    }


def _check(config: Json) -> None:
    network = config["MODEL"]["META_ARCHITECTURE"]
    if network not in SEMANTIC:
        raise ConfigError(
            f"the detectron2 config is of a {network}: semantic segmentation needs one of {', '.join(SEMANTIC)}"
        )
    if not config["INPUT"]["MIN_SIZE_TEST"]:
        raise ConfigError("the detectron2 config sets no INPUT.MIN_SIZE_TEST: other lengths are measured by it")


# --- network ---------------------------------------------------------------------------------------------------------


def _on_one_device(part: Part) -> Part:
    return {key: "BN" if key == "NORM" and "SyncBN" in str(value) else value for key, value in part.items()}


def _from_scratch(part: Part) -> Part:
    """What is frozen would stay random."""
    part = {key: "BN" if key == "NORM" and value == "FrozenBN" else value for key, value in part.items()}
    return _on_one_device(part) | ({"FREEZE_AT": 0} if "FREEZE_AT" in part else {})


def _everywhere(value: Any, change: Callable[[Part], Part]) -> Any:
    """A copy with ``change`` made to all dicts within."""
    if isinstance(value, Mapping):
        return change({key: _everywhere(each, change) for key, each in value.items()})
    return value


# --- data ------------------------------------------------------------------------------------------------------------


def _sized(images: Json, protocol: Json) -> Part:
    width, height = protocol["size"]
    crop = images["CROP"]["SIZE"] if images["CROP"]["TYPE"] == "absolute" else [images["MIN_SIZE_TEST"]]
    scale = protocol["scale"]
    factor = min(scale) / images["MIN_SIZE_TEST"] if scale else min(protocol["size"]) / min(crop)
    found = dict(images)
    for key in ("MIN_SIZE_TRAIN", "MAX_SIZE_TRAIN", "MIN_SIZE_TEST", "MAX_SIZE_TEST"):
        found[key] = _times(images[key], factor)
    if images["CROP"]["TYPE"] == "absolute":
        found["CROP"] = {**images["CROP"], "SIZE": [height, width]}
    if images["CROP"]["TYPE"] == "absolute_range":
        found["CROP"] = {**images["CROP"], "SIZE": _times(images["CROP"]["SIZE"], factor)}
    if images.get("SIZE_DIVISIBILITY", 0) > 0:  # Mask2Former pads its crops to a square of this
        found["SIZE_DIVISIBILITY"] = max(width, height)
    return found


def _times(value: Any, factor: float) -> Any:
    return (
        [_times(each, factor) for each in value] if isinstance(value, list | tuple) else max(1, round(value * factor))
    )


# --- optimiser -------------------------------------------------------------------------------------------------------


def _solver(solver: Json, protocol: Json) -> Part:
    """The config's, stretched; two of its steps that fall on the same iteration are one."""
    if protocol["precision"] not in PRECISIONS:
        known = ", ".join(PRECISIONS)
        raise ConfigError(f"protocol: precision is '{protocol['precision']}', must be one of {known} for detectron2")
    iterations = protocol["iterations"]
    factor = iterations / solver["MAX_ITER"]
    return {
        **solver,
        "MAX_ITER": iterations,
        "STEPS": sorted({step for step in _times(solver["STEPS"], factor) if step < iterations}),
        "WARMUP_ITERS": round(solver["WARMUP_ITERS"] * factor),
        "IMS_PER_BATCH": protocol["batch_size"],
        "REFERENCE_WORLD_SIZE": 0,
        "BASE_LR": protocol["learning_rate"],
        "AMP": {**solver["AMP"], "ENABLED": PRECISIONS[protocol["precision"]]},
        "CHECKPOINT_PERIOD": max(1, iterations // 20),
    }
