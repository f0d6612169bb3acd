"""Records: one JSON file per number, beside the counts it follows from; validated when written and when read."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from d3s2bench.errors import StoreError
from d3s2bench.files import file_sha256, load_npz, read_json, save_npz, write_bytes, write_json
from d3s2bench.metrics import scores
from d3s2bench.schema import violation
from d3s2bench.values import Counts, Json

SCHEMA = Path(__file__).parent / "record.schema.json"
TOLERANCE = 1e-9
"""Points by which a score may differ from what its counts give."""
COMPONENTS = {"selector": "selector", "synth": "synthesizer", "evaluator": "evaluator"}
"""Part of a spec → kind of component."""
PACKAGES = ("d3s2bench", "torch", "diffusers", "transformers", "numpy", "pillow")


def record_id(key: str) -> str:
    """The file name of a record: the first 16 digits of its key."""
    return key[:16]


def record_file(out: Path, key: str) -> Path:
    return out / "records" / f"{record_id(key)}.json"


def versions(device: str = "cpu") -> dict[str, str]:
    """What can change a number, by name; for a device that is a GPU, that and its libraries, too."""
    return {
        "python": sys.version.split()[0],
        **{package: _version(package) for package in PACKAGES},
        "cpu": _instructions(),
        "processor": _processor(Path("/proc/cpuinfo")),
        **(_gpu(device) if device.startswith("cuda") else {}),
    }


def _gpu(device: str) -> dict[str, str]:
    import torch

    cudnn: Any = torch.backends.cudnn
    name = torch.cuda.get_device_name(device)
    return {"gpu": name, "cuda": str(torch.version.cuda), "cudnn": str(cudnn.version())}


@lru_cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


@lru_cache
def _instructions() -> str:
    """The machine and the vector instructions torch computes with: other ones give slightly other numbers. Not asked of
    torch: a record would then depend on whether the process that writes it has imported it."""
    chosen = os.environ.get("ATEN_CPU_CAPABILITY", "").upper()
    return f"{platform.machine()} {chosen or _vectors(Path('/proc/cpuinfo'))}".strip()


@lru_cache
def _processor(cpuinfo: Path) -> str:
    """Vendor, family and model, as ``GenuineIntel 6-207``: libraries choose by them, too, and two processors with the
    same vector instructions gave different numbers. Nothing where Linux does not say."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    told = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    known = [told.get(key, "") for key in ("vendor_id", "cpu family", "model")]
    return "{} {}-{}".format(*known) if all(known) else ""


def _vectors(cpuinfo: Path) -> str:
    """``AVX512``, ``AVX2`` or nothing, by the rule of ATen; nothing where Linux does not say."""
    try:
        flags = set(cpuinfo.read_text(encoding="utf-8").split())
    except OSError:
        return ""
    needs = {"AVX512": {"avx512f", "avx512vl", "avx512bw", "avx512dq", "fma"}, "AVX2": {"avx2", "fma"}}
    return next((name for name, flag in needs.items() if flag <= flags), "")


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def new_record(key: str, spec: Json, preset: str | None, provenance: Json, device: str = "cpu") -> dict[str, Any]:
    """A record that says nothing yet: status skipped."""
    return {
        "schema": 1,
        "id": record_id(key),
        "status": "skipped",
        "reason": "not run",
        "created": now(),
        "preset": preset,
        "spec": spec,
        "metrics": None,
        "confusion": None,
        "budget": {"images": None, "pixels": None, "bytes": None, "total_images": None},
        "quality": None,
        "timings": {"select": None, "synthesise": None, "train": None, "evaluate": None},
        "peak_memory": None,
        "versions": versions(device),
        "provenance": dict(provenance),
    }


def write_record(out: Path, record: dict[str, Any], *, new: bool = False) -> Path:
    """``new`` leaves a record that is there alone. Raises StoreError when the record does not follow the schema."""
    file = out / "records" / f"{record['id']}.json"
    validate(record, str(file))
    write_json(file, record, new=new)
    return file


def write_counts(out: Path, record: dict[str, Any], counts: Counts, train_share: np.ndarray[Any, Any]) -> None:
    """Stores the counts beside the record, with all else that its scores follow from, and puts these into it."""
    file = out / "records" / f"{record['id']}.npz"
    save_npz(file, total=counts.total, per_image=counts.confusion, train_share=train_share)
    record["confusion"] = {"path": file.name, "sha256": file_sha256(file)}
    record["metrics"] = scores(counts.total, train_share)


def validate(record: Any, where: str) -> None:
    """Raises StoreError naming the first key that does not follow the schema."""
    if wrong := violation(SCHEMA, record, "the record"):
        raise StoreError(f"{where} is no valid record: {wrong}")


def read_records(folder: Path) -> Iterator[dict[str, Any]]:
    """All records of a run folder, by id; each checked against the schema and against its counts' hash.

    Raises:
        StoreError: no records there, one that does not follow the schema, counts that are not those of the record.
    """
    place = folder / "records" if (folder / "records").is_dir() else folder
    files = sorted(place.glob("*.json"), key=str)
    if not files:
        why = " yet: no cell has been scored" if (folder / "store").is_dir() else ": give the --out folder of a run"
        raise StoreError(f"{folder} holds no records{why}")
    for file in files:
        yield read_record(file)


def read_record(file: Path) -> dict[str, Any]:
    record: dict[str, Any] = read_json(file)
    validate(record, str(file))
    if record["confusion"] and not _has_counts(file, record["confusion"]):
        counts = file.parent / record["confusion"]["path"]
        raise StoreError(f"{counts} is missing or not what its record was scored from: delete {file}, run again")
    return record


def _has_counts(file: Path, confusion: Json) -> bool:
    counts = file.parent / confusion["path"]
    try:
        return counts.parent == file.parent and bool(file_sha256(counts) == confusion["sha256"])
    except OSError:
        return False


def recomputed_miou(file: Path, record: Json | None = None) -> float:
    """The mIoU of a record, read already or not, computed again from its counts, in percent."""
    record = record or read_record(file)
    total = load_npz(file.parent / record["confusion"]["path"])["total"]
    miou: float = scores(total)["miou"]
    return miou


def find_references(assets: Path | None, spec: Json, any_seed: bool) -> list[Path]:
    """Shipped full-data records for the same dataset, evaluator, architecture and protocol."""
    files = sorted((assets / "records").glob("*.json")) if assets else []
    return [file for file in files if _same_column(read_json(file)["spec"], spec, any_seed)]


def _same_column(found: Json, spec: Json, any_seed: bool) -> bool:
    same = all(found[key] == spec[key] for key in ("arch", "protocol_hash", "rate"))
    same &= told(found["evaluator"]) == told(spec["evaluator"])
    same &= all(found["dataset"][key] == spec["dataset"][key] for key in ("fingerprint", "split"))
    return same and (any_seed or found["seed"] == spec["seed"])


def told(component: Json) -> tuple[str, Json]:
    """Name and changed options: what a component is, whichever options later versions have added."""
    options = component["options"]
    return component["name"], {name: options[name] for name in component.get("changed", options)}


def import_reference(file: Path, out: Path) -> dict[str, Any]:
    """Copies a shipped record and its counts into the records of a run."""
    record = read_record(file)
    counts = file.parent / record["confusion"]["path"]
    target = out / "records" / file.name
    if not target.exists():
        write_bytes(target.parent / counts.name, counts.read_bytes())
        write_json(target, record)
    return record
