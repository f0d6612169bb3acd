"""A training loop that shows progress, saves itself and goes on where it was killed.

Checkpoints are safetensors (tensors) with JSON in the header (everything else): nothing is ever unpickled.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

SAVING = 0.01
"""The share of the time that checkpoints may take: large ones on a slow disk come less often …"""
RAREST = 600.0
"""… but this many seconds apart at most, so that a job with a time limit gets on."""
TELLING = 10.0
"""Seconds after which progress is told at the latest; the loss is read a hundred times in all: a GPU waits for it."""

if TYPE_CHECKING:
    from torch import Tensor

    from d3s2bench.interfaces import Context


class Stateful(Protocol):
    """A module, an optimiser, a schedule: what torch gives a state dict."""

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any: ...


class Curve(list[float]):
    """A thinned loss curve, and the ``seconds`` that its training took: those of all parts of one that was killed."""

    seconds = 0.0


def train_steps(
    step: Callable[[int], Tensor],
    iterations: int,
    state: Mapping[str, Stateful],
    context: Context,
    every_seconds: float = 20.0,
) -> Curve:
    """Calls ``step(0)`` … ``step(iterations - 1)``, each of which returns its loss; returns a thinned loss curve.

    A checkpoint is written every so many seconds, 0 for each step; less often where it takes more than ``SAVING`` of
    the time. ``step`` must draw its randomness from its argument alone; then a resumed run equals an unbroken one.
    """
    file = context.workdir / "checkpoint.safetensors"
    first, curve = load_checkpoint(file, state) if file.exists() else (0, Curve())
    saved, pause = time.monotonic(), every_seconds
    started, told = saved - curve.seconds, saved
    thin = max(iterations // 100, 1)
    for iteration in range(first, iterations):
        loss = step(iteration)
        if iteration % thin == 0:
            curve.append(float(loss))
        if iteration % thin == 0 or time.monotonic() - told > TELLING:
            told = time.monotonic()
            context.progress(iteration, iterations, f"loss {curve[-1]:.3f}")
        if (now := time.monotonic()) - saved > pause:
            curve.seconds = now - started
            save_checkpoint(file, state, iteration + 1, curve)
            saved = time.monotonic()
            pause = max(every_seconds, min((saved - now) / SAVING, RAREST)) if every_seconds else 0.0
    context.progress(iterations, iterations, "")
    curve.seconds = time.monotonic() - started
    return curve


def save_checkpoint(file: Path, state: Mapping[str, Stateful], iteration: int, curve: Curve) -> None:
    """Writes all state dicts into one file, under a temporary name first."""
    from safetensors.torch import save_file

    tensors: dict[str, Tensor] = {}
    plain = {name: _split(part.state_dict(), name, tensors) for name, part in state.items()}
    header = json.dumps({"iteration": iteration, "curve": curve, "seconds": curve.seconds, "plain": plain})
    partial = file.with_suffix(".partial")
    save_file(tensors, partial, metadata={"checkpoint": header})
    partial.replace(file)


def load_checkpoint(file: Path, state: Mapping[str, Stateful]) -> tuple[int, Curve]:
    """Restores the state in place; returns the next iteration and the loss curve so far.

    An older checkpoint does not tell its seconds: they count as 0."""
    from safetensors import safe_open

    with safe_open(file, framework="pt") as stored:
        header = json.loads(stored.metadata()["checkpoint"])
        tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118 - safe_open is no dict
    for name, part in state.items():
        part.load_state_dict(_join(header["plain"][name], tensors))
    curve = Curve(header["curve"])
    curve.seconds = header.get("seconds", 0.0)
    return header["iteration"], curve


def _split(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """The value with each tensor moved to ``tensors`` and a reference left in its place."""
    import torch

    if isinstance(value, torch.Tensor):
        tensors[path] = value.detach().to("cpu", copy=True).contiguous()  # a GPU may have no room for another one
        return {"tensor": path}
    if isinstance(value, Mapping):
        return {"items": [[k, _split(v, f"{path}/{k}", tensors)] for k, v in value.items()]}
    if isinstance(value, list | tuple):
        return {"list": [_split(v, f"{path}/{i}", tensors) for i, v in enumerate(value)]}
    return {"value": value}


def _join(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    match value:
        case {"tensor": path}:
            return tensors[path]
        case {"items": items}:
            return {k: _join(v, tensors) for k, v in items}
        case {"list": entries}:
            return [_join(v, tensors) for v in entries]
    return value["value"]
