"""How long to train: validation mIoU of a random 1 % and of all of Scenes against the number of iterations.

    python benchmarks/iteration_budget.py --archs unet deeplab --iterations 150 300 600 1200 2400 --seeds 0 1

Every point is a training of its own, because the learning rate falls to zero at its end. Writes
``iteration_budget.json`` (and goes on from it), ``.md`` and, where matplotlib is installed, ``.png`` into ``--out``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch

from d3s2bench import Budget, Context, Split, derive_seed, scores
from d3s2bench.datasets.held_out import Part
from d3s2bench.datasets.scenes import SIZE, Scenes
from d3s2bench_evaluators.torch_evaluator import Torch

RATE = 0.01


@dataclass(frozen=True)
class Point:
    """One training: what was trained on what for how long, what came of it and the CPU time it took."""

    arch: str
    data: str
    seed: int
    iterations: int
    miou: float
    seconds: float


def measure(dataset: Scenes, arch: str, data: str, seed: int, iterations: int) -> Point:
    """Trains once and scores on the validation split."""
    start = time.process_time()
    evaluator = Torch()
    protocol = evaluator.protocol(arch, SIZE) | {"iterations": iterations}
    with tempfile.TemporaryDirectory() as folder:
        context = Context(dataset, seed=derive_seed("train", seed), workdir=Path(folder))
        model = evaluator.train(pairs(dataset, data, seed), arch, protocol, context)
        counts = evaluator.evaluate(model, dataset.split("val"), protocol, context)
    return Point(arch, data, seed, iterations, scores(counts.total)["miou"], time.process_time() - start)


def pairs(dataset: Scenes, data: str, seed: int) -> Split:
    """All of the train split, or a random 1 % of it."""
    train = dataset.split("train")
    if data == "full":
        return train
    budget = Budget.from_rate(RATE, len(train))
    draws = np.random.default_rng(derive_seed("select", seed))
    return Part(train, tuple(draws.choice(len(train), budget.images, replace=False).tolist()))


def plan(options: argparse.Namespace) -> Iterator[tuple[str, str, int, int]]:
    """Short trainings first, so that a stopped benchmark shows the beginning of every curve."""
    for iterations, arch, data, seed in product(options.iterations, options.archs, options.data, options.seeds):
        if data == "random" or seed < options.full_seeds:
            yield arch, data, seed, iterations


def table(points: Iterable[Point]) -> str:
    """Markdown: a row for each curve, mean ± standard deviation over seeds for each number of iterations."""
    points = list(points)
    budgets = sorted({p.iterations for p in points})
    lines = ["| architecture | data | " + " | ".join(map(str, budgets)) + " | CPU s / 100 iterations |"]
    lines.append("|---|---|" + "---|" * (len(budgets) + 1))
    for arch, data in sorted({(p.arch, p.data) for p in points}):
        curve = [p for p in points if (p.arch, p.data) == (arch, data)]
        cells = [cell([p.miou for p in curve if p.iterations == k]) for k in budgets]
        speed = statistics.median(100 * p.seconds / p.iterations for p in curve)
        lines.append(f"| {arch} | {data} | " + " | ".join(cells) + f" | {speed:.1f} |")
    return "\n".join(lines) + "\n"


def cell(values: Sequence[float]) -> str:
    if len(values) < 2:
        return f"{values[0]:.1f}" if values else ""
    return f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}"


def draw(points: Iterable[Point], file: Path) -> None:
    """The curves as a picture; nothing where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("matplotlib is not installed: no picture")
        return
    points = list(points)
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for arch, data in sorted({(p.arch, p.data) for p in points}):
        curve = [p for p in points if (p.arch, p.data) == (arch, data)]
        budgets = sorted({p.iterations for p in curve})
        means = [statistics.mean(p.miou for p in curve if p.iterations == k) for k in budgets]
        axes.plot(budgets, means, "-o" if data == "full" else "--o", label=f"{arch}, {data}")
    axes.set(xscale="log", xlabel="iterations", ylabel="mIoU on val (%)", title="Scenes, 96×64")
    ticks = sorted({p.iterations for p in points})
    axes.set_xticks(ticks, [str(k) for k in ticks])
    axes.minorticks_off()
    axes.legend()
    figure.savefig(file, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archs", nargs="+", default=["unet", "deeplab"])
    parser.add_argument("--data", nargs="+", default=["random", "full"], choices=["random", "full"])
    parser.add_argument("--iterations", nargs="+", type=int, default=[150, 300, 600, 1200, 2400])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--full-seeds", type=int, default=1, help="train on everything for seeds below this only")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "d3s2bench")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "iteration_budget.json"
    points = [Point(**entry) for entry in json.loads(file.read_text())] if file.exists() else []
    done = {(p.arch, p.data, p.seed, p.iterations) for p in points}
    for job in plan(options):
        if job not in done:
            points.append(measure(Scenes(cache=options.cache), *job))
            print(points[-1], flush=True)
            file.write_text(json.dumps([asdict(p) for p in points], indent=1) + "\n")
    file.with_suffix(".md").write_text(table(points))
    draw(points, file.with_suffix(".png"))
    print(table(points))


if __name__ == "__main__":
    main()
