"""Two processes learn what one learns: the same crops, the mean of their gradients."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_segmenters import PARTS, tiny_protocol

from d3s2bench import ConfigError, Context, StageError
from d3s2bench.datasets.folder import Folder
from d3s2bench_evaluators.torch_evaluator import Torch

CALM: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "upernet-swin-t": ({"drop_path_rate": 0.0}, {}),
    "segformer-b0": ({"drop_path_rate": 0.0}, {"classifier_dropout_prob": 0.0}),
}
"""Encoder and decoder without what each process draws for itself."""


def distance(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    """Euclidean, between all that is learnt."""
    learnt = (name for name in a if "running_" not in name and "num_batches" not in name)
    return float(torch.stack([(a[name] - b[name]).double().square().sum() for name in learnt]).sum().sqrt())


class Interrupted(Exception):
    """Stands for a kill."""


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["upernet-swin-t", "segformer-b0"])
def test_two_processes_learn_as_one(
    arch: str, tiny: Path, context: Callable[..., Context], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Micro-batches give BatchNorm the same crops as processes do; so the one may go on where the other was stopped."""
    pytest.importorskip("accelerate")
    dataset: Any = Folder(root=tiny, name="tiny")
    seen: list[tuple[int, int, str]] = []

    def train(folder: Path, stop: int = -1, **changes: Any) -> Any:
        def progress(*state: Any) -> None:
            seen.append(state)
            if state[0] == stop:
                raise Interrupted

        encoder, decoder = ({**part, **calm} for part, calm in zip(PARTS[arch], CALM[arch], strict=True))
        rates = {"learning_rate": 0.05, "encoder_rate": 1.0, "decoder_rate": 1.0, "optimizer": "sgd"}
        given = {"iterations": 3, **rates, "encoder": encoder, "decoder": decoder, **changes}
        work = context(folder, dataset=dataset, progress=progress)
        return Torch().train(dataset.split("train"), arch, tiny_protocol(arch, **given), work).network.state_dict()

    def alike(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
        moved, apart = (distance(one, other) for one, other in ((a, start), (a, b)))
        assert moved > 0.1, "it has learnt something"
        assert apart < 1e-3 * moved

    for name in ("start", "parts", "processes", "resumed"):
        (tmp_path / name).mkdir()
    start = train(tmp_path / "start", iterations=1, learning_rate=0.0)
    parts = train(tmp_path / "parts", accumulate=2)
    alike(train(tmp_path / "processes", processes=2), parts)
    assert (3, 3, "") in seen
    monkeypatch.setattr("d3s2bench.checkpoint.train_steps.__defaults__", (0.0,))  # a checkpoint after each step
    with pytest.raises(Interrupted):
        train(tmp_path / "resumed", stop=2, accumulate=2)
    seen.clear()
    alike(train(tmp_path / "resumed", processes=2), parts)
    assert (0, 3) not in [state[:2] for state in seen]


@pytest.mark.slow
def test_a_process_that_fails_is_told(tiny: Path, context: Callable[..., Context]) -> None:
    pytest.importorskip("accelerate")
    dataset: Any = Folder(root=tiny, name="tiny")
    protocol = tiny_protocol("segformer-b0", processes=2, undecayed="x")
    with pytest.raises(StageError, match=r"protocol\.undecayed is 'x'"):
        Torch().train(dataset.split("train"), "segformer-b0", protocol, context(dataset=dataset))


def test_what_cannot_be_shared_is_told(
    rectangles: Any, context: Callable[..., Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs, protocol = rectangles(4), tiny_protocol("segformer-b0", processes=2)
    with pytest.raises(ConfigError, match="hard labels only"):
        Torch("soft").train(pairs, "segformer-b0", protocol, context(load_teacher=object))
    with pytest.raises(ConfigError, match="GPUs in sight are 0: lower it, or give --workers 1"):
        Torch().train(pairs, "segformer-b0", protocol, context(device="cuda"))
    monkeypatch.setitem(sys.modules, "accelerate", None)
    monkeypatch.setattr("d3s2bench_evaluators.processes.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"d3s2bench\[accelerate\]"):
        Torch().train(pairs, "segformer-b0", protocol, context())
