"""The contract of evaluators."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from d3s2bench.errors import ModelError
from d3s2bench.interfaces import Context, Evaluator
from d3s2bench.protocols import completed
from d3s2bench.testing.base import DEVICES, Contract, prepare
from d3s2bench.testing.models import tiny_context
from d3s2bench.testing.tiny import CLASSES, SIZE, TinyDataset, TinySplit
from d3s2bench.values import Counts

KEYS = ("iterations", "converged_iterations", "size", "precision", "batch_size")
PAIRS = TinySplit(6)
SCORED = TinySplit(4, 1, (SIZE, (24, 20)))


class EvaluatorContract(Contract):
    """What an evaluator keeps to; three lines try yours:

    >>> class TestMine(EvaluatorContract):  # doctest: +SKIP
    ...     component = Mine()
    """

    interface = Evaluator
    arch: ClassVar[str | None] = None
    """The architecture that is tried; None: the first."""
    quick: ClassVar[dict[str, Any]] = {"iterations": 2, "converged_iterations": 2, "batch_size": 2}
    """What is changed in the protocol, so that trying takes no time."""

    @property
    def tried(self) -> str:
        return self.arch or str(self.component.architectures()[0])

    def training(self, device: str = "cpu") -> dict[str, Any]:
        """The protocol that the tests train under, made as the engine makes it."""
        given = self.component.protocol(self.tried, SIZE)
        quick = {key: value for key, value in self.quick.items() if key in given}
        return completed(self.component, self.tried, given | quick) | {"threads": 1, "device": device}

    def trained(self, workdir: Path, device: str = "cpu") -> tuple[Any, Context]:
        context = tiny_context(self.component, TinyDataset(PAIRS), 7, device, workdir)
        return self.component.train(PAIRS, self.tried, self.training(device), context), context

    def counted(self, workdir: Path, device: str = "cpu") -> Counts:
        model, context = self.trained(workdir, device)
        counts: Counts = self.component.evaluate(model, SCORED, self.training(device), context)
        return counts

    def test_it_names_its_architectures(self) -> None:
        names = self.component.architectures()
        assert isinstance(names, tuple) and names, "architectures() must give a tuple of at least one name"
        assert len(set(names)) == len(names), f"an architecture is named twice: {names}"

    def test_its_protocol_is_json_and_complete(self) -> None:
        protocol = self.component.protocol(self.tried, SIZE)
        assert json.loads(json.dumps(protocol)) == protocol, "its protocol changes when it is written as JSON"
        assert not (missing := [key for key in KEYS if key not in protocol]), f"its protocol lacks {missing}"
        assert protocol["iterations"] >= 1 and protocol["converged_iterations"] >= 1, "it must train at least once"

    def test_each_labelled_pixel_is_counted_once_at_its_own_size(self, tmp_path: Path) -> None:
        confusion = self.counted(tmp_path).confusion
        shape = (len(SCORED), len(CLASSES), len(CLASSES))
        assert confusion.dtype == np.int64 and confusion.shape == shape, f"counts must be int64 {shape}"
        assert confusion.min() >= 0, "a count is negative"
        truth = SCORED.index().counts
        assert np.array_equal(confusion.sum(axis=2), truth), "rows must add up to the labelled pixels of each class"

    def test_the_same_seed_gives_the_same_counts(self, tmp_path: Path) -> None:
        first, second = (self.counted(_new(tmp_path / name)).confusion for name in ("first", "second"))
        assert np.array_equal(first, second), "the same seed trained another model"

    def test_a_teacher_comes_back_as_the_interface_says(self, tmp_path: Path) -> None:
        import torch

        model, context = self.trained(_new(tmp_path / "work"))
        self.component.save_teacher(model, PAIRS, folder := _new(tmp_path / "teacher"), context)
        assert (folder / "teacher.json").is_file(), "save_teacher must write teacher.json, which tells of the model"
        teacher = self.component.load_teacher(folder, "cpu")
        images = torch.rand(2, 3, SIZE[1], SIZE[0], requires_grad=True)
        logits, features = teacher.features(images)
        assert logits.shape == (2, len(CLASSES), SIZE[1], SIZE[0]), f"logits are {tuple(logits.shape)}"
        assert set(teacher.layers) <= set(features) and teacher.pooled_layer in features, "features lacks a layer"
        for layer in teacher.layers:
            _check_statistics(teacher, layer, features[layer].shape[1])
        (gradient,) = torch.autograd.grad(logits.square().sum(), images)
        assert torch.isfinite(gradient).all() and gradient.abs().sum() > 0, "no gradient comes back to the images"

    def test_another_folder_is_no_teacher(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError):
            self.component.load_teacher(tmp_path, "cpu")

    @DEVICES
    def test_it_computes_where_it_is_told(self, device: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        prepare(device, self.component, monkeypatch, torch=True)
        assert self.counted(tmp_path, device).confusion.sum() > 0


def _check_statistics(teacher: Any, layer: str, width: int) -> None:
    mean, std = teacher.class_features[layer]
    wanted = (len(CLASSES), width)
    assert mean.shape == std.shape == wanted, f"class_features of {layer} are {tuple(mean.shape)}, not {wanted}"
    if layer in teacher.batchnorm:
        mean, variance = teacher.batchnorm[layer]
        assert mean.shape == variance.shape, f"batchnorm of {layer} is {tuple(mean.shape)} and {tuple(variance.shape)}"


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder
