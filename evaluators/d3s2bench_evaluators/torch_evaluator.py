"""The evaluator ``torch``: students in plain torch, trained from random initialisation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d3s2bench import ConfigError, Context, Counts, Json, Split, Teacher
from d3s2bench_evaluators.protocol import RECIPES, default_protocol

if TYPE_CHECKING:
    from d3s2bench_evaluators.training import Student


@dataclass(frozen=True)
class Torch:
    """Trains a student with hard labels, or with the teacher's soft ones on the same augmented image.

    Soft labels (``labels="soft"``, Hinton et al. 2015) replace the class of each labelled pixel by the teacher's
    softmax at ``temperature``; ignored pixels stay ignored.
    """

    labels: str = "hard"
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.labels not in ("hard", "soft"):
            raise ConfigError(f"evaluator torch: labels is '{self.labels}', must be 'hard' or 'soft'")
        if not self.temperature > 0:
            raise ConfigError(f"evaluator torch: temperature is {self.temperature:g}, must be above 0")

    @property
    def needs(self) -> tuple[str, ...]:
        return ("teacher",) if self.labels == "soft" else ()

    def architectures(self) -> tuple[str, ...]:
        return tuple(RECIPES)

    def protocol(self, arch: str, size: tuple[int, int]) -> dict[str, Any]:
        return default_protocol(arch, size)

    def train(self, pairs: Split, arch: str, protocol: Json, context: Context) -> Student:
        from d3s2bench_evaluators.losses import HardLabels, SoftLabels
        from d3s2bench_evaluators.training import train

        loss = SoftLabels(context.teacher, self.temperature) if self.labels == "soft" else HardLabels()
        return train(pairs, arch, protocol, loss, context)

    def evaluate(self, model: Student, split: Split, protocol: Json, context: Context) -> Counts:
        from d3s2bench_evaluators.counting import count

        return count(model.network, split, protocol, context)

    def save_teacher(self, model: Student, pairs: Split, folder: Path, context: Context) -> None:
        from d3s2bench_evaluators.teacher import save_teacher

        save_teacher(model, pairs, folder, context)

    def load_teacher(self, folder: Path, device: str) -> Teacher:
        from d3s2bench_evaluators.teacher import load_teacher

        return load_teacher(folder, device)
