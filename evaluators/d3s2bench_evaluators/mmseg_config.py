"""An mmseg config brought to a dataset and a protocol: plain values in, plain values out, no mmseg.

The config keeps its network, its losses, its optimiser but for the learning rate, its augmentation and the shape of its
learning-rate schedule. What depends on the dataset or the protocol is replaced, and so is what needs a compiled or a
distributed mmcv, or the network:

- weights start at random, or from ``pretrained`` in the backbone; what starts at random is not frozen;
- SyncBN becomes BN, which on one device is the same;
- heads get the number of classes, and lose the weights of another dataset's classes;
- the schedule's milestones shrink or grow with the number of iterations;
- the crop is the protocol's size; images are brought to its ``scale`` as the config brings them to its own, with or
  without their aspect, and within the config's own random range; where that is null, to ``size``, or, for a config that
  trains on lengths of edges, to the scale that it tests at, in proportion to the crop;
- labels are train ids as they are (``reduce_zero_label`` is for raw files);
- the test looks at whole images or slides windows over them, as the config does unless the protocol's ``inference``
  says otherwise; windows have the protocol's size and the config's share of overlap, a third where it slides none.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from d3s2bench import ConfigError, Json
from d3s2bench_evaluators.recipes import ITERATIONS
from d3s2bench_evaluators.tool_scripts.mmseg_jobs import SCHEME

Part: TypeAlias = dict[str, Any]

PRECISIONS: dict[str, Part] = {
    "fp32": {"type": "OptimWrapper"},
    "bf16": {"type": "AmpOptimWrapper", "dtype": "bfloat16"},
    "fp16": {"type": "AmpOptimWrapper", "dtype": "float16", "loss_scale": "dynamic"},
}
MILESTONES = {"begin": 0, "end": 0, "T_max": 1, "total_steps": 1, "milestones": 1, "step_size": 1}
"""What schedulers count in iterations → the least that it may be."""
DATASETS = {
    "ADE20KDataset": "ade20k",
    "COCOStuffDataset": "coco-stuff-164k",
    "CityscapesDataset": "cityscapes",
    "PascalVOCDataset": "voc2012",
}
"""mmsegmentation's class → our dataset."""
SHORTER_EDGES = ("RandomChoiceResize", "ResizeShortestEdge")
"""Transforms that bring the shorter edge of an image to a length."""
THAWED = {"frozen_stages": -1, "frozen_exclude": ["all"], "norm_eval": False, "requires_grad": True}
"""What freezes a part of a network → its value for none."""


def own_learning_rate(config: Json) -> float:
    """Raises ConfigError for a config that sets none."""
    try:
        return float(config["optim_wrapper"]["optimizer"]["lr"])
    except KeyError as error:
        raise ConfigError(f"the mmseg config sets no optim_wrapper.optimizer.lr (no {error})") from error


def own_inference(config: Json) -> str:
    """``slide`` or ``whole``."""
    return str(((config.get("model") or {}).get("test_cfg") or {}).get("mode", "whole"))


def own_recipe(config: Json, name: str) -> tuple[str, Part]:
    """The dataset that a config was made for ("" for one that we do not know), and what it trains on it with.

    Its batch is that of all GPUs, which only ``name``, its file, tells: ``8xb2`` are eight of two.

    Raises:
        ConfigError: the config is only a part of one, or trains by epochs.
    """
    _check(config)
    dataset = _made_for(_dataset(config, "train"))
    crop, tested = _value(config, "train", "RandomCrop", "crop_size"), _value(config, "test", "Resize", "scale")
    if crop is None or tested is None:
        return "", {}
    gpus = re.search(r"(\d+)xb(\d+)", name)
    batch = int(gpus[1]) * int(gpus[2]) if gpus else config["train_dataloader"]["batch_size"]
    return dataset, {
        "size": [crop[1], crop[0]],
        "scale": None if _on_edges(config) else list(tested),
        "batch_size": batch,
        "iterations": min(ITERATIONS, config["train_cfg"]["max_iters"]),
        "converged_iterations": config["train_cfg"]["max_iters"],
    }


def _made_for(dataset: Json) -> str:
    """The two COCO-Stuffs are one class of mmseg's; files of the 10k have 0 for what has no label."""
    found = DATASETS.get(dataset.get("type", ""), "")
    return "coco-stuff-10k" if found == "coco-stuff-164k" and dataset.get("reduce_zero_label") else found


def network_config(config: Json, classes: int, protocol: Json, pretrained: Path | None = None) -> Part:
    """What predicting needs: the network and the transforms of an image.

    Raises:
        ConfigError: the config is only a part of one, or trains by epochs.
    """
    _check(config)
    return {
        "default_scope": "mmseg",
        "imports": _imports(config),
        "model": _model(config["model"], classes, protocol, pretrained),
        "test_pipeline": [{"type": "LoadImageFromFile"}, *_transforms(_pipeline(config, "test"), config, protocol)],
    }


def training_config(
    config: Json, classes: tuple[str, ...], protocol: Json, work: Path, seed: int, pretrained: Path | None = None
) -> Part:
    """What mmseg's Runner takes to train on ``work/pairs``; its checkpoints go to ``work/runner``.

    Raises:
        ConfigError: the config is only a part of one, counts in epochs or has no place for what is pretrained, or the
            precision is not known.
    """
    iterations = protocol["iterations"]
    return {
        **network_config(config, len(classes), protocol, pretrained),
        "train_dataloader": _loader(config, classes, protocol, work / "pairs"),
        "train_cfg": {"type": "IterBasedTrainLoop", "max_iters": iterations, "val_interval": iterations + 1},
        "optim_wrapper": _optimizer(config["optim_wrapper"], protocol),
        "param_scheduler": _schedule(config, iterations),
        "custom_hooks": list(config.get("custom_hooks") or ()),
        "default_hooks": {
            "logger": {"type": "LoggerHook", "interval": 50, "log_metric_by_epoch": False},
            "checkpoint": _checkpoints(iterations),
        },
        "log_processor": {"by_epoch": False},
        "env_cfg": {"cudnn_benchmark": False},
        "randomness": {"seed": seed},
        "work_dir": str(work / "runner"),
    }


def _check(config: Json) -> None:
    for name in ("model", "train_dataloader", "test_dataloader", "optim_wrapper", "train_cfg"):
        if not config.get(name):
            raise ConfigError(f"the mmseg config has no '{name}': give a whole config, not a part of one")
    if not config["train_cfg"].get("max_iters"):
        raise ConfigError("the mmseg config trains by epochs: protocols count iterations; set train_cfg.max_iters")


def _imports(config: Json) -> list[str]:
    named = (config.get("custom_imports") or {}).get("imports") or []
    return [named] if isinstance(named, str) else list(named)


# --- network ---------------------------------------------------------------------------------------------------------


def _model(model: Json, classes: int, protocol: Json, pretrained: Path | None) -> Part:
    parts = {name: _for_classes(part, classes) if name.endswith("head") else part for name, part in model.items()}
    found: Part = _everywhere(parts, _from_scratch)
    if pretrained:
        found["backbone"] = _pretrained(parts.get("backbone"), pretrained)
    found["data_preprocessor"] = _preprocessor(model.get("data_preprocessor") or {}, protocol["size"])
    return found | {"test_cfg": _windows(model.get("test_cfg") or {}, protocol)}


def _windows(own: Json, protocol: Json) -> Part:
    """How images are tested, of (height, width)."""
    match protocol.get("inference", "whole"):
        case "whole":
            return {"mode": "whole"}
        case "slide":
            size = protocol["size"][1], protocol["size"][0]
            overlap = zip(own["stride"], own["crop_size"], strict=True) if own.get("mode") == "slide" else [(2, 3)] * 2
            stride = tuple(max(1, side * step // window) for side, (step, window) in zip(size, overlap, strict=True))
            return {"mode": "slide", "crop_size": size, "stride": stride}
    raise ConfigError(f"protocol.inference is '{protocol['inference']}': it must be 'whole' or 'slide'")


def _pretrained(backbone: Any, file: Path) -> Part:
    """Frozen as the config says."""
    if not backbone:
        raise ConfigError("the mmseg config's model has no 'backbone' for what is pretrained: leave pretrained out")
    found: Part = _everywhere(backbone, _without_weights)
    return {**found, "init_cfg": {"type": "Pretrained", "checkpoint": f"{SCHEME}{file}"}}


def _preprocessor(part: Json, size: tuple[int, int]) -> Part:
    kept = {key: value for key, value in part.items() if key != "size_divisor"}
    return {**kept, "size": (size[1], size[0])}


def _from_scratch(part: Part) -> Part:
    """What is frozen would stay random."""
    return _without_weights({key: THAWED.get(key, value) for key, value in part.items()})


def _without_weights(part: Part) -> Part:
    """Of somebody else; and on one device."""
    if part.get("type") == "SyncBN":
        part["type"] = "BN"
    if "pretrained" in part:
        part["pretrained"] = None
    if "init_cfg" in part:
        part["init_cfg"] = _drawn(part["init_cfg"])
    return part


def _drawn(init: Any) -> Any:
    """An initialisation, or a list of some, without what a file gives."""
    if isinstance(init, list | tuple):
        return [each for each in init if _drawn(each)]
    return None if isinstance(init, Mapping) and init.get("type") in ("Pretrained", "Pretrained_Part") else init


def _for_classes(head: Any, classes: int) -> Any:
    """A head or a list of heads for so many classes."""
    if isinstance(head, list | tuple):
        return [_for_classes(each, classes) for each in head]
    if not head or "num_classes" not in head:
        return head
    before = head["num_classes"]
    return _everywhere(head, lambda part: _part_for_classes(part, before, classes))


def _part_for_classes(part: Part, before: int, classes: int) -> Part:
    if "num_classes" in part:
        part["num_classes"] = classes
        if part.get("out_channels") in (1, before):  # of logits; Mask2Former's are of features
            del part["out_channels"]
            part.pop("threshold", None)
    weights = part.get("class_weight")
    if isinstance(weights, list | tuple) and len(weights) == before:
        del part["class_weight"]
    elif isinstance(weights, list | tuple) and len(weights) == before + 1:  # the last is of "no object"
        part["class_weight"] = [1.0] * classes + [weights[-1]]
    return part


def _everywhere(value: Any, change: Callable[[Part], Part]) -> Any:
    """A copy with ``change`` made to all dicts within."""
    if isinstance(value, Mapping):
        return change({key: _everywhere(each, change) for key, each in value.items()})
    if isinstance(value, list | tuple):
        return type(value)(_everywhere(each, change) for each in value)
    return value


# --- data ------------------------------------------------------------------------------------------------------------


def _loader(config: Json, classes: tuple[str, ...], protocol: Json, pairs: Path) -> Part:
    load = [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}]
    workers = protocol["loader_workers"]
    return {
        "batch_size": protocol["batch_size"],
        "num_workers": workers,
        "persistent_workers": workers > 0,
        "sampler": {"type": "InfiniteSampler", "shuffle": True},
        "dataset": {
            "type": "BaseSegDataset",
            "metainfo": {"classes": list(classes)},
            "data_root": str(pairs),
            "data_prefix": {"img_path": "images", "seg_map_path": "annotations"},
            "img_suffix": ".png",
            "seg_map_suffix": ".png",
            "reduce_zero_label": False,
            "pipeline": [*load, *_transforms(_pipeline(config, "train"), config, protocol)],
        },
    }


def _pipeline(config: Json, which: str) -> list[Part]:
    dataset = _dataset(config, which)
    if not dataset.get("pipeline"):
        raise ConfigError(f"the mmseg config has no pipeline in {which}_dataloader.dataset")
    return list(dataset["pipeline"])


def _dataset(config: Json, which: str) -> Json:
    """What the loader's wrappers (RepeatDataset and the like) hold; the first of what ConcatDataset joins."""
    dataset: Any = config[f"{which}_dataloader"]["dataset"]
    while isinstance(dataset, Mapping) and (held := dataset.get("dataset") or dataset.get("datasets")):
        dataset = held[0] if isinstance(held, list | tuple) else held
    return dataset if isinstance(dataset, Mapping) else {}


def _transforms(pipeline: list[Part], config: Json, protocol: Json) -> list[Part]:
    """All but what loads, at the protocol's sizes."""
    return [_sized(step, config, protocol) for step in pipeline if not step["type"].startswith("Load")]


def _sized(step: Part, config: Json, protocol: Json) -> Part:
    width, height = protocol["size"]
    scale = _scale(config, protocol)
    match step["type"]:
        case "RandomCrop":
            return {**step, "crop_size": (height, width)}
        case "Pad":
            return {**step, "size": (width, height)}
        case "Resize" | "RandomResize":
            kept = {key: value for key, value in step.items() if key != "scale_factor"}
            return {**kept, "scale": scale}
        case name if name in SHORTER_EDGES:
            return _shorter_edges(step, min(scale) / min(_test_scale(config)))
    return dict(step)


def _scale(config: Json, protocol: Json) -> tuple[int, int]:
    """What images are brought within, or to: (width, height)."""
    if protocol["scale"] is None and _on_edges(config):
        factor = min(protocol["size"]) / min(_crop(config))
        long, short = (round(side * factor) for side in _test_scale(config))
        return long, short
    width, height = protocol["scale"] or protocol["size"]
    return width, height


def _shorter_edges(step: Part, factor: float) -> Part:
    """Lengths of edges, times the factor."""

    def times(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return type(value)(times(each) for each in value)
        return max(1, round(value * factor))

    return {key: times(value) if key in ("scale", "scales", "max_size") else value for key, value in step.items()}


def _on_edges(config: Json) -> bool:
    """Whether it trains on lengths of edges."""
    return any(step["type"] in SHORTER_EDGES for step in _pipeline(config, "train"))


def _test_scale(config: Json) -> tuple[int, int]:
    """What the config tests at: what its lengths of edges are measured by, so that both keep their ratio."""
    found = _value(config, "test", "Resize", "scale")
    if found is None:
        raise ConfigError("the mmseg config trains on lengths of edges, but its test pipeline has no Resize to a scale")
    return found


def _crop(config: Json) -> tuple[int, int]:
    """Height and width."""
    found = _value(config, "train", "RandomCrop", "crop_size")
    if found is None:
        raise ConfigError("the mmseg config resizes to lengths of edges, but has no RandomCrop to compare them with")
    return found


def _value(config: Json, which: str, kind: str, key: str) -> tuple[int, int] | None:
    """Of the first transform of a kind in a pipeline, as a pair; None when there is none."""
    for step in _pipeline(config, which):
        if step["type"] == kind and key in step:
            value = step[key]
            first, second = (value, value) if isinstance(value, int) else value
            return first, second
    return None


# --- optimiser -------------------------------------------------------------------------------------------------------


def _optimizer(wrapper: Json, protocol: Json) -> Part:
    precision = protocol["precision"]
    if precision not in PRECISIONS:
        raise ConfigError(f"protocol: precision is '{precision}', must be one of {', '.join(PRECISIONS)}")
    optimizer = {**wrapper["optimizer"], "lr": protocol["learning_rate"]}
    kept = {key: value for key, value in wrapper.items() if key not in ("type", "dtype", "loss_scale")}
    return {**kept, **PRECISIONS[precision], "optimizer": optimizer}


def _schedule(config: Json, iterations: int) -> list[Part]:
    """The config's schedulers, stretched, without those that shrink to a single step: mmengine's warm-up of one step
    sets the rate to its first value and never back, so that nothing would be learnt."""
    schedulers = config.get("param_scheduler") or []
    schedulers = [schedulers] if isinstance(schedulers, Mapping) else schedulers
    if any(each.get("by_epoch", True) for each in schedulers):
        raise ConfigError("the mmseg config schedules by epochs: set by_epoch=False in its param_scheduler")
    stretched = [_stretched(each, iterations / config["train_cfg"]["max_iters"]) for each in schedulers]
    return [each for each in stretched if each.get("end", math.inf) - each.get("begin", 0) >= 2]


def _stretched(scheduler: Json, factor: float) -> Part:
    def times(value: Any, least: int) -> Any:
        if isinstance(value, list | tuple):
            return [times(each, least) for each in value]
        return max(least, round(value * factor))

    return {k: times(v, MILESTONES[k]) if k in MILESTONES and v is not None else v for k, v in scheduler.items()}


def _checkpoints(iterations: int) -> Part:
    """Two, since a kill may tear the newer one."""
    return {"type": "CheckpointHook", "by_epoch": False, "interval": max(1, iterations // 20), "max_keep_ckpts": 2}
