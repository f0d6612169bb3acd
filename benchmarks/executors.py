"""What the executors cost: overhead per no-op cell, planning and scanning large matrices, parallel efficiency of Ray.

python benchmarks/executors.py [noop] [scan] [scan100k] [ray]        (without names all but scan100k: two minutes)

The components are fakes of this file: one counts in Python for a fixed number of steps in place of training, so that a
cell is bound by the processor and by nothing else.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from d3s2bench import Budget, Component, Context, Counts, Json, MaskIndex, Selection, Split, api, hookimpl
from d3s2bench.config import make_config
from d3s2bench.execution.inline import Inline
from d3s2bench.execution.runner import Order, execute
from d3s2bench.planning.planner import Planner
from d3s2bench.workspace import Workspace

HERE = Path(__file__).resolve()


@dataclass(frozen=True)
class First:
    """The first images."""

    deterministic: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ()

    def select(self, index: MaskIndex, budget: Budget, context: Context) -> Selection:
        return Selection(np.arange(budget.images))


@dataclass(frozen=True)
class Busy:
    """Counts for a while in place of training; predicts class 0."""

    steps: int = 0

    needs: ClassVar[tuple[str, ...]] = ()

    def architectures(self) -> tuple[str, ...]:
        return ("none",)

    def protocol(self, arch: str, size: tuple[int, int]) -> dict[str, Any]:
        return {"iterations": 1, "converged_iterations": 1, "size": list(size)}

    def train(self, pairs: Split, arch: str, protocol: Json, context: Context) -> int:
        count = 0
        while count < self.steps:
            count += 1
        return 0

    def evaluate(self, model: int, split: Split, protocol: Json, context: Context) -> Counts:
        classes = len(context.dataset.classes)
        return Counts(np.ones((len(split), classes, classes), np.int64))


@hookimpl
def register_selectors() -> list[Component]:
    return [Component("selector", "bench-first", "executors:First", "")]


@hookimpl
def register_evaluators() -> list[Component]:
    return [Component("evaluator", "bench-busy", "executors:Busy", "")]


def install(place: Path) -> Path:
    """These components for this process and its workers, and a dataset of four small images per split."""
    info = place / "site" / "bench_executors-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bench_executors\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[d3s2bench]\nbench_executors = executors\n")
    sys.path[:0] = paths = [str(place / "site"), str(HERE.parent)]
    os.environ["PYTHONPATH"] = os.pathsep.join([*paths, *filter(None, [os.environ.get("PYTHONPATH")])])
    data = place / "data"
    for split in ("train", "test"):
        for part in ("images", "annotations"):
            (data / part / split).mkdir(parents=True)
        for i in range(4):
            Image.fromarray(np.full((24, 32, 3), i, np.uint8)).save(data / "images" / split / f"{i}.png")
            Image.fromarray(np.full((24, 32), i % 2, np.uint8)).save(data / "annotations" / split / f"{i}.png")
    (data / "classes.json").write_text(json.dumps({"classes": ["a", "b"]}))
    return data


def config(data: Path, out: Path, seeds: int, steps: int = 0, **given: Any) -> Any:
    plain = {"dataset": "bench", "data_root": {"bench": str(data)}, "out": str(out), "rate": 0.5, "synth": "real"}
    plain |= {"selector": "bench-first", "evaluator": "bench-busy", "arch": "none", "controls": "none"}
    options = {"evaluator": {"bench-busy": {"steps": steps}}}
    return make_config(plain | {"seed": list(range(seeds)), "wandb": "disabled", "options": options} | given)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def planned(made: Any) -> tuple[Any, Workspace]:
    workspace = Workspace.of(made)
    workspace.store.prepare()
    return Planner(made, workspace).matrix(), workspace


# --- measurements ----------------------------------------------------------------------------------------------------


def noop(data: Path, place: Path, cells: int = 200) -> None:
    """Overhead per cell: all it takes beyond the first, which imports torch."""
    plans = [planned(config(data, place / f"noop{count}", count)) for count in (1, cells + 1)]
    one, all_of_them = (timed(partial(execute, *plan, Order(Inline(), 1, 1), lambda node: None))[0] for plan in plans)
    print(f"inline, no-op cells: {1000 * (all_of_them - one) / cells:.1f} ms per cell (aim: 30)")


def scan(data: Path, place: Path, cells: int = 10_000) -> None:
    """Planning, then finding out what is left when all records are there; ten times the cells may take ten times as
    long."""
    aim, out = f"(aim: {2 * cells // 10_000})", place / f"scan{cells}"
    made = config(data, out, cells)
    took, (plan, workspace) = timed(lambda: planned(made))
    print(f"planning {cells} cells: {took:.2f} s {aim}")
    one = config(data, out, 1)
    execute(*planned(one), Order(Inline(), 1, 1), lambda node: None)
    (record,) = (out / "records").glob("*.json")
    text = record.read_text()
    for key in plan.records:
        (record.parent / f"{key[:16]}.json").write_text(text.replace(record.stem, key[:16]))
    took, left = timed(lambda: plan.remaining(workspace.store))
    assert not left
    print(f"scanning the store of {cells} cells: {took:.2f} s {aim}")


def ray(data: Path, place: Path, cells: int = 8, cell_seconds: float = 2.0) -> None:
    """CPU-bound cells on two cores: against inline with one worker and with two.

    In turn, there and back again, each at its best, and per cell once both workers are at it: so the start of Ray and
    of the workers is apart. Where others keep the machine busy, two workers get less than twice of what one gets, and
    the ratio of ray to inline with two is what says something of ray.
    """
    steps = int(2e6 * cell_seconds / timed(lambda: Busy(2_000_000).train(None, "", {}, None))[0])  # type: ignore[arg-type]
    best: dict[tuple[str, int], float] = {}
    turns = [("inline", 2), ("ray", 2), ("inline", 1), ("ray", 2), ("inline", 2)]
    for i, (name, workers) in enumerate(turns):
        made = config(data, place / f"turn{i}", cells, steps, executor=name, workers=workers)
        whole, each = measured(made, workers)
        best[name, workers] = min(each, best.get((name, workers), each))
        load = os.getloadavg()[0]
        print(f"{name}, {workers} workers, {cells} cells: {whole:.1f} s, then {each:.2f} s per cell (load {load:.1f})")
    alone, both, on_ray = best["inline", 1], best["inline", 2], best["ray", 2]
    print(f"parallel efficiency on 2 cores: ray {alone / 2 / on_ray:.2f} (aim: 0.85), inline {alone / 2 / both:.2f}")
    print(f"ray has {both / on_ray:.2f} of the throughput of inline with as many workers")


def measured(made: Any, workers: int) -> tuple[float, float]:
    """Seconds from the first stage to the table, and per cell after the first of each worker."""
    moments: dict[str, list[float]] = {"began": [], "record": [], "table": []}
    api.run(made, lambda event: moments.get(event.name, []).append(time.perf_counter()))
    records = moments["record"][workers - 1 :]
    return moments["table"][0] - moments["began"][0], (records[-1] - records[0]) / (len(records) - 1)


MEASUREMENTS = {"noop": noop, "scan": scan, "scan100k": partial(scan, cells=100_000), "ray": ray}


def main() -> None:
    asked = sys.argv[1:] or ["noop", "scan", "ray"]
    with tempfile.TemporaryDirectory() as folder:
        data = install(Path(folder))
        for name in asked:
            MEASUREMENTS[name](data, Path(folder))


if __name__ == "__main__":
    main()
