"""Records that follow the schema, made from the little that a test wants to say."""

from __future__ import annotations

import hashlib
import json
from typing import Any

ITERATIONS, CONVERGED = 300, 3000


def digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def record(
    selector: str = "random",
    synth: str = "real",
    miou: float | None = 20.0,
    seed: int = 0,
    *,
    labels: str = "hard",
    rate: float = 0.01,
    iterations: int = ITERATIONS,
    dataset: str = "scenes",
    arch: str = "unet",
    options: dict[str, Any] | None = None,
    size: int | None = 1_500_000,
    synth_options: dict[str, Any] | None = None,
    temperature: float = 1.0,
    lr: float = 0.01,
    teacher: str | None = None,
    generator: str | None = None,
    evaluations: tuple[int, int] | None = None,
    version: str = "0.1.0",
    created: str = "2026-01-01T00:00:00+00:00",
    reason: str = "out of memory",
) -> dict[str, Any]:
    """A record of status ok, or failed when there is no ``miou``. Full-data references have selector ``full``.

    Only the selector ``random`` and synthesizers other than ``real`` take a seed of the repetition.
    """
    rate = 1.0 if selector == "full" else rate
    protocol = {"iterations": iterations, "converged_iterations": CONVERGED, "lr": lr}
    spec = {
        "dataset": {"name": dataset, "fingerprint": digest(dataset), "split": "test", "classes": ["a"], "options": {}},
        "selector": {"name": selector, "options": options or {}, "version": version},
        "synth": {"name": synth, "options": synth_options or {}, "version": version},
        "evaluator": {
            "name": "torch",
            "options": {"labels": labels, "temperature": temperature},
            "changed": ["labels"] * (labels != "hard") + ["temperature"] * (temperature != 1.0),
            "version": version,
        },
        "arch": arch,
        "rate": rate,
        "seed": seed,
        "protocol": protocol,
        "protocol_hash": digest(protocol),
    }
    ok = miou is not None
    return {
        "schema": 1,
        "id": digest([spec, teacher, generator])[:16],
        "status": "ok" if ok else "failed",
        "reason": None if ok else reason,
        "created": created,
        "preset": None,
        "spec": spec,
        "metrics": metrics(miou) if miou is not None else None,
        "confusion": {"path": "counts.npz", "sha256": digest("counts")} if ok else None,
        "budget": {"images": round(2000 * rate), "pixels": 10**6, "bytes": size, "total_images": 2000},
        "timings": {"select": 0.1, "synthesise": None, "train": 1.0, "evaluate": 1.0},
        "peak_memory": None,
        "versions": {"d3s2bench": "0.1.0", "python": "3.11", "torch": "2.13"},
        "provenance": {
            "teacher": {"sha256": digest(teacher), "trained_on": "train"} if teacher else None,
            "generator": {"sha256": digest(generator), "trained_on": "train"} if generator else None,
            "distilled": None,
            "selection": None,
            "seeds": {
                "select": 100 + seed if selector == "random" else None,
                "synthesise": None if synth == "real" else 200 + seed,
                "train": 300 + seed,
            },
            "command": "d3s2bench run",
            "commit": None,
            **(
                {"evaluations": dict(zip(("number", "configurations"), evaluations, strict=True))}
                if evaluations
                else {}
            ),
        },
    }


def metrics(miou: float) -> dict[str, Any]:
    means = ("miou", "pixel_accuracy", "mean_accuracy", "miou_head", "miou_mid", "miou_tail")
    return dict.fromkeys(means, miou) | {"per_class_iou": [miou]}
