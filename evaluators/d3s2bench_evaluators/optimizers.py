"""Optimisers and schedules: which parameters learn at which rate, and how the rate goes over the iterations."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from torch import nn
from torch.nn import Parameter
from torch.optim import SGD, AdamW, Optimizer

from d3s2bench import ConfigError, Json
from d3s2bench_evaluators.segmenters import Segmenter

EMBEDDINGS = ("relative_position_bias_table", "position_embeddings", "level_embed")
"""Parameters that embed positions and levels without being a module of that kind."""


def make_optimizer(parameters: Iterable[Any], protocol: Json) -> Optimizer:
    """Of parameters, or of groups of them. Raises ConfigError for an optimiser that is not known."""
    rate, decay, momentum = protocol["learning_rate"], protocol["weight_decay"], protocol["momentum"]
    match protocol["optimizer"]:
        case "adamw":
            return AdamW(parameters, rate, (momentum, 0.999), weight_decay=decay, fused=True)
        case "sgd":
            return SGD(parameters, rate, momentum, weight_decay=decay, fused=True)
    raise ConfigError(f"protocol: optimizer is '{protocol['optimizer']}', must be 'adamw' or 'sgd'")


def schedule(protocol: Json) -> Callable[[int], float]:
    """Iteration → learning rate, which first grows linearly over the share ``warm_up`` of the iterations.

    ``poly`` is ``rate · (1 − k / iterations)^power`` (Liu et al. 2015; DeepLab), counted from the end of the warm-up on
    (mmsegmentation 1.x: ``LinearLR``, then ``PolyLR`` with ``begin`` at its end).
    """
    rate, total = protocol["learning_rate"], protocol["iterations"]
    warm_up = round(protocol.get("warm_up", 0.0) * total)

    def warmed(k: int) -> float:
        return rate * min((k + 1) / warm_up, 1) if warm_up else rate  # type: ignore[no-any-return]

    match protocol["schedule"]:
        case "poly":
            return lambda k: warmed(k) * (1 - max(k - warm_up, 0) / max(total - warm_up, 1)) ** protocol["power"]
        case "constant":
            return warmed
    raise ConfigError(f"protocol: schedule is '{protocol['schedule']}', must be 'poly' or 'constant'")


def groups(network: Segmenter, others: Iterable[Parameter], protocol: Json) -> list[dict[str, Any]]:
    """Each parameter in one group with its ``factor`` of the learning rate and its weight decay; ``others`` have 1.

    Raises:
        ConfigError: a value of ``undecayed`` that is not known.
    """
    by_rule: dict[tuple[float, float], list[Parameter]] = {}
    for name, module, parameter in _owned(network):
        decay = 0.0 if _undecayed(name, module, parameter, protocol) else protocol["weight_decay"]
        by_rule.setdefault((_factor(network, name, protocol), decay), []).append(parameter)
    if rest := list(others):
        by_rule.setdefault((1.0, protocol["weight_decay"]), []).extend(rest)
    return [
        {"params": parameters, "weight_decay": decay, "factor": factor}
        for (factor, decay), parameters in by_rule.items()
    ]


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """The learning rate of each group: this one times the group's factor."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("factor", 1.0)


def _owned(network: nn.Module) -> Iterator[tuple[str, nn.Module, Parameter]]:
    """Each parameter once, with its full name and the module that owns it."""
    modules = dict(network.named_modules())
    for name, parameter in network.named_parameters():
        yield name, modules[name.rpartition(".")[0]], parameter


def _undecayed(name: str, module: nn.Module, parameter: Parameter, protocol: Json) -> bool:
    match protocol["undecayed"]:
        case "norms and embeddings":
            embeds = isinstance(module, nn.Embedding) or any(known in name for known in EMBEDDINGS)
            return embeds or "Norm" in type(module).__name__
        case "vectors":
            return parameter.ndim <= 1
    known = "must be 'norms and embeddings' or 'vectors'"
    raise ConfigError(f"protocol.undecayed is '{protocol['undecayed']}', {known}")


def _factor(network: Segmenter, name: str, protocol: Json) -> float:
    """Of the learning rate: by part, and in the encoder by stage."""
    prefix = network.encoder_name + "."
    if not name.startswith(prefix):
        return float(protocol["decoder_rate"])
    below = protocol["stage_decay_layers"] + 1 - _layer(name.removeprefix(prefix), protocol["stage_decay_layers"] + 1)
    return float(protocol["encoder_rate"] * protocol["stage_decay"] ** below)


def _layer(name: str, top: int) -> int:
    """0 for what shrinks the image, 1 to 4 for the stages, the top for norms behind them.

    As ``LearningRateDecayOptimizerConstructor`` of mmsegmentation numbers a ConvNeXt with ``decay_type='stage_wise'``.
    """
    if "embeddings" in name or "downsampl" in name:
        return 0
    stage = re.search(r"(?:stages|layers|block)\.(\d+)\.", name)  # ConvNeXt and MiT, Swin, MiT before transformers 5
    return int(stage[1]) + 1 if stage else top
