"""The evaluator ``torch``: students without compiled operations, from random initialisation or from a backbone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d3s2bench import ConfigError, Context, Counts, Json, Split, Teacher
from d3s2bench_evaluators.protocol import architectures, completed, dataset_recipe, default_protocol

if TYPE_CHECKING:
    from d3s2bench_evaluators.batches import Resized
    from d3s2bench_evaluators.losses import Loss
    from d3s2bench_evaluators.networks import Network
    from d3s2bench_evaluators.training import Student

LABELS = ("hard", "soft", "wdpd", "attnfd")


@dataclass(frozen=True)
class Torch:
    """Trains a student with hard labels, or with what a teacher makes of the same augmented image. ``labels`` is

    - ``hard``: the classes of the mask;
    - ``soft``: the teacher's softmax at ``temperature`` in each labelled pixel (Hinton et al. 2015); ignored pixels
      stay ignored;
    - ``wdpd``: soft labels, images that are typical for the teacher first; all count in full after the share ``ramp``
      of the iterations, see the module ``wdpd``;
    - ``attnfd``: hard labels, and features as the teacher's with the weight ``alpha``, see the module ``attnfd``.
    """

    labels: str = "hard"
    temperature: float = 1.0
    ramp: float = 0.5
    alpha: float = 2.0

    def __post_init__(self) -> None:
        if self.labels not in LABELS:
            raise ConfigError(f"evaluator torch: labels is '{self.labels}', must be one of {', '.join(LABELS)}")
        if not self.temperature > 0:
            raise ConfigError(f"evaluator torch: temperature is {self.temperature:g}, must be above 0")
        if not 0 < self.ramp <= 1:
            raise ConfigError(f"evaluator torch: ramp is {self.ramp:g}, must be above 0 and at most 1")
        if not 0 <= self.alpha < float("inf"):
            raise ConfigError(f"evaluator torch: alpha is {self.alpha:g}, must be at least 0, and finite")

    @property
    def needs(self) -> tuple[str, ...]:
        return () if self.labels == "hard" else ("teacher",)

    def architectures(self) -> tuple[str, ...]:
        return architectures()

    def protocol(self, arch: str, size: tuple[int, int]) -> dict[str, Any]:
        return default_protocol(arch, size)

    def dataset_recipe(self, arch: str, dataset: str) -> dict[str, Any]:
        """What the published recipe of an architecture changes for a dataset: its crop (``size``), its iterations."""
        return dataset_recipe(arch, dataset)

    def completed(self, arch: str, protocol: Json) -> dict[str, Any]:
        """A protocol whose overrides are in place, with what they leave open: a backbone's digest, the rest of a
        network's values. Raises ConfigError or ModelError."""
        return completed(arch, protocol)

    def train(self, pairs: Split, arch: str, protocol: Json, context: Context) -> Student:
        from d3s2bench_evaluators.training import train

        return train(pairs, arch, protocol, self._loss, context)

    def _loss(self, network: Network, pairs: Resized, context: Context) -> Loss:
        from d3s2bench_evaluators.attnfd import attnfd
        from d3s2bench_evaluators.losses import HardLabels, SoftLabels
        from d3s2bench_evaluators.wdpd import wdpd

        match self.labels:
            case "soft":
                return SoftLabels(context.teacher, self.temperature)
            case "wdpd":
                return wdpd(context.teacher, self.temperature, pairs, self.ramp, context)
            case "attnfd":
                return attnfd(context.teacher, network, self.alpha, context)
        return HardLabels()

    def evaluate(self, model: Student, split: Split, protocol: Json, context: Context) -> Counts:
        from d3s2bench_evaluators.counting import count

        return count(model.network, split, protocol, context)

    def save_teacher(self, model: Student, pairs: Split, folder: Path, context: Context) -> None:
        from d3s2bench_evaluators.teacher import save_teacher

        save_teacher(model, pairs, folder, context)

    def load_teacher(self, folder: Path, device: str) -> Teacher:
        from d3s2bench_evaluators.teacher import load_teacher

        return load_teacher(folder, device)
