"""A few records of a made-up comparison, with their counts, as a run writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from d3s2bench.files import digest
from d3s2bench.results.records import new_record, write_counts, write_record
from d3s2bench.testing.tiny import CLASSES, TinyDataset
from d3s2bench.values import Counts

METHODS = (("random", "real"), ("mine", "real"), ("mine", "painted"), ("full", "real"))


def tiny_records(out: Path) -> list[dict[str, Any]]:
    """Four methods in two repetitions, of which one cell failed; written to ``out / "records"``."""
    cells = [(method, seed) for method in METHODS for seed in (0, 1)]
    return [_written(out, method, seed, failed=i == 3) for i, (method, seed) in enumerate(cells)]


def _written(out: Path, method: tuple[str, str], seed: int, failed: bool) -> dict[str, Any]:
    spec = _spec(*method, seed)
    record = new_record(digest(spec), spec, None, _provenance(seed))
    images = 20 if method[0] == "full" else 4
    record["budget"] = {"images": images, "pixels": 512 * images, "bytes": 900 * images, "total_images": 20}
    if failed:
        record |= {"status": "failed", "reason": "out of memory"}
    else:
        record |= {"status": "ok", "reason": None}
        write_counts(out, record, Counts(_confusion(*method, seed)), np.array([0.6, 0.3, 0.1]))
    write_record(out, record)
    return record


def _confusion(selector: str, synth: str, seed: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """``(4, 3, 3)``: more is right with more images."""
    right = 60 if selector == "full" else 20
    draw = np.random.default_rng([seed, len(selector), len(synth)])
    return draw.integers(1, 30, (4, 3, 3)) + right * np.eye(3, dtype=np.int64)


def _spec(selector: str, synth: str, seed: int) -> dict[str, Any]:
    dataset, protocol = TinyDataset(), {"iterations": 10, "converged_iterations": 100}
    data = {"name": dataset.name, "fingerprint": dataset.fingerprint, "split": "test", "classes": list(CLASSES)}
    return {
        "dataset": data | {"options": {}},
        "selector": _component(selector),
        "synth": _component(synth),
        "evaluator": _component("torch") | {"options": {"labels": "hard"}},
        "arch": "unet",
        "rate": 1.0 if selector == "full" else 0.2,
        "seed": seed,
        "protocol": protocol,
        "protocol_hash": digest(protocol),
    }


def _component(name: str) -> dict[str, Any]:
    return {"name": name, "options": {}, "changed": [], "version": "1.0"}


def _provenance(seed: int) -> dict[str, Any]:
    nothing = dict.fromkeys(("teacher", "generator", "distilled", "selection", "command", "commit"))
    return {**nothing, "seeds": {"select": seed, "synthesise": None, "train": seed}}
