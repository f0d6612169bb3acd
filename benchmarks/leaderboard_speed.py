"""How long the formats of `d3s2bench leaderboard` take for many records, and how much memory.

python benchmarks/leaderboard_speed.py --records 10000

Each line is a process of its own: `read` reads and checks the files of a folder, the others render made-up records of
three datasets, three rates, two architectures and ten repetitions, of as many methods as it takes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import resource
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
    """The records as a run leaves them, all with the same counts."""
    counts = folder / "counts.npz"
    total = np.ones((CLASSES, CLASSES), np.int64)
    np.savez_compressed(counts, total=total, per_image=np.stack([total] * 10))
    content = counts.read_bytes()
    counts.unlink()
    for each in records(number):
        each["confusion"]["sha256"] = hashlib.sha256(content).hexdigest()
        (folder / each["confusion"]["path"]).write_bytes(content)
        (folder / f"{each['id']}.json").write_text(json.dumps(each, indent=1))


def child(step: str, number: int) -> None:
    """Prints seconds, bytes of output and the peak memory of this process."""
    if step == "read":
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), number)
            from d3s2bench.results.records import read_records

            start = time.perf_counter()
            size = sum(1 for _ in read_records(Path(folder)))
            spent = time.perf_counter() - start
    else:
        from d3s2bench.plugins import registry

        given = list(records(number))
        renderer = registry().create("renderer", step)
        start = time.perf_counter()
        made = renderer.render(given)
        spent = time.perf_counter() - start
        size = len(made.encode()) if isinstance(made, str) else sum(map(len, made.values()))
    print(json.dumps([spent, size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--steps", default=",".join(("read", *FORMATS)))
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        return child(given.steps, given.records)
    print(f"{'':10}{'seconds':>10}{'output':>16}{'peak memory':>14}   ({given.records:,} records)")
    for step in given.steps.split(","):
        command = [sys.executable, __file__, "--child", "--steps", step, "--records", str(given.records)]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        seconds, size, memory = json.loads(printed)
        said = f"{size:,} records" if step == "read" else f"{size / 1e6:.1f} MB"
        print(f"{step:10}{seconds:10.2f}{said:>16}{memory / 2**20:10.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
