"""A small network of a tool, trained, killed, resumed, counted: what is asked of the evaluators of all tools."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from d3s2bench import Context, Counts, DatasetError, DistilledSet
from d3s2bench_evaluators.tool_evaluator import ToolEvaluator, Trained

if TYPE_CHECKING:
    from conftest import Rectangles

SIZE = (48, 32)
ITERATIONS = 60


def interpreter(evaluator: type[ToolEvaluator]) -> str | None:
    """The one that has the tool: named by the variable, or this one."""
    return os.environ.get(evaluator.PYTHON) or (sys.executable if find_spec(evaluator.TOOL.name) else None)


@dataclass(frozen=True)
class Run:
    """A training that nothing disturbed."""

    evaluator: ToolEvaluator
    protocol: dict[str, Any]
    model: Trained
    counts: Counts
    context: Context
    told: list[tuple[int, int, str]]


def trained(
    small: ToolEvaluator,
    protocol: dict[str, Any],
    rectangles: type[Rectangles],
    context: Callable[..., Context],
) -> Run:
    told: list[tuple[int, int, str]] = []
    place = context(seed=3, progress=lambda *now: told.append(now))
    model = small.train(rectangles(8), "small", protocol, place)
    counts = small.evaluate(model, rectangles(5, 45, 61), protocol, place)
    return Run(small, protocol, model, counts, place, told)


def check_counts(run: Run, rectangles: type[Rectangles]) -> None:
    """It has learnt, and is counted at the annotations' size."""
    masks = [rectangles(5, 45, 61).mask(i) for i in range(5)]
    assert run.counts.confusion.shape == (5, 4, 4)
    for counted, mask in zip(run.counts.confusion, masks, strict=True):
        assert counted.sum(1).tolist() == np.bincount(mask[mask != 255], minlength=4).tolist()
    total = run.counts.total
    assert np.trace(total) / total.sum() > 0.1 + total.sum(1).max() / total.sum(), "better than the most frequent class"
    assert (ITERATIONS, ITERATIONS) in {now[:2] for now in run.told}
    assert any(note.startswith("loss ") for _, _, note in run.told)


def check_finished_work_is_kept(run: Run, rectangles: type[Rectangles]) -> None:
    before, told = run.model.weights.stat().st_mtime_ns, len(run.told)
    again = run.evaluator.train(rectangles(8), "small", run.protocol, run.context)
    assert again == run.model and again.weights.stat().st_mtime_ns == before and len(run.told) == told


CHILD = """
import json, sys
from importlib import import_module
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from conftest import Rectangles, ToyDataset
from d3s2bench import Context
evaluator = getattr(import_module(sys.argv[2]), sys.argv[3])(config=sys.argv[4])
evaluator.train(
    Rectangles(8), "small", json.loads(sys.argv[5]), Context(ToyDataset(), seed=3, workdir=Path(sys.argv[6])))
"""


def kill_one_like(run: Run, place: Path, when: Callable[[Path], bool]) -> Path:
    """Starts the same training below ``place`` in a process of its own, which is killed ``when`` its work folder,
    which is returned, has come that far; nothing of it runs any more then."""
    kind, work = type(run.evaluator), place / run.evaluator.TOOL.name
    what = [kind.__module__, kind.__name__, run.evaluator.config, json.dumps(run.protocol)]
    parent = subprocess.Popen([sys.executable, "-c", CHILD, str(Path(__file__).parent), *what, str(place)])
    _wait(lambda: when(work))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    _wait(lambda: not _processes_with(place))
    assert not (work / "weights.safetensors").exists(), "it was killed too late to test anything"
    return work


def _wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not until():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


def _processes_with(place: Path) -> list[str]:
    """Processes whose log lies below ``place``."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(place) in str((process / "fd" / "2").readlink()):
                found.append(process.name)
        except OSError:
            continue
    return found


def write_count_pairs(file: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Predictions and masks ``(6, 20, 30)``: of 5 classes one is in no mask, another in neither."""
    draws = np.random.default_rng(0)
    predicted, truth = draws.integers(0, 4, (6, 20, 30)), draws.choice([0, 1, 2, 255], (6, 20, 30))
    np.savez(file, predicted=predicted, truth=truth)
    return predicted, truth


def check_a_wrong_label_is_told(
    small: ToolEvaluator, protocol: dict[str, Any], context: Callable[..., Context], place: Path
) -> None:
    for part, pixels in (("images", np.zeros((32, 48, 3), np.uint8)), ("annotations", np.full((32, 48), 9, np.uint8))):
        (place / part).mkdir()
        Image.fromarray(pixels).save(place / part / "odd.png")
    with pytest.raises(DatasetError, match=r"odd\.png"):
        small.train(DistilledSet.open(place, 4), "small", protocol, context())


def bare_python(folder: Path) -> str:
    """An interpreter without any installed package."""
    bare = folder / "python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    bare.chmod(0o755)
    return str(bare)
