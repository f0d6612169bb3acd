"""Submissions to a leaderboard: records with their counts, so that a maintainer can check every number without a GPU.

A submission is a folder: ``submission.json`` says who made it and lists each file with its digest, ``records/`` holds
the records and their counts, ``environment.txt`` the distributions it was made with. It holds no code and no images.
"""

from __future__ import annotations

import json
import platform
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import numpy as np

from d3s2bench.errors import ConfigError, D3S2Error, StoreError
from d3s2bench.files import digest, file_sha256, folder_under_name, load_npz, read_json, write_json
from d3s2bench.metrics import scores
from d3s2bench.plugins import registry
from d3s2bench.protocols import completed, dataset_recipe, default_protocol
from d3s2bench.results.records import TOLERANCE, now, read_record, read_records, told, versions
from d3s2bench.schema import violation
from d3s2bench.values import Json

MANIFEST, ENVIRONMENT, RECORDS = "submission.json", "environment.txt", "records"
SCHEMA = Path(__file__).parent / "submission.schema.json"
FREE = ("iterations", "device", "threads")
"""What a submission may choose of a protocol: the same for all methods of a column, controls among them."""


@dataclass(frozen=True)
class Problem:
    """Why a submission is refused: ``where`` is the file, or the method and its column."""

    where: str
    what: str


def create(folder: Path, out: Path, title: str, contact: str, link: str = "") -> Path:
    """Writes the finished records of a run folder as a submission to ``out``.

    Raises:
        ConfigError: no title or no contact.
        StoreError: no finished record, one that is not whole, or ``out`` exists.
    """
    if not (title.strip() and contact.strip()):
        raise ConfigError("a submission names its --title and a --contact: a maintainer may have a question")
    records = _finished(folder)
    if not records:
        raise StoreError(f"{folder} holds no finished record: run the matrix to its end first")
    source = folder / RECORDS if (folder / RECORDS).is_dir() else folder
    with folder_under_name(out) as partial:
        (partial / RECORDS).mkdir()
        for record in records:
            shutil.copyfile(source / f"{record['id']}.json", partial / RECORDS / f"{record['id']}.json")
            counts = record["confusion"]["path"]
            shutil.copyfile(source / counts, partial / RECORDS / counts)
        (partial / ENVIRONMENT).write_text("\n".join(_installed()) + "\n", encoding="utf-8")
        about = {"schema": 1, "title": title, "contact": contact, "link": link, "created": now()}
        about |= {"environment": versions() | {"platform": platform.platform()}, "files": _digests(partial)}
        write_json(partial / MANIFEST, about)
    return out


def _finished(folder: Path) -> list[dict[str, Any]]:
    """Of a cell that was run again with other code only the last: that is the one a leaderboard shows."""
    found = [record for record in read_records(folder) if record["status"] == "ok"]
    specs = [record["spec"] for record in found]
    keys = [(_column(spec), _method(spec), spec["seed"]) for spec in specs]
    last = dict(sorted(zip(keys, found, strict=True), key=lambda pair: (pair[1]["created"], pair[1]["id"])))
    return list(last.values())


def _installed() -> list[str]:
    return sorted({f"{found.name}=={found.version}" for found in distributions() if found.name}, key=str.lower)


def _digests(folder: Path) -> dict[str, str]:
    """Relative name → SHA-256 of each file but the manifest."""
    files = sorted(file for file in folder.rglob("*") if not file.is_dir() and file != folder / MANIFEST)
    return {file.relative_to(folder).as_posix(): file_sha256(file) for file in files}


# --- check -----------------------------------------------------------------------------------------------------------


def check(folder: Path, repetitions: int = 5) -> list[Problem]:
    """All reasons to refuse a submission; none when each number follows from its counts, each protocol is the default
    one of its evaluator, and each method has the repetitions and the controls of its column. Nothing is run.

    Raises:
        StoreError: the folder is no submission.
    """
    problems = list(_changed_files(folder, _manifest(folder)))
    records: list[dict[str, Any]] = []
    for file in sorted((folder / RECORDS).glob("*.json")):
        try:
            records.append(_checked_record(file))
        except (D3S2Error, KeyError, TypeError, ValueError) as error:
            problems.append(Problem(file.name, str(error) or type(error).__name__))
    problems += [Problem(f"{record['id']}.json", why) for record in records if (why := _foreign(record["spec"]))]
    return problems + list(_missing(records, repetitions))


def _manifest(folder: Path) -> Json:
    if not (folder / MANIFEST).is_file():
        raise StoreError(f"{folder} is no submission: it has no {MANIFEST}; make one with d3s2bench submission create")
    found: dict[str, Any] = read_json(folder / MANIFEST)
    if wrong := violation(SCHEMA, found, "the manifest"):
        raise StoreError(f"{folder / MANIFEST} is no valid manifest: {wrong}")
    return found


def _changed_files(folder: Path, manifest: Json) -> Iterator[Problem]:
    links = [file for file in sorted(folder.rglob("*")) if file.is_symlink()]
    if links:
        yield from (Problem(file.name, "is a link: a submission holds plain files") for file in links)
        return
    found, listed = _digests(folder), manifest["files"]
    for name in sorted(found.keys() | listed.keys()):
        if name not in found:
            yield Problem(name, f"is in {MANIFEST} and not in the folder")
        elif name not in listed:
            yield Problem(name, f"is in the folder and not in {MANIFEST}")
        elif found[name] != listed[name]:
            yield Problem(name, f"is not the file that {MANIFEST} lists: its SHA-256 differs")


def _checked_record(file: Path) -> dict[str, Any]:
    """The record, when all it says follows from its counts. Raises StoreError that says what does not."""
    record = read_record(file)
    if record["id"] != file.stem:
        raise StoreError(f"its id is {record['id']}: the file must be named after it")
    if record["status"] != "ok":
        raise StoreError(f"its status is '{record['status']}': only finished records can be submitted")
    if record["spec"]["protocol_hash"] != digest(record["spec"]["protocol"]):
        raise StoreError("its protocol_hash is not the digest of its protocol")
    counts = load_npz(file.parent / record["confusion"]["path"])
    if not np.array_equal(counts["total"], counts["per_image"].sum(axis=0)):
        raise StoreError("its total counts are not the sum of those of its images")
    again = scores(counts["total"], counts.get("train_share"))
    for name, said in record["metrics"].items():
        if name not in again or not _close(said, again[name]):
            found = again.get(name, "what they give")
            raise StoreError(f"its {name} does not follow from its counts: it says {said}, not {found}")
    return record


def _close(said: Any, found: Any) -> bool:
    if isinstance(found, list):
        return isinstance(said, list) and len(said) == len(found) and all(map(_close, said, found))
    if said is None or found is None:
        return said is found
    return bool(abs(said - found) <= TOLERANCE)


def _foreign(spec: Json) -> str | None:
    """Where the protocol is not the evaluator's default one, save what a submission may choose."""
    protocol = spec["protocol"]
    try:
        width, height = protocol["size"]
        default = _default_protocol(spec["evaluator"]["name"], spec["arch"], spec["dataset"]["name"], width, height)
    except (D3S2Error, KeyError, TypeError, ValueError) as error:
        return f"its protocol cannot be compared: {error}"
    for key in sorted(default.keys() | protocol.keys() - set(FREE)):
        if key not in FREE and protocol.get(key) != default.get(key):
            said, known = (json.dumps(each.get(key)) for each in (protocol, default))
            return f"foreign protocol {spec['protocol_hash'][:8]}: {key} is {said}, the default is {known}"
    return None


@cache
def _default_protocol(name: str, arch: str, dataset: str, width: int, height: int) -> Json:
    """Of a run without settings; where nothing is published for the dataset its size may be any."""
    evaluator = registry().create("evaluator", name)
    width, height = dataset_recipe(evaluator, arch, dataset).get("size", (width, height))
    return completed(evaluator, arch, default_protocol(evaluator, arch, dataset, (width, height)))


def _missing(records: Iterable[Json], repetitions: int) -> Iterator[Problem]:
    """Repetitions and controls that a column lacks. A column is a dataset, a rate, an architecture and a protocol."""
    columns: defaultdict[tuple[Any, ...], defaultdict[str, list[Json]]] = defaultdict(lambda: defaultdict(list))
    for spec in (record["spec"] for record in records):
        if not _converged(spec):
            columns[_column(spec)][_method(spec)].append(spec)
    for (name, *_), methods in columns.items():
        for specs in methods.values():
            yield from _missing_repetitions(f"{_named(specs[0])} on {name}", specs, repetitions)
        firsts = [specs[0] for specs in methods.values()]
        if not (all(spec["selector"]["name"] == "full" for spec in firsts) or any(map(_is_control, firsts))):
            where = f"{_named(firsts[0])} on {name}"
            yield Problem(where, "the control random + real is missing under the same protocol")


def _missing_repetitions(where: str, specs: list[Json], least: int) -> Iterator[Problem]:
    seeds = sorted(spec["seed"] for spec in specs)
    if len(set(seeds)) < len(seeds):
        yield Problem(where, f"a repetition is there twice: {', '.join(map(str, seeds))}")
    if gaps := sorted(set(range(len(seeds))) - set(seeds)):
        yield Problem(where, f"repetition {', '.join(map(str, gaps))} of {max(seeds) + 1} is missing")
    elif len(seeds) < least and specs[0]["selector"]["name"] != "full":
        yield Problem(where, f"has {len(seeds)} repetitions, a submission needs {least}")


def _is_control(spec: Json) -> bool:
    """random + real, learnt from hard labels."""
    plain = [told(spec[part]) for part in ("selector", "synth")] == [("random", {}), ("real", {})]
    return plain and _labels(spec) == "hard"


def _labels(spec: Json) -> str:
    return str(spec["evaluator"]["options"].get("labels", "hard"))


def _converged(spec: Json) -> bool:
    protocol = spec["protocol"]
    return bool(spec["selector"]["name"] == "full" and protocol["iterations"] == protocol["converged_iterations"])


def _column(spec: Json) -> tuple[Any, ...]:
    dataset = spec["dataset"]
    name = f"{dataset['name']} {100 * spec['rate']:g} % {spec['arch']}"
    return name, dataset["fingerprint"], dataset["split"], spec["protocol_hash"]


def _method(spec: Json) -> str:
    """Names and changed options of what a leaderboard row is made of."""
    return digest([told(spec[part]) for part in ("selector", "synth", "evaluator")])


def _named(spec: Json) -> str:
    labels = _labels(spec)
    method = f"{spec['selector']['name']} + {spec['synth']['name']}"
    return method if labels == "hard" else f"{method}, {labels} labels"
