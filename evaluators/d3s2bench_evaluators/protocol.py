"""The default training protocol of each architecture. Everything that changes the numbers stands here.

``unet`` and ``deeplab`` see each picture at exactly ``size``. The field's networks (module ``recipes``) see crops of
that size, and have these keys:

- ``encoder``, ``decoder``: values of the network's configuration; what an override leaves out stays as published.
- ``backbone``: where the encoder's first weights come from: a folder or a name on the Hugging Face hub; null: random.
  ``backbone_sha256`` identifies its files and is asked for, since the weights are part of what was trained.
- ``iterations`` of ``batch_size`` crops, in ``accumulate`` parts one after the other (a gradient for each, one step
  for all), on ``processes`` processes (GPUs), among which a batch is divided.
- ``learning_rate`` times ``encoder_rate`` or ``decoder_rate``; ``stage_decay`` lowers the rate of the encoder's stages
  geometrically, from the head down over ``stage_decay_layers`` (mmsegmentation's "stage_wise"; 1: not at all).
- ``weight_decay``, but not of ``undecayed``: ``norms and embeddings``, or ``vectors`` (all biases and norms).
- ``clip``: the gradient's norm at most; 0: as it is. ``warm_up``: the rate grows linearly over this share of them.
- ``fit``: long and short side, in multiples of the shorter side of ``size``, that a picture is brought within, its
  aspect kept; as it is for scoring, times a factor in ``scale`` for training: any (``scale_step`` 0), or one of the
  multiples of the step. ``scale_long_side``: whether the factor applies to the limit of the long side, too.
- ``one_class_at_most``: this share of a crop's labelled pixels; the tenth crop is taken as it comes.
- ``flip``: its probability. ``photometric``: 1 is PhotoMetricDistortion as published, 0 is none.
- ``inference``: ``whole``, or ``slide``: windows of ``size``, ``window_stride`` of it apart, scores averaged. Either
  way the scores are brought bilinearly to the annotation's own resolution.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from d3s2bench import ConfigError, Json, unknown_name
from d3s2bench_evaluators import recipes

RECIPES: dict[str, dict[str, Any]] = {
    "unet": {"channels": [32, 48, 64], "iterations": 800, "converged_iterations": 6400},
    "deeplab": {"channels": [32, 32, 64, 64], "iterations": 800, "converged_iterations": 6400},
}
"""What differs by architecture. Larger images want more stages of ``channels``.

The iterations were chosen on the validation split of Scenes (``benchmarks/iteration_budget.py``): at 800, half a minute
on one core, a random 1 % has stopped improving (under 1 mIoU more for twice as many) and all of the data is 10 above
it. All of the data gains 7 and more with every doubling up to 6,400, where "converged" ends for reasons of time.
"""

COMMON: dict[str, Any] = {
    "batch_size": 4,
    "optimizer": "adamw",
    "learning_rate": 3e-3,
    "weight_decay": 1e-2,
    "momentum": 0.9,
    "schedule": "poly",
    "power": 0.9,
    "scale": [0.9, 1.1],
    "flip": 0.5,
    "photometric": 0.1,
    "precision": "fp32",
}


def architectures() -> tuple[str, ...]:
    """All that can be trained, small ones first."""
    return (*RECIPES, *recipes.ARCHITECTURES)


def default_protocol(arch: str, size: tuple[int, int]) -> dict[str, Any]:
    """The protocol of an architecture at an input size of ``(width, height)`` pixels.

    For ``unet`` and ``deeplab``, images and masks of another size or aspect are brought to exactly this size: bilinear
    with antialiasing for images, nearest for masks. For the others it is the size of the crops. Predictions are scored
    at the annotation's own resolution all the same.

    Raises:
        UnknownNameError: no such architecture.
    """
    check_architecture(arch)
    if arch in recipes.ARCHITECTURES:
        return {"size": list(size), **recipes.published(arch)}
    return {"size": list(size), **deepcopy(RECIPES[arch]), **deepcopy(COMMON)}


def dataset_recipe(arch: str, dataset: str) -> dict[str, Any]:
    """What the published recipe of an architecture changes for a dataset, ``size`` among it; may be nothing.

    Raises:
        UnknownNameError: no such architecture.
    """
    check_architecture(arch)
    return recipes.published_for(arch, dataset) if arch in recipes.ARCHITECTURES else {}


def completed(arch: str, protocol: Json) -> dict[str, Any]:
    """The protocol with what its overrides left open: the rest of ``encoder`` and ``decoder``, the backbone's digest.

    Raises:
        ConfigError: a key of ``encoder`` or ``decoder`` that is not known, a backbone's digest without a backbone, a
            warm-up that is no share.
        ModelError: there is no such backbone, or its files are not those of its digest.
    """
    if arch not in recipes.ARCHITECTURES:
        return dict(protocol)
    if not 0 <= protocol["warm_up"] <= 1:
        raise ConfigError(f"protocol.warm_up is {protocol['warm_up']:g}: it is a share of the iterations, 0 to 1")
    parts = {part: network_part(arch, protocol, part) for part in ("encoder", "decoder")}
    return {**protocol, **parts, "backbone_sha256": _digest(protocol)}


def network_part(arch: str, protocol: Json, part: str) -> dict[str, Any]:
    """The configuration of the ``encoder`` or the ``decoder``: as published, but for what the protocol says.

    Raises:
        UnknownNameError: a key that is not known.
    """
    whole, changes = recipes.published(arch)[part], protocol[part]
    if not isinstance(changes, Mapping):
        raise ConfigError(f"protocol.{part} is {changes!r}: it must be a mapping of {', '.join(whole)}")
    for key in changes:
        if key not in whole:
            raise unknown_name(f"key of protocol.{part}", key, whole)
    return {**whole, **changes}


def check_architecture(arch: str) -> None:
    """Raises UnknownNameError for one that is not known."""
    if arch not in architectures():
        raise unknown_name("architecture", arch, architectures())


def _digest(protocol: Json) -> str | None:
    if protocol["backbone"] is None:
        if protocol["backbone_sha256"] is not None:
            raise ConfigError("protocol.backbone_sha256 is given, but protocol.backbone is null: give both or none")
        return None
    from d3s2bench_evaluators.backbones import identify

    return identify(protocol["backbone"], protocol["backbone_sha256"])
