"""Training a student. Iteration k depends on the seed and k alone, so a resumed training equals an unbroken one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from d3s2bench import Context, DatasetError, Json, Split, derive_seed, train_steps
from d3s2bench_evaluators import recipes
from d3s2bench_evaluators.augment import augment
from d3s2bench_evaluators.backbones import load_backbone
from d3s2bench_evaluators.batches import Resized, batch_items
from d3s2bench_evaluators.losses import Loss, Step
from d3s2bench_evaluators.networks import FAMILIES, Network, tapped
from d3s2bench_evaluators.optimizers import make_optimizer, schedule, set_rate
from d3s2bench_evaluators.precision import autocast
from d3s2bench_evaluators.protocol import check_architecture
from d3s2bench_evaluators.segmenter_training import crop_training
from d3s2bench_evaluators.segmenters import Segmenter, build_segmenter

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
    """Trains for ``protocol["iterations"]`` from random initialisation, or from a backbone; the last iteration counts.

    Raises:
        UnknownNameError: no such architecture.
        ConfigError: a protocol entry that is not known.
        ModelError: a backbone that cannot be used.
        DatasetError: no pairs.
    """
    if not len(pairs):
        raise DatasetError("there is nothing to train on: the set holds no pairs")
    if protocol.get("processes", 1) > 1:
        from d3s2bench_evaluators.processes import train_in_processes

        return train_in_processes(pairs, arch, protocol, make_loss, context)
    network = initial_network(arch, len(context.dataset.classes), protocol, context)
    resized = Resized(pairs, protocol["size"])
    loss = make_loss(network, resized, context)
    step, optimizer = _training(network, loss, pairs, resized, protocol, context)
    network.train()
    state: dict[str, Any] = {"network": network, "loss": loss, "optimizer": optimizer}
    curve = train_steps(step, protocol["iterations"], state, context)
    return Student(network.eval(), arch, dict(protocol), tuple(curve))


def _training(
    network: Network, loss: Loss, pairs: Split, resized: Resized, protocol: Json, context: Context
) -> tuple[Callable[[int], Tensor], Optimizer]:
    """What an iteration does, and the optimiser whose state it changes."""
    if isinstance(network, Segmenter):
        training = crop_training(network, loss, pairs, protocol, context)
        return training.step, training.optimizer
    optimizer = make_optimizer([*network.parameters(), *loss.parameters()], protocol)
    return _step(network, optimizer, resized, protocol, loss, context), optimizer


def initial_network(arch: str, classes: int, protocol: Json, context: Context) -> Network:
    """The untrained network: its weights depend on the seed, the architecture, the number of classes and the backbone.

    Raises:
        UnknownNameError: no such architecture.
        ModelError: a backbone that cannot be used.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("init", context.seed))
        network = build_network(arch, classes, protocol)
        if isinstance(network, Segmenter) and protocol["backbone"] is not None:
            load_backbone(network.encoder, protocol["backbone"], protocol["backbone_sha256"])
    return network.to(context.device)


def build_network(arch: str, classes: int, protocol: Json) -> Network:
    """A network of the architecture, at random initialisation.

    Raises:
        UnknownNameError: no such architecture.
    """
    check_architecture(arch)
    if arch in recipes.ARCHITECTURES:
        return build_segmenter(arch, classes, protocol)
    return FAMILIES[arch](classes, protocol["channels"])


def _step(
    network: Network, optimizer: Optimizer, pairs: Resized, protocol: Json, loss: Loss, context: Context
) -> Callable[[int], Tensor]:
    rate = schedule(protocol)

    def step(iteration: int) -> Tensor:
        set_rate(optimizer, rate(iteration))
        items, images, masks = _batch(pairs, iteration, protocol, context)
        with autocast(protocol, context.device), tapped(network, "activation", loss.layers) as features:
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
