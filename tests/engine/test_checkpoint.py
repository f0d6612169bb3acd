"""Training that goes on where it was killed: the same bytes as an unbroken one."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from d3s2bench import Context, train_steps
from d3s2bench.checkpoint import Curve, load_checkpoint, save_checkpoint


class Training:
    """A small network with BatchNorm, AdamW and a schedule; step k draws from seed k alone."""

    def __init__(self, dies: int = -1) -> None:
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))
        self.optimiser = torch.optim.AdamW(self.net.parameters(), lr=0.05, amsgrad=True)
        self.schedule = torch.optim.lr_scheduler.PolynomialLR(self.optimiser, total_iters=30)
        self.state: dict[str, Any] = {"net": self.net, "optimiser": self.optimiser, "schedule": self.schedule}
        self.dies = dies
        self.steps: list[int] = []

    def step(self, k: int) -> torch.Tensor:
        if k == self.dies:
            raise KeyboardInterrupt
        self.steps.append(k)
        x = torch.randn(16, 3, generator=torch.Generator().manual_seed(k))
        loss = (self.net(x)[:, 0] - x.sum(1)).square().mean()
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.schedule.step()
        return loss.detach()


def flat(state: Any) -> list[Any]:
    """A nested state dict as a list that can be compared bit by bit."""
    if isinstance(state, torch.Tensor):
        return [str(state.dtype), state.tolist()]
    if isinstance(state, dict):
        return [[k, flat(v)] for k, v in state.items()]
    return [flat(v) for v in state] if isinstance(state, list | tuple) else [state]


def flat_of(training: Training) -> list[Any]:
    return [flat(part.state_dict()) for part in training.state.values()]


def context(folder: Path) -> Context:
    return Context(dataset=None, workdir=folder)  # type: ignore[arg-type]


def test_all_state_comes_back(tmp_path: Path) -> None:
    trained, fresh = Training(), Training()
    for k in range(5):
        trained.step(k)
    save_checkpoint(tmp_path / "c.safetensors", trained.state, 5, Curve([1.5, 0.5]))
    assert load_checkpoint(tmp_path / "c.safetensors", fresh.state) == (5, [1.5, 0.5])
    assert flat_of(fresh) == flat_of(trained)
    assert [file.name for file in tmp_path.iterdir()] == ["c.safetensors"]


def test_nothing_in_it_is_pickled(tmp_path: Path) -> None:
    training = Training()
    training.step(0)
    save_checkpoint(tmp_path / "c.safetensors", training.state, 1, Curve())
    content = (tmp_path / "c.safetensors").read_bytes()
    header = int.from_bytes(content[:8], "little")
    assert content[8 : 8 + header].lstrip().startswith(b"{")


@pytest.mark.parametrize("dies", [1, 7, 19])
def test_a_resumed_run_equals_an_unbroken_one(tmp_path: Path, dies: int) -> None:
    whole, broken, resumed = Training(), Training(dies), Training()
    (tmp_path / "whole").mkdir()
    expected = train_steps(whole.step, 20, whole.state, context(tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        train_steps(broken.step, 20, broken.state, context(tmp_path), every_seconds=0)
    assert train_steps(resumed.step, 20, resumed.state, context(tmp_path)) == expected
    assert flat_of(resumed) == flat_of(whole)
    assert broken.steps + resumed.steps == whole.steps


class Clock:
    """A clock that stands still but for what it is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 500.0
        monkeypatch.setattr("d3s2bench.checkpoint.time.monotonic", lambda: self.now)

    def timed(self, training: Training, seconds: float) -> Callable[[int], torch.Tensor]:
        """The step, which takes so many seconds."""

        def step(k: int) -> torch.Tensor:
            loss = training.step(k)
            self.now += seconds
            return loss

        return step


def test_seconds_are_those_of_all_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of 3 s for a part that is saved at 9 s and killed at 12 s, then of 5 s; the hour between does not count."""
    clock, broken, resumed = Clock(monkeypatch), Training(4), Training()
    with pytest.raises(KeyboardInterrupt):
        train_steps(clock.timed(broken, 3.0), 10, broken.state, context(tmp_path), every_seconds=8)
    clock.now += 3600
    curve = train_steps(clock.timed(resumed, 5.0), 10, resumed.state, context(tmp_path))
    assert resumed.steps == list(range(3, 10))
    assert curve.seconds == 3 * 3 + 7 * 5


@pytest.mark.parametrize(("takes", "rest"), [(0.1, 120), (4, 420), (30, 660)])
def test_saves_that_take_long_come_less_often(
    takes: float, rest: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step takes a minute and a save 4 seconds: a hundredth of the time is one in 400 seconds. A save of 30 seconds
    would come every 50 minutes, were ten not the most."""
    clock, training, saves = Clock(monkeypatch), Training(), list[float]()

    def save(*given: object) -> None:
        saves.append(clock.now)
        clock.now += takes

    monkeypatch.setattr("d3s2bench.checkpoint.save_checkpoint", save)
    began = clock.now
    train_steps(clock.timed(training, 60.0), 30, training.state, context(tmp_path), every_seconds=90.0)
    assert [b - a for a, b in pairwise([began, *saves])] == pytest.approx(
        [120, *[takes + rest] * ((30 - 2) * 60 // rest)]
    )


def test_an_older_checkpoint_without_seconds_counts_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, training, file = Clock(monkeypatch), Training(), tmp_path / "checkpoint.safetensors"
    save_checkpoint(file, training.state, 6, Curve([1.0]))
    with safe_open(file, framework="pt") as stored:
        header = json.loads(stored.metadata()["checkpoint"])
        tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118 - safe_open is no dict
    del header["seconds"]
    save_file(tensors, file, metadata={"checkpoint": json.dumps(header)})
    curve = train_steps(clock.timed(training, 2.0), 10, training.state, context(tmp_path))
    assert (curve.seconds, len(curve)) == (4 * 2, 1 + 4)


def test_a_kill_between_two_saves_loses_only_what_came_after(tmp_path: Path) -> None:
    broken = Training(9)
    save_checkpoint(tmp_path / "checkpoint.safetensors", broken.state, 0, Curve())
    with pytest.raises(KeyboardInterrupt):
        train_steps(broken.step, 20, broken.state, context(tmp_path), every_seconds=1000)
    resumed, whole = Training(), Training()
    train_steps(resumed.step, 20, resumed.state, context(tmp_path))
    assert resumed.steps == list(range(20))
    (tmp_path / "whole").mkdir()
    train_steps(whole.step, 20, whole.state, context(tmp_path / "whole"))
    assert flat_of(resumed) == flat_of(whole)


def test_a_torn_save_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training()
    file = tmp_path / "c.safetensors"
    save_checkpoint(file, training.state, 1, Curve())

    def full_disk(tensors: object, place: Path, metadata: object) -> None:
        place.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(file, training.state, 2, Curve())
    assert load_checkpoint(file, training.state)[0] == 1


def test_shared_and_strided_tensors_are_saved(tmp_path: Path) -> None:
    """Tied weights and transposed ones are legal in a state dict, not in safetensors."""

    class Part:
        def __init__(self, value: torch.Tensor) -> None:
            self.value = value

        def state_dict(self) -> dict[str, Any]:
            return {"tied": [self.value, self.value], "turned": self.value.t(), 7: {"none": None}}

        def load_state_dict(self, state: dict[Any, Any]) -> None:
            self.loaded = state

    part = Part(torch.arange(6.0).reshape(2, 3))
    save_checkpoint(tmp_path / "c", {"part": part}, 0, Curve())
    load_checkpoint(tmp_path / "c", {"part": part})
    assert flat(part.loaded) == flat(part.state_dict())


def test_the_curve_is_thinned_and_progress_told(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    place = context(tmp_path)
    place.progress = lambda done, total, note="": told.append((done, total))
    curve = train_steps(lambda k: torch.tensor(float(k)), 1000, {}, place)
    assert curve == [float(k) for k in range(0, 1000, 10)]
    assert told == [(k, 1000) for k in range(0, 1001, 10)]
    assert not list(tmp_path.iterdir())  # too quick for a checkpoint


def test_slow_steps_are_told_in_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, str]] = []
    place = context(tmp_path)
    place.progress = lambda done, total, note="": told.append((done, note))
    seconds = iter(range(0, 10**6, 3))  # the clock is asked twice or thrice in a step
    monkeypatch.setattr("d3s2bench.checkpoint.time", SimpleNamespace(monotonic=lambda: float(next(seconds))))
    curve = train_steps(lambda k: torch.tensor(float(k)), 1000, {}, place, every_seconds=1e9)
    assert curve == [float(k) for k in range(0, 1000, 10)]  # a loss costs more than a number
    losses = [(k, 0) for k in (0, 2, 4, 6, 8)] + [(10, 10), (12, 10)]
    assert told[:7] == [(k, f"loss {loss:.3f}") for k, loss in losses]
