"""Training a student. Iteration k depends on the seed and k alone, so a resumed training equals an unbroken one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import SGD, AdamW, Optimizer

from d3s2bench import ConfigError, Context, DatasetError, Json, Split, derive_seed, train_steps, unknown_name
from d3s2bench_evaluators.augment import augment
from d3s2bench_evaluators.batches import Resized, batch_items
from d3s2bench_evaluators.losses import Loss, Step
from d3s2bench_evaluators.networks import FAMILIES, Network, tapped

MakeLoss: TypeAlias = Callable[[Network, Resized, Context], Loss]
"""The loss of an untrained student on a set."""


@dataclass(frozen=True)
class Student:
    """A trained network with what is needed to build it again; ``curve`` is its thinned training loss."""

    network: Network
    arch: str
    protocol: Json
    curve: tuple[float, ...] = ()


def train(pairs: Split, arch: str, protocol: Json, make_loss: MakeLoss, context: Context) -> Student:
    """Trains from random initialisation for ``protocol["iterations"]``; the last iteration counts.

    Raises:
        UnknownNameError: no such architecture.
        ConfigError: a protocol entry that is not known.
        DatasetError: no pairs.
    """
    if not len(pairs):
        raise DatasetError("there is nothing to train on: the set holds no pairs")
    network = initial_network(arch, len(context.dataset.classes), protocol, context)
    resized = Resized(pairs, protocol["size"])
    loss = make_loss(network, resized, context)
    optimizer = _optimizer([*network.parameters(), *loss.parameters()], protocol)
    step = _step(network, optimizer, resized, protocol, loss, context)
    network.train()
    state = {"network": network, "loss": loss, "optimizer": optimizer}
    curve = train_steps(step, protocol["iterations"], state, context)
    return Student(network.eval(), arch, dict(protocol), tuple(curve))


def initial_network(arch: str, classes: int, protocol: Json, context: Context) -> Network:
    """The untrained network: its weights depend on the seed, the architecture and the number of classes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("init", context.seed))
        network = build_network(arch, classes, protocol)
    return network.to(context.device)


def build_network(arch: str, classes: int, protocol: Json) -> Network:
    """A network of the family ``arch``.

    Raises:
        UnknownNameError: no such architecture.
    """
    if arch not in FAMILIES:
        raise unknown_name("architecture", arch, FAMILIES)
    return FAMILIES[arch](classes, protocol["channels"])


def _step(
    network: Network, optimizer: Optimizer, pairs: Resized, protocol: Json, loss: Loss, context: Context
) -> Callable[[int], Tensor]:
    rate = _schedule(protocol)

    def step(iteration: int) -> Tensor:
        for group in optimizer.param_groups:
            group["lr"] = rate(iteration)
        items, images, masks = _batch(pairs, iteration, protocol, context)
        with _precision(protocol, context.device), tapped(network, "activation", loss.layers) as features:
            logits = network(images)
        value: Tensor = loss(Step(logits, images, masks, features, items, iteration / protocol["iterations"]))
        optimizer.zero_grad()
        torch.autograd.backward(value)
        optimizer.step()
        return value.detach()

    return step


def _batch(pairs: Resized, iteration: int, protocol: Json, context: Context) -> tuple[Sequence[int], Tensor, Tensor]:
    items = batch_items(context.seed, iteration, protocol["batch_size"], len(pairs))
    draws = np.random.default_rng(derive_seed("batch", context.seed, iteration))
    images, masks = augment(*pairs.batch(items, context.device), protocol, draws)
    # The faster layout of activations. Weights keep theirs: fused optimisers want theirs and their state's to agree.
    return items, images.contiguous(memory_format=torch.channels_last), masks


def _optimizer(parameters: Iterable[Parameter], protocol: Json) -> Optimizer:
    rate, decay, momentum = protocol["learning_rate"], protocol["weight_decay"], protocol["momentum"]
    match protocol["optimizer"]:
        case "adamw":
            return AdamW(parameters, rate, (momentum, 0.999), weight_decay=decay, fused=True)
        case "sgd":
            return SGD(parameters, rate, momentum, weight_decay=decay, fused=True)
    raise ConfigError(f"protocol: optimizer is '{protocol['optimizer']}', must be 'adamw' or 'sgd'")


def _schedule(protocol: Json) -> Callable[[int], float]:
    """Iteration → learning rate. ``poly`` is ``rate · (1 − k / iterations)^power`` (Liu et al. 2015; DeepLab)."""
    rate, total = protocol["learning_rate"], protocol["iterations"]
    match protocol["schedule"]:
        case "poly":
            return lambda k: rate * (1 - k / total) ** protocol["power"]
        case "constant":
            return lambda k: rate
    raise ConfigError(f"protocol: schedule is '{protocol['schedule']}', must be 'poly' or 'constant'")


def _precision(protocol: Json, device: str) -> torch.autocast:
    if protocol["precision"] not in ("fp32", "bf16"):
        raise ConfigError(f"protocol: precision is '{protocol['precision']}', must be 'fp32' or 'bf16'")
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=protocol["precision"] == "bf16")
