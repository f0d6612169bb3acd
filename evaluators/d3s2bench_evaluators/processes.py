"""One training on several processes, a GPU each, through accelerate.

The processes are started anew, since a process that has touched a GPU cannot be divided. Each takes its share of every
batch and the gradients are averaged; BatchNorm sees the whole batch on GPUs (SyncBatchNorm), its process's share on
CPUs. The first process alone writes checkpoints, which all of them go on from, and the trained network.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, multiprocessing, nn

from d3s2bench import ConfigError, Context, Json, Split, StageError, train_steps
from d3s2bench_evaluators.batches import Resized
from d3s2bench_evaluators.segmenter_training import crop_training

if TYPE_CHECKING:
    from d3s2bench_evaluators.training import MakeLoss, Student

TRAINED = "trained.safetensors"
POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Shared:
    """What every process is given."""

    pairs: Split
    arch: str
    protocol: Json
    make_loss: MakeLoss
    context: Context
    port: int


def train_in_processes(pairs: Split, arch: str, protocol: Json, make_loss: MakeLoss, context: Context) -> Student:
    """As ``training.train``, on ``protocol["processes"]`` processes.

    Raises:
        ConfigError: accelerate is not installed, there are fewer GPUs, or the loss wants a teacher, which stays here.
        StageError: one of the processes fails.
    """
    _check(protocol, context)
    here = Context(context.dataset, context.seed, context.device, context.workdir)
    shared = Shared(pairs, arch, dict(protocol), make_loss, here, _free_port())
    _check_portable(shared)
    spawn: Any = multiprocessing
    progress = spawn.get_context("spawn").SimpleQueue()
    running = spawn.start_processes(_work, (shared, progress), protocol["processes"], join=False, start_method="spawn")
    try:
        _follow(running, progress, context)
    finally:
        for process in running.processes:
            process.terminate()  # those that still run when one has failed, or when this one is told to stop
    return _trained(arch, protocol, context)


def _follow(running: Any, progress: Any, context: Context) -> None:
    """Passes progress on until all have ended. Raises StageError when one fails."""
    ended = False
    while not ended:
        try:
            ended = running.join(timeout=POLL_SECONDS)
        except Exception as error:  # torch raises what the process raised, or how it ended, as text
            raise StageError(f"a process of the training failed: {str(error).strip().splitlines()[-1]}") from error
        while not progress.empty():
            context.progress(*progress.get())


def _check(protocol: Json, context: Context) -> None:
    if find_spec("accelerate") is None:
        raise ConfigError("protocol.processes above 1 wants accelerate: pip install 'd3s2bench[accelerate]'")
    if context.load_teacher is not None:
        raise ConfigError("protocol.processes above 1 can train hard labels only: the teacher is in one process")
    if context.device != "cpu" and torch.cuda.device_count() < protocol["processes"]:
        found = torch.cuda.device_count()
        lack = f"protocol.processes is {protocol['processes']}, but GPUs in sight are {found}"
        raise ConfigError(f"{lack}: lower it, or give --workers 1, which sees all")


def _check_portable(shared: Shared) -> None:
    try:
        ForkingPickler.dumps(shared)
    except Exception as error:  # whatever a third party's dataset holds
        raise ConfigError(
            f"protocol.processes above 1 wants a dataset that can be sent to another process ({error}): use 1"
        ) from error


def _work(rank: int, job: Shared, progress: Any) -> None:
    """One process: rank 0 of them tells how far they are and keeps what was trained."""
    _join(rank, job)
    context = replace(job.context, progress=lambda *state: progress.put(state)) if rank == 0 else job.context
    _train(rank, replace(job, context=context))
    torch.distributed.destroy_process_group()


def _join(rank: int, job: Shared) -> None:
    """What accelerate reads to find the other processes."""
    ranks = str(job.protocol["processes"])
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": ranks}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(job.port)}
    torch.set_num_threads(job.protocol.get("threads", 1))


def _train(rank: int, job: Shared) -> None:
    from d3s2bench_evaluators.training import initial_network

    accelerator, protocol = _accelerator(job.context.device), job.protocol
    context = replace(job.context, device=str(accelerator.device))
    network: Any = initial_network(job.arch, len(context.dataset.classes), protocol, context)
    if accelerator.device.type == "cuda":
        synchronised: Any = nn.SyncBatchNorm
        network = synchronised.convert_sync_batchnorm(network)
    loss = job.make_loss(network, Resized(job.pairs, protocol["size"]), context)
    training = crop_training(network, loss, job.pairs, protocol, context, rank, accelerator.prepare_model)
    network.train()
    state: dict[str, Any] = {"network": network, "loss": loss, "optimizer": training.optimizer}
    often = {} if rank == 0 else {"every_seconds": float("inf")}
    curve = train_steps(training.step, protocol["iterations"], state, context, **often)
    if rank == 0:
        _keep(network.state_dict(), curve, context)


def _accelerator(device: str) -> Any:
    accelerate: Any = import_module("accelerate")
    # Parameters that no loss reaches: a Swin's last norm, since each stage has its own here.
    unused = accelerate.DistributedDataParallelKwargs(find_unused_parameters=True)
    return accelerate.Accelerator(cpu=device == "cpu", mixed_precision="no", kwargs_handlers=[unused])


def _keep(state: Mapping[str, Tensor], curve: Sequence[float], context: Context) -> None:
    tensors = {name: value.cpu().contiguous() for name, value in state.items()}
    save_file(tensors, context.workdir / TRAINED, metadata={"curve": json.dumps(list(curve))})


def _trained(arch: str, protocol: Json, context: Context) -> Student:
    from d3s2bench_evaluators.training import Student, build_network

    network = build_network(arch, len(context.dataset.classes), protocol)
    with safe_open(context.workdir / TRAINED, framework="pt") as stored:
        curve = tuple(json.loads(stored.metadata()["curve"]))
        network.load_state_dict({name: stored.get_tensor(name) for name in stored.keys()})  # noqa: SIM118 - no dict
    (context.workdir / TRAINED).unlink()
    return Student(network.to(context.device).eval(), arch, dict(protocol), curve)


def _free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        port: int = opened.getsockname()[1]
        return port
