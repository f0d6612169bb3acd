"""How long `d3s2bench leaderboard` takes for many records, and how much memory, from a folder to a file.

python benchmarks/leaderboard_speed.py --records 10000

Each line is a process of its own, with all that it imports: `read` reads and checks the files, the others are the
command. The records are made up: three datasets, three rates, two architectures and ten repetitions, of as many methods
as it takes; all have the same counts, of 400 test images.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np

DATASETS, RATES, ARCHS = ("scenes", "camvid", "voc2012"), (0.005, 0.01, 0.02), ("unet", "deeplab")
SYNTHS = ("real", "layout", "guided", "rded", "crops")
REPETITIONS, CLASSES = 10, 20
FORMATS = ("markdown", "csv", "latex", "html", "figures")


def digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def records(number: int) -> Iterator[dict[str, Any]]:
    """Full-data references first, then whole methods until there are so many."""
    full = product(DATASETS, ARCHS, range(REPETITIONS), (800, 6400))
    made = [record(d, 1.0, a, "full", "real", s, i) for d, a, s, i in full]
    yield from made[:number]
    wanted = max(0, number - len(made))
    selectors = range(1 + wanted // len(list(product(SYNTHS, DATASETS, RATES, ARCHS, range(REPETITIONS)))))
    cells = product(selectors, SYNTHS, DATASETS, RATES, ARCHS, range(REPETITIONS))
    for k, synth, d, r, a, s in islice(cells, wanted):
        yield record(d, r, a, f"selector{k}" if k else "random", synth, s)


def record(
    dataset: str, rate: float, arch: str, selector: str, synth: str, seed: int, iterations: int = 800
) -> dict[str, Any]:
    protocol = {"size": [96, 64], "channels": [32, 48, 64], "iterations": iterations, "converged_iterations": 6400}
    protocol |= {"batch_size": 4, "learning_rate": 0.003, "schedule": "poly", "precision": "fp32", "arch": arch}
    guided = {"sha256": digest(dataset), "trained_on": f"{dataset}/train"} if synth == "guided" else None
    options = {"steps": 25, "scale": 0.3, "layers": [], "window": [0.0, 1.0]} if synth == "guided" else {}
    spec = {
        "dataset": {
            "name": dataset,
            "fingerprint": digest(dataset),
            "split": "test",
            "classes": [f"class {k}" for k in range(CLASSES)],
            "options": {},
        },
        "selector": component(selector, {"gamma": 1.0}),
        "synth": component(synth, options),
        "evaluator": component("torch", {"labels": "hard", "temperature": 1.0}),
        "arch": arch,
        "rate": rate,
        "seed": seed,
        "protocol": protocol,
        "protocol_hash": digest(protocol),
    }
    key = digest(spec)
    dice = random.Random(key)
    base = 30 + 10 * random.Random(selector + synth).random() + 500 * rate
    miou = base + dice.gauss(0, 1) if selector != "full" else 65 + dice.gauss(0, 1)
    scores = dict.fromkeys(("miou", "pixel_accuracy", "mean_accuracy", "miou_head", "miou_mid", "miou_tail"), miou)
    command = f"d3s2bench run --dataset {dataset} --arch {arch} --seed {seed} --selector {selector} --synth {synth}"
    return {
        "schema": 1,
        "id": key[:16],
        "status": "ok",
        "reason": None,
        "created": "2026-01-01T00:00:00+00:00",
        "preset": None,
        "spec": spec,
        "metrics": scores | {"per_class_iou": [max(0.0, miou - 2 * k) for k in range(CLASSES)]},
        "confusion": {"path": f"{key[:16]}.npz", "sha256": "0" * 64},
        "budget": {"images": 20, "pixels": 10**6, "bytes": dice.randrange(10**5, 10**6), "total_images": 2000},
        "quality": None,
        "timings": {"select": 0.1, "synthesise": dice.uniform(1, 50), "train": dice.uniform(20, 60), "evaluate": 1.5},
        "peak_memory": 10**9,
        "versions": {"python": "3.11", "d3s2bench": "0.1.0", "torch": "2.13.0+cpu", "numpy": "2.4.6"},
        "provenance": {
            "teacher": guided,
            "generator": guided,
            "distilled": key,
            "selection": key,
            "seeds": {"select": seed, "synthesise": 100 + seed, "train": 200 + seed},
            "command": f"{command} --rate {rate}",
            "commit": None,
            "evaluations": {"number": 1, "configurations": 1},
        },
    }


def component(name: str, options: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "options": options, "changed": [], "version": "0.1.0+0123456789ab"}


def write(folder: Path, number: int) -> None:
    """The records as a run leaves them. Their counts are links to one file: 100,000 would not fit on every disk."""
    dice = np.random.default_rng(0)
    per_image = dice.poisson(6144 / CLASSES**2, (400, CLASSES, CLASSES)) * (dice.random((400, CLASSES, CLASSES)) < 0.1)
    counts = folder.parent / "counts.npz"
    np.savez_compressed(counts, total=per_image.sum(axis=0), per_image=per_image)
    sha256 = hashlib.sha256(counts.read_bytes()).hexdigest()
    for each in records(number):
        each["confusion"]["sha256"] = sha256
        (folder / each["confusion"]["path"]).symlink_to(counts)
        (folder / f"{each['id']}.json").write_text(json.dumps(each, indent=1))


READ = "import sys, pathlib, d3s2bench.results.records as r; list(r.read_records(pathlib.Path(sys.argv[1])))"
COMMAND = "from d3s2bench.cli.app import main; main()"


def measured(step: str, folder: Path, out: Path) -> tuple[float, float, int]:
    """Seconds, seconds of the processor and bytes of memory at the peak."""
    code, *given = (READ, str(folder)) if step == "read" else (COMMAND, "leaderboard", str(folder))
    given += [] if step == "read" else ["--format", step, "--out", str(out)]
    start = time.perf_counter()
    _, status, used = os.wait4(subprocess.Popen([sys.executable, "-c", code, *given]).pid, 0)
    if status:
        raise SystemExit(f"{step} failed")
    return time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024


def size(made: Path) -> int:
    return sum(file.stat().st_size for file in (made.iterdir() if made.is_dir() else [made]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--steps", default=",".join(("read", *FORMATS)))
    given = parser.parse_args()
    print(f"{'':10}{'seconds':>10}{'of processor':>14}{'peak memory':>14}{'output':>12}   ({given.records:,} records)")
    with tempfile.TemporaryDirectory() as place:
        (folder := Path(place) / "records").mkdir()
        write(folder, given.records)
        for step in given.steps.split(","):
            out = Path(place) / step
            seconds, processor, memory = measured(step, folder, out)
            made = "" if step == "read" else f"{size(out) / 1e6:.1f} MB"
            print(f"{step:10}{seconds:10.2f}{processor:14.2f}{memory / 2**20:10.0f} MiB{made:>12}", flush=True)


if __name__ == "__main__":
    main()
