"""What guidance costs: processor seconds per image without, with, and with the gradient through the generator.

    python benchmarks/guidance_cost.py [--images 20] [--steps 25] [--generator FOLDER] [--teacher FOLDER]

One thread; scenes' validation masks; the shipped models unless others are named. The ratios are the message: the
seconds depend on the machine.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

os.environ.update({"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"})

import numpy as np
import torch

from d3s2bench import Context, Selection, Split
from d3s2bench.datasets.scenes import Scenes
from d3s2bench_evaluators.torch_evaluator import Torch
from d3s2bench_synthesizers.guided import Guided
from d3s2bench_synthesizers.layout import Layout
from d3s2bench_synthesizers.pixel_family import PixelFamily


class Validation(Scenes):
    """Scenes whose masks to paint are those of its validation split."""

    def split(self, name: str) -> Split:
        return super().split("val" if name == "train" else name)


def main() -> None:
    options = arguments()
    context = Context(
        Validation(options.cache),
        load_generator=lambda: PixelFamily().load(options.generator, "cpu"),
        load_teacher=lambda: Torch().load_teacher(options.teacher, "cpu"),
    )
    ways = {
        "unguided": Layout(steps=options.steps),
        "guided, gradient to the clean estimate": Guided(steps=options.steps, through_generator=False),
        "guided, gradient through the generator": Guided(steps=options.steps, through_generator=True),
    }
    selection = Selection(np.arange(options.images))
    seconds = {name: timed(way.synthesize(selection, context)) / options.images for name, way in ways.items()}
    for name, each in seconds.items():
        print(f"{name:40s} {each:6.2f} s/image  {each / seconds['unguided']:5.2f} x")


def timed(samples: Iterable[object]) -> float:
    """Processor seconds that making all of them takes: other work on the machine changes them little."""
    started = time.process_time()
    for _ in samples:
        pass
    return time.process_time() - started


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "d3s2bench")
    assets = Scenes(Path()).assets or Path()
    parser.add_argument("--generator", type=Path, default=assets / "generator")
    parser.add_argument("--teacher", type=Path, default=assets / "teacher")
    torch.set_num_threads(1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
