"""Components that show what the engine does with good and bad ones, and distributions that bring them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from d3s2bench import Budget, Component, Context, Counts, Json, MaskIndex, Sample, Selection, Split, hookimpl
from d3s2bench.config import RunConfig, make_config
from d3s2bench.planning.planner import Planner
from d3s2bench.plugins import Registered, Registry
from d3s2bench.workspace import Workspace


def distribution(site: Path, name: str, source: str, version: str = "1.0") -> None:
    """An installed distribution: a module ``name`` with ``source``, named by an entry point."""
    info = site / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[d3s2bench]\n{name} = {name}\n")
    (site / f"{name}.py").write_text(source)


def environment(*sites: Path) -> dict[str, str]:
    """The environment of a process that finds these fakes and what lies in ``sites``."""
    found = [*map(str, sites), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    return dict(os.environ) | {"PYTHONPATH": os.pathsep.join(filter(None, found))}


@hookimpl
def register_selectors() -> list[Component]:
    return [
        Component("selector", name, f"engine_fakes:{cls}", "A fake")
        for name, cls in {
            "first": "First",
            "fails": "Fails",
            "quits": "Quits",
            "killed": "Killed",
            "greedy": "Greedy",
            "loud": "Loud",
        }.items()
    ]


@hookimpl
def register_synthesizers() -> list[Component]:
    return [
        Component("synthesizer", "noisy", "engine_fakes:Noisy", "A fake"),
        Component("synthesizer", "layout", "engine_fakes:Noisy", "A fake"),
        Component("synthesizer", "blend", "engine_fakes:Blend", "A fake"),
        Component("synthesizer", "taught", "engine_fakes:Taught", "A fake"),
    ]


@hookimpl
def register_evaluators() -> list[Component]:
    return [Component("evaluator", "majority", "engine_fakes:Majority", "A fake")]


def fake_registry(version: str = "1.0") -> Registry:
    """The fakes beside what the plan's controls need."""
    ours = [
        Component("selector", "random", "d3s2bench_selectors.random:Random", ""),
        Component("synthesizer", "real", "d3s2bench_synthesizers.real:Real", ""),
        Component("dataset", "folder", "d3s2bench.datasets.folder:Folder", ""),
        Component("executor", "inline", "d3s2bench.execution.inline:Inline", ""),
    ]
    fakes = [*register_selectors(), *register_synthesizers(), *register_evaluators()]
    found = [Registered(c, "d3s2bench", "1.0") for c in ours] + [Registered(c, "fakes", version) for c in fakes]
    return Registry(found)


def use_fakes(monkeypatch: pytest.MonkeyPatch, version: str = "1.0") -> None:
    """This process then has the fakes and nothing else."""
    fakes = fake_registry(version)
    monkeypatch.setattr("d3s2bench.workspace.registry", lambda files: fakes)


def fake_config(tiny: Path, out: Path, **given: Any) -> RunConfig:
    """The fake method on the tiny dataset; ``given`` overrides."""
    plain = {"dataset": "tiny", "data_root": {"tiny": str(tiny)}, "out": str(out), "rate": 0.2}
    plain |= {"selector": "first", "synth": "real", "evaluator": "majority", "teacher_evaluator": "majority"}
    plain |= {"arch": "flat", "controls": "none"}
    return make_config(plain | given)


def planner_of(config: RunConfig) -> Planner:
    workspace = Workspace.of(config)
    workspace.store.prepare()
    return Planner(config, workspace)


def install_fakes(monkeypatch: pytest.MonkeyPatch, site: Path) -> None:
    """Worker processes then have the fakes beside all that is installed."""
    hooks = "register_selectors, register_synthesizers, register_evaluators"
    distribution(site, "fakes", f"from engine_fakes import {hooks}\n")
    monkeypatch.setenv("PYTHONPATH", environment(site)["PYTHONPATH"])


# --- components ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class First:
    """Takes the first masks from ``offset`` on."""

    offset: int = 0

    deterministic: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ()

    def select(self, index: MaskIndex, budget: Budget, context: Context) -> Selection:
        return Selection(np.arange(budget.images) + self.offset)


WENT_WRONG = r"RuntimeError: it went wrong \(engine_fakes\.py:\d+, traceback in logs/worker[\w.-]*\.log\)"
"""What a run says of ``fails``."""


@dataclass(frozen=True)
class Fails(First):
    def select(self, index: MaskIndex, budget: Budget, context: Context) -> Selection:
        raise RuntimeError("it went\nwrong")


@dataclass(frozen=True)
class Quits(First):
    def select(self, index: MaskIndex, budget: Budget, context: Context) -> Selection:
        raise SystemExit(3)


@dataclass(frozen=True)
class Killed(First):
    """Kills its own process as long as the file ``lives`` has a line left, as the system does when memory is short."""

    lives: str = ""

    def select(self, index: MaskIndex, budget: Budget, context: Context) -> Selection:
        left = Path(self.lives).read_text().splitlines()
        if left:
            Path(self.lives).write_text("\n".join(left[1:]))
            os.kill(os.getpid(), signal.SIGKILL)
        return super().select(index, budget, context)


@dataclass(frozen=True)
class Greedy(First):
    """Chooses one too many."""

    def select(self, index: MaskIndex, budget: Budget, context: Context) -> Selection:
        return Selection(np.arange(budget.images + 1))


@dataclass(frozen=True)
class Loud(First):
    """Prints what looks like an answer, and lets a child process print."""

    def select(self, index: MaskIndex, budget: Budget, context: Context) -> Selection:
        print(json.dumps({"error": "none"}), flush=True)
        subprocess.run(["echo", "from a child"], check=True)
        return super().select(index, budget, context)


@dataclass(frozen=True)
class Noisy:
    """The photographs with noise that depends on the seed and the number of the sample."""

    strength: float = 8.0
    size: tuple[int, int] = (32, 24)

    deterministic: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ()
    sources_per_image: ClassVar[int] = 1
    preserves_mask: ClassVar[bool] = True
    generative: ClassVar[bool] = True

    def synthesize(self, selection: Selection, context: Context, start: int = 0) -> Iterator[Sample]:
        train = context.dataset.split("train")
        for k in range(start, len(selection.indices)):
            i = int(selection.indices[k])
            noise = np.random.default_rng([context.seed, k]).normal(0, self.strength, train.image(i).shape)
            yield Sample(np.clip(train.image(i) + noise, 0, 255).astype(np.uint8), train.mask(i), (i,))


@dataclass(frozen=True)
class Taught(Noisy):
    needs: ClassVar[tuple[str, ...]] = ("teacher",)


@dataclass(frozen=True)
class Blend:
    """The mean of ``sources`` photographs, with the mask of the first."""

    sources: int = 2

    deterministic: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ()
    preserves_mask: ClassVar[bool] = True
    generative: ClassVar[bool] = False

    @property
    def sources_per_image(self) -> int:
        return self.sources

    def synthesize(self, selection: Selection, context: Context, start: int = 0) -> Iterator[Sample]:
        train = context.dataset.split("train")
        for k in range(start, len(selection.indices) // self.sources):
            chosen = [int(i) for i in selection.indices[k * self.sources : (k + 1) * self.sources]]
            image = np.mean([train.image(i) for i in chosen], axis=0).astype(np.uint8)
            yield Sample(image, train.mask(chosen[0]), tuple(chosen))


@dataclass(frozen=True)
class Majority:
    """Learns the most frequent class and predicts it everywhere."""

    labels: str = "hard"

    needs: ClassVar[tuple[str, ...]] = ()

    def architectures(self) -> tuple[str, ...]:
        return ("flat", "deep")

    def protocol(self, arch: str, size: tuple[int, int]) -> dict[str, Any]:
        return {"iterations": 5, "converged_iterations": 9, "size": list(size), "rate": 0.1}

    def train(self, pairs: Split, arch: str, protocol: Json, context: Context) -> int:
        counts = sum(np.bincount(pairs.mask(i).ravel(), minlength=256)[:255] for i in range(len(pairs)))
        return int(np.argmax(counts))

    def evaluate(self, model: int, split: Split, protocol: Json, context: Context) -> Counts:
        confusion = np.zeros((len(split), len(context.dataset.classes), len(context.dataset.classes)), np.int64)
        for i in range(len(split)):
            confusion[i, :, model] = np.bincount(split.mask(i).ravel(), minlength=256)[: confusion.shape[1]]
        return Counts(confusion)

    def save_teacher(self, model: int, pairs: Split, folder: Path, context: Context) -> None:
        (folder / "teacher.json").write_text(json.dumps({"dataset": context.dataset.name}))


# --- records ---------------------------------------------------------------------------------------------------------


def spec(**changes: Any) -> dict[str, Any]:
    """The spec of a record with two classes."""
    component = {"name": "first", "options": {"offset": 0}, "version": "1.0"}
    plain: dict[str, Any] = {
        "dataset": {
            "name": "tiny",
            "fingerprint": "0" * 64,
            "split": "test",
            "classes": ["sky", "ground", "box"],
            "options": {},
        },
        "selector": component,
        "synth": component | {"name": "noisy"},
        "evaluator": component | {"name": "majority"},
        "arch": "flat",
        "rate": 0.2,
        "seed": 0,
        "protocol": {"iterations": 5, "converged_iterations": 9},
        "protocol_hash": "1" * 64,
    }
    return plain | changes


def provenance(**changes: Any) -> dict[str, Any]:
    nothing: Mapping[str, None] = dict.fromkeys(("teacher", "generator", "distilled", "selection", "command", "commit"))
    return {**nothing, "seeds": {"select": 1, "synthesise": 2, "train": 3}, **changes}
