"""The teacher: a student trained on the full train split, frozen, with the statistics of its features by class.

A teacher's folder holds ``model.safetensors``, ``class_features.safetensors`` (``LAYER.mean`` and ``LAYER.std``, each
``(C, D)``, NaN for classes that are absent) and ``teacher.json``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from d3s2bench import IGNORE, Context, ModelError, Split, Tap, UnknownNameError
from d3s2bench_evaluators.batches import Resized
from d3s2bench_evaluators.networks import Network, tapped
from d3s2bench_evaluators.training import Student, build_network

BATCH = 16
Stats = Mapping[str, tuple[Tensor, Tensor]]


class TorchTeacher:
    """What guidance and soft labels see of a trained network: the ``Teacher`` interface of the engine."""

    def __init__(self, network: Network, size: tuple[int, int]) -> None:
        self.network = network.eval().requires_grad_(False)
        self.size = size
        self.layers = tuple(network.blocks)
        self.pooled_layer = network.pooled_layer
        self.batchnorm: Stats = {name: _running(norm) for name, norm in network.norms.items()}
        self.class_features: Stats = {}

    def features(self, images: Tensor, tap: Tap = "activation") -> tuple[Tensor, Mapping[str, Tensor]]:
        """Logits ``(B, C, H, W)`` at the images' size and layer → ``(B, D, h, w)`` at the layer's.

        Images in 0…1 of another size than the teacher's are resized to it (bilinear, antialiased), differentiably.
        ``activation`` is a block's output (after ReLU, where it ends in one), ``batchnorm_input`` what enters the
        BatchNorm it ends in: ModelError where it ends in none.
        """
        with tapped(self.network, tap, self.layers) as seen:
            logits = self.network(_fit(images, self.size))
        return _fit(logits, (images.shape[-1], images.shape[-2])), seen


def save_teacher(student: Student, pairs: Split, folder: Path, context: Context) -> None:
    """Writes the network and the statistics of its features over ``pairs``, which are those of the stored network."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(_slim(student.network.state_dict()), folder / "model.safetensors")
    about = {
        "evaluator": "torch",
        "arch": student.arch,
        "protocol": dict(student.protocol),
        "classes": list(context.dataset.classes),
        "dataset": {"name": context.dataset.name, "fingerprint": context.dataset.fingerprint},
        "layers": list(student.network.blocks),
        "pooled_layer": student.network.pooled_layer,
    }
    (folder / "teacher.json").write_text(json.dumps(about, indent=1) + "\n")
    teacher = _load_network(folder, context.device)
    stats = class_features(teacher, Resized(pairs, teacher.size), len(context.dataset.classes), context)
    save_file(_flatten(stats), folder / "class_features.safetensors")


def load_teacher(folder: Path, device: str) -> TorchTeacher:
    """Raises ModelError for a folder that is no teacher."""
    try:
        teacher = _load_network(folder, device)
        stored = load_file(folder / "class_features.safetensors")
        stored = {name: value.to(device) for name, value in stored.items()}  # a pretended GPU cannot be read onto
        teacher.class_features = {name: _class_stats(stored, name, teacher) for name in teacher.layers}
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError, UnknownNameError) as error:
        raise ModelError(_no_teacher(folder, error)) from error
    return teacher


def class_features(teacher: TorchTeacher, pairs: Resized, classes: int, context: Context) -> Stats:
    """Layer → mean and std over the pixels of each class, each ``(C, D) float32``; NaN for absent classes.

    Activations of the pairs as they are; masks are brought to a layer's resolution with nearest neighbour. Sums run
    in float64 over all pairs. The std is that of the population.
    """
    sums = {name: Moments(classes, width, context.device) for name, width in teacher.network.widths.items()}
    for first in range(0, len(pairs), BATCH):
        images, masks = pairs.batch(range(first, min(first + BATCH, len(pairs))), context.device)
        with torch.no_grad():
            seen = teacher.features(images)[1]
        for name, moments in sums.items():
            moments.add(seen[name], masks)
        context.progress(min(first + BATCH, len(pairs)), len(pairs), "class features")
    return {name: moments.stats() for name, moments in sums.items()}


class Moments:
    """Streaming sums of features by class, in float64."""

    def __init__(self, classes: int, channels: int, device: str) -> None:
        self.pixels = torch.zeros(classes, dtype=torch.float64, device=device)
        self.sum = torch.zeros(classes, channels, dtype=torch.float64, device=device)
        self.squares = torch.zeros_like(self.sum)

    def add(self, features: Tensor, masks: Tensor) -> None:
        """Adds features ``(B, D, h, w)`` under masks ``(B, H, W) int64``."""
        labels = F.interpolate(masks[:, None].double(), features.shape[-2:], mode="nearest-exact").long().flatten()
        rows = features.permute(0, 2, 3, 1).flatten(0, 2)[labels != IGNORE].double()
        labels = labels[labels != IGNORE]
        self.pixels.index_add_(0, labels, torch.ones_like(labels, dtype=torch.float64))
        self.sum.index_add_(0, labels, rows)
        self.squares.index_add_(0, labels, rows.square())

    def stats(self) -> tuple[Tensor, Tensor]:
        """Mean and std, each ``(C, D) float32``."""
        mean = self.sum / self.pixels[:, None]  # 0 / 0 is NaN: the class is absent
        variance = (self.squares / self.pixels[:, None] - mean.square()).clamp(min=0)
        return mean.float(), variance.sqrt().float()


def _load_network(folder: Path, device: str) -> TorchTeacher:
    about = json.loads((folder / "teacher.json").read_text())
    if about["evaluator"] != "torch":
        raise ValueError(f"it was made by the evaluator '{about['evaluator']}', not 'torch'")
    network = build_network(about["arch"], len(about["classes"]), about["protocol"])
    state = load_file(folder / "model.safetensors")
    network.load_state_dict(
        {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
    )
    width, height = about["protocol"]["size"]
    return TorchTeacher(network.to(device), (width, height))


def _class_stats(stored: Mapping[str, Tensor], name: str, teacher: TorchTeacher) -> tuple[Tensor, Tensor]:
    mean, std = stored[f"{name}.mean"], stored[f"{name}.std"]
    expected = (teacher.network.classes, teacher.network.widths[name])
    if mean.shape != expected or std.shape != expected:
        raise ValueError(f"class features of {name} are {tuple(mean.shape)}, not {expected}")
    return mean, std


def _no_teacher(folder: Path, error: Exception) -> str:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"no usable teacher in {folder} ({reason}): make one with 'd3s2bench train teacher --dataset NAME'"


def _slim(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights as float16, half the size on disk; the rest (BatchNorm statistics) as it is."""
    return {name: (value.half() if value.ndim > 1 else value).contiguous().cpu() for name, value in state.items()}


def _flatten(stats: Stats) -> dict[str, Tensor]:
    pairs: Iterable[tuple[str, tuple[Tensor, Tensor]]] = stats.items()
    return {
        f"{name}.{what}": value.cpu() for name, pair in pairs for what, value in zip(("mean", "std"), pair, strict=True)
    }


def _running(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    assert norm.running_mean is not None and norm.running_var is not None
    return norm.running_mean, norm.running_var


def _fit(x: Tensor, size: tuple[int, int]) -> Tensor:
    """``(B, D, h, w)`` at (width, height): bilinear, antialiased where it shrinks, differentiable."""
    if (x.shape[-1], x.shape[-2]) == size:
        return x
    return F.interpolate(x, (size[1], size[0]), mode="bilinear", align_corners=False, antialias=True)
