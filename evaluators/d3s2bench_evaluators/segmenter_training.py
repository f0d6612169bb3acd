"""Training one of the field's networks: crops, micro-batches, layer-wise rates, clipping, one or several processes.

Iteration k, its dropout and drop paths among it, depends on the seed, k and the number of processes alone; so a
resumed training equals an unbroken one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from d3s2bench import ConfigError, Context, Json, Split, derive_seed
from d3s2bench_evaluators.crop_batches import CropBatches, ReadAhead
from d3s2bench_evaluators.losses import HardLabels, Loss, Step
from d3s2bench_evaluators.networks import tapped
from d3s2bench_evaluators.optimizers import groups, make_optimizer, schedule, set_rate
from d3s2bench_evaluators.precision import autocast
from d3s2bench_evaluators.segmenters import Segmenter, UPerNet


class Objective(nn.Module):
    """What is minimised: the loss that the network was published with, or that of what a teacher makes of an image."""

    def __init__(self, network: Segmenter, loss: Loss, protocol: Json) -> None:
        super().__init__()
        self.network, self.loss, self.protocol = network, loss, protocol

    def forward(self, items: Sequence[int], images: Tensor, masks: Tensor, done: float) -> Tensor:
        with autocast(self.protocol, images.device.type):
            if isinstance(self.loss, HardLabels):
                return self.network.loss(images, masks)
            with tapped(self.network, "activation", self.loss.layers) as features:
                logits = self.network(images)
        value: Tensor = self.loss(Step(logits, images, masks, features, items, done))
        return value


@dataclass(frozen=True)
class CropTraining:
    """A training as it goes on: what is minimised, by what, over which crops."""

    objective: Any
    """An ``Objective``, or its copy that shares gradients with other processes."""
    network: Segmenter
    optimizer: Optimizer
    batches: CropBatches | ReadAhead
    protocol: Json
    context: Context

    def step(self, iteration: int) -> Tensor:
        """One iteration; its loss."""
        set_rate(self.optimizer, schedule(self.protocol)(iteration))
        self.optimizer.zero_grad()
        with seeded(derive_seed("step", self.context.seed, iteration, self.batches.places.start), self.context.device):
            value = self._gradients(iteration)
        if self.protocol["clip"]:
            nn.utils.clip_grad_norm_(_parameters(self.optimizer), self.protocol["clip"])
        self.optimizer.step()
        return value

    def _gradients(self, iteration: int) -> Tensor:
        """Adds up the gradients of the micro-batches, each weighted by its share of what the loss is a mean over.

        Other processes do so, too, and all are averaged: hence the share is that in an average process. The sum is the
        batch's own gradient wherever the loss is such a mean; see ``amount`` of each network.
        """
        batch, device = self.batches.batch(iteration), self.context.device
        images, masks = batch.on(device)
        done, value = iteration / self.protocol["iterations"], torch.zeros((), device=device)
        for part, weight in self._weighted(masks):
            with self._shared(last=part.stop == len(batch.items)):
                loss = self.objective(batch.items[part], images[part], masks[part], done) * weight
                torch.autograd.backward(loss)
            value += loss.detach()
        return value

    def _weighted(self, masks: Tensor) -> Iterator[tuple[slice, Tensor | float]]:
        """The micro-batches; counting what they hold makes a GPU wait, and a batch that is one is the whole."""
        parts = _parts(len(masks), self.protocol["accumulate"])
        if len(parts) == self.protocol["processes"] == 1:
            yield parts[0], 1.0
            return
        whole = average_over_processes(self.network.amount(masks))
        for part in parts:
            yield part, self.network.amount(masks[part]) / whole

    def _shared(self, last: bool) -> AbstractContextManager[Any]:
        """Other processes hear of the gradients once, with the last of the micro-batches."""
        apart = getattr(self.objective, "no_sync", nullcontext)
        return nullcontext() if last else apart()


def average_over_processes(amount: Tensor) -> Tensor:
    """Of a number that each process has its own of; the number itself where there is one process."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return amount
    total = amount.float()
    torch.distributed.all_reduce(total)
    return total / torch.distributed.get_world_size()


def crop_training(
    network: Segmenter,
    loss: Loss,
    pairs: Split,
    protocol: Json,
    context: Context,
    rank: int = 0,
    share: Callable[[Objective], Any] = lambda objective: objective,
) -> CropTraining:
    """The training of a network, or the part in it of one process of several, which ``share`` their gradients.

    Raises:
        ConfigError: protocol entries that are not known, or that cannot be had together.
    """
    check(network, loss, protocol)
    optimizer = make_optimizer(groups(network, loss.parameters(), protocol), protocol)
    here = CropBatches(pairs, protocol, context.seed, rank, protocol["processes"])
    # Where the CPU does the work it has none to spare.
    batches = here if context.device == "cpu" else ReadAhead(here, protocol["processes"])
    return CropTraining(share(Objective(network, loss, protocol)), network, optimizer, batches, protocol, context)


def check(network: Segmenter, loss: Loss, protocol: Json) -> None:
    """Raises ConfigError for what cannot be trained together."""
    if not network.per_pixel and not isinstance(loss, HardLabels):
        raise ConfigError("a Mask2Former learns from masks, not from pixels: it can only be trained with labels=hard")
    size, accumulate, processes = (protocol[key] for key in ("batch_size", "accumulate", "processes"))
    if accumulate < 1 or processes < 1 or size % (accumulate * processes):
        parts = f"accumulate ({accumulate}) times processes ({processes})"
        raise ConfigError(f"protocol.batch_size is {size}: it must be a multiple of {parts}")
    if isinstance(network, UPerNet) and size == accumulate * processes:
        raise ConfigError("an UPerNet's BatchNorm wants two crops at a time: lower accumulate or raise batch_size")


def _parameters(optimizer: Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _parts(count: int, parts: int) -> list[slice]:
    edges = [count * k // parts for k in range(parts + 1)]
    return [slice(a, b) for a, b in pairwise(edges)]


@contextmanager
def seeded(seed: int, device: str) -> Iterator[None]:
    """torch's own generators start at this seed inside, and are what they were outside."""
    devices = [torch.device(device)] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=[d if d.index is not None else torch.cuda.current_device() for d in devices]):
        torch.manual_seed(seed)
        yield
