"""Pixels per second of the confusion counts beside their peers, and whether the mIoU that follows is theirs.

    python benchmarks/confusion_speed.py [--rounds 9]

One thread, processor seconds, the same tensors for all: label maps as an evaluation has them, int64 with 255 for
ignored pixels. In each round all ways count one after the other; a ratio is the median over the rounds.

- torchmetrics (where it is installed): ``multiclass_confusion_matrix``, with its validation of arguments and without.
- mmseg: ``IoUMetric.intersect_and_union``, its three histograms by ``torch.histc`` written down again; and the original
  where D3S2BENCH_MMSEG_PYTHON names an interpreter that has it.
- detectron2: the ``bincount`` of ``SemSegEvaluator.process`` written down again.

detectron2's mIoU must be our ``miou``, mmseg's our ``miou_mmseg``, on pixels drawn at random and on cases made to tell
definitions apart: a class that is only predicted, one that is never predicted, one class alone, all but a row ignored.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

os.environ.update({"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"})

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from d3s2bench import IGNORE, scores
from d3s2bench_evaluators.counting import confusion
from d3s2bench_evaluators.mmseg_evaluator import Mmseg
from d3s2bench_evaluators.tool_scripts import openmmlab

SIZES = {"1 × 512×512, 150 classes": (1, 512, 512, 150), "64 × 64×96, 16 classes": (64, 64, 96, 16)}
ROUNDING = 1e-4
"""Of percentages: mmseg divides in float32."""
Way: TypeAlias = Callable[[Tensor, Tensor, int], Any]
"""Counts truth and prediction ``(B, H, W) int64`` of so many classes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, original_mmseg(Path(folder)) as original:
        for title, size in SIZES.items():
            for kind, make in {"at random": at_random, "regions": regions}.items():
                truth, predicted = make(*size)
                ways = peers() | ({"mmseg, the original": original.timed} if original else {})
                report(f"{title}, {kind}", *speeds(ways, truth, predicted, size[-1], rounds))
        for name, (truth, predicted) in cases().items():
            agree(name, truth, predicted, 8, original)


# --- the ways --------------------------------------------------------------------------------------------------------


def peers() -> dict[str, Way]:
    return {"ours": confusion} | torchmetrics() | {"mmseg, written down again": areas, "detectron2": bincount}


def torchmetrics() -> dict[str, Way]:
    try:
        from torchmetrics.functional.classification import multiclass_confusion_matrix as count
    except ImportError:
        return {}
    return {
        "torchmetrics": lambda truth, said, classes: count(said, truth, classes, ignore_index=IGNORE),
        "torchmetrics, not validated": lambda truth, said, classes: count(
            said, truth, classes, ignore_index=IGNORE, validate_args=False
        ),
    }


def areas(truth: Tensor, predicted: Tensor, classes: int) -> NDArray[np.float64]:
    """``(3, C)``: intersection, pixels predicted, pixels of the truth, over all images."""
    return sum(each_areas(*pair, classes) for pair in zip(truth, predicted, strict=True))  # type: ignore[return-value]


def each_areas(truth: Tensor, predicted: Tensor, classes: int) -> NDArray[np.float64]:
    labelled = truth != IGNORE
    truth, predicted = truth[labelled], predicted[labelled]
    found = (predicted[predicted == truth], predicted, truth)
    return np.stack([torch.histc(x.float(), bins=classes, min=0, max=classes - 1).double().numpy() for x in found])


def bincount(truth: Tensor, predicted: Tensor, classes: int) -> NDArray[np.int64]:
    """``(C + 1, C + 1)``, rows = prediction; the last column is ignored pixels."""
    total = np.zeros((classes + 1, classes + 1), np.int64)
    for known, said in zip(truth.numpy(), predicted.numpy(), strict=True):
        known = np.where(known == IGNORE, classes, known)
        found = np.bincount((classes + 1) * said.reshape(-1) + known.reshape(-1), minlength=total.size)
        total += found.reshape(total.shape)
    return total


class Original:
    """``IoUMetric`` in the interpreter that has it; label maps go there as a file."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self.process, self.folder = process, folder

    def asked(self, truth: Tensor, predicted: Tensor, classes: int) -> dict[str, float]:
        np.savez(self.folder / "pair.npz", truth=truth.numpy(), predicted=predicted.numpy())
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"{self.folder / 'pair.npz'} {classes}\n")
        self.process.stdin.flush()
        found: dict[str, float] = json.loads(self.process.stdout.readline())
        return found

    def timed(self, truth: Tensor, predicted: Tensor, classes: int) -> float:
        return self.asked(truth, predicted, classes)["seconds"]


ORIGINAL = """
import json, os, runpy, sys, time
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
import numpy as np, torch
torch.set_num_threads(1)
runpy.run_path(sys.argv[1])["import_operations"]()
from mmseg.evaluation.metrics import IoUMetric
for line in sys.stdin:
    file, classes = line.split()
    pair = np.load(file)
    truth, said = torch.from_numpy(pair["truth"]), torch.from_numpy(pair["predicted"])
    started = time.process_time()
    areas = [IoUMetric.intersect_and_union(*each, int(classes), 255) for each in zip(said, truth)]
    seconds = time.process_time() - started
    total = [sum(each) for each in zip(*areas)]
    ious = IoUMetric.total_area_to_metrics(*total, ["mIoU"])["IoU"]
    answers.write(json.dumps({"seconds": seconds, "miou": 100 * float(np.nanmean(ious))}) + "\\n")
    answers.flush()
"""


@contextmanager
def original_mmseg(folder: Path) -> Iterator[Original | None]:
    """None without D3S2BENCH_MMSEG_PYTHON."""
    if not (python := os.environ.get(Mmseg.PYTHON)):
        yield None
        return
    command = [python, "-c", ORIGINAL, str(openmmlab.__file__)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as process:
        yield Original(process, folder)
        assert process.stdin
        process.stdin.close()


# --- speed -----------------------------------------------------------------------------------------------------------


def at_random(images: int, height: int, width: int, classes: int) -> tuple[Tensor, Tensor]:
    """Pixels that do not depend on each other; some 3 % are ignored."""
    draw = np.random.default_rng(0)
    truth, predicted = (draw.integers(0, classes, (images, height, width)) for _ in range(2))
    truth[draw.random(truth.shape) < 0.03] = IGNORE
    return torch.from_numpy(truth), torch.from_numpy(predicted)


def regions(images: int, height: int, width: int, classes: int) -> tuple[Tensor, Tensor]:
    """Squares of 16 pixels, predicted a little beside their place; the upper edge is ignored."""
    draw = np.random.default_rng(0)
    truth = draw.integers(0, classes, (images, height // 16, width // 16)).repeat(16, 1).repeat(16, 2)
    predicted = np.roll(truth, (3, 5), (1, 2))
    truth[:, : height // 32] = IGNORE
    return torch.from_numpy(truth), torch.from_numpy(predicted)


def speeds(ways: dict[str, Way], truth: Tensor, predicted: Tensor, classes: int, rounds: int) -> tuple[int, Any]:
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            started = time.process_time()
            told = way(truth, predicted, classes)
            found[name].append(told if isinstance(told, float) else time.process_time() - started)
    return truth.numel(), found


def report(title: str, pixels: int, found: dict[str, list[float]]) -> None:
    print(title)
    for name, seconds in found.items():
        ratio = statistics.median(other / own for own, other in zip(found["ours"], seconds, strict=True))
        print(f"  {name:28}{pixels / statistics.median(seconds) / 1e6:8.0f} million pixels/s   ours {ratio:6.2f} ×")
    sys.stdout.flush()


# --- mIoU ------------------------------------------------------------------------------------------------------------


def cases() -> dict[str, tuple[Tensor, Tensor]]:
    """Of eight classes."""
    draw = np.random.default_rng(1)
    truth, predicted = at_random(4, 40, 60, 8)
    few = torch.from_numpy(draw.integers(0, 5, (4, 40, 60)))
    row, one = torch.full_like(truth, IGNORE), torch.full_like(truth, 3)
    row[:, 7] = truth[:, 7]
    return {
        "at random": (truth, predicted),
        "classes that are only predicted": (few, predicted),
        "classes that are never predicted": (truth, few),
        "one class alone, right": (one, one),
        "one class alone, wrong": (one, torch.zeros_like(one)),
        "all but a row ignored": (row, predicted),
    }


def agree(name: str, truth: Tensor, predicted: Tensor, classes: int, original: Original | None) -> None:
    """Prints the definitions side by side. Raises RuntimeError where ours is not theirs."""
    ours = scores(confusion(truth, predicted, classes).sum(0))
    pairs = {
        "detectron2": (ours["miou"], detectron2_miou(bincount(truth, predicted, classes))),
        "mmseg": (ours["miou_mmseg"], mmseg_miou(areas(truth, predicted, classes))),
    }
    if original:
        pairs["mmseg, the original"] = (ours["miou_mmseg"], original.asked(truth, predicted, classes)["miou"])
    told = (f"{tool} {their:.4f}, ours {own:.4f}" for tool, (own, their) in pairs.items())
    print(f"{name}: {'; '.join(told)}", flush=True)
    if wrong := [tool for tool, (own, their) in pairs.items() if abs(own - their) > ROUNDING]:
        raise RuntimeError(f"{name}: not the mIoU of {', '.join(wrong)}")


def detectron2_miou(counts: NDArray[np.int64]) -> float:
    """As ``SemSegEvaluator.evaluate``: over the classes with ground truth."""
    hits, real, said = np.diagonal(counts)[:-1], counts[:-1, :-1].sum(0), counts[:-1, :-1].sum(1)
    union = real + said - hits
    valid = (real > 0) & (union > 0)
    return 100 * float((hits[valid] / union[valid]).mean())


def mmseg_miou(found: NDArray[np.float64]) -> float:
    """As ``IoUMetric.total_area_to_metrics``, and the ``nanmean`` of ``compute_metrics``."""
    hits, said, real = found
    with np.errstate(invalid="ignore"):
        return 100 * float(np.nanmean(hits / (said + real - hits)))


if __name__ == "__main__":
    main()
