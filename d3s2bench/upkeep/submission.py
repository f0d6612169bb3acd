"""Submissions to a leaderboard: records with their counts, so that a maintainer can check every number without a GPU.

A submission is a folder: ``submission.json`` says who made it and lists each file with its digest, ``records/`` holds
the records and their counts, ``environment.txt`` the distributions it was made with. It holds no code and no images.

What is checked: the folder (``submission_folder``), each record against its counts (``submission_counts``), what it
says of how it was made (``submission_claims``), and the records against each other (``submission_columns``).
"""

from __future__ import annotations

import platform
import shutil
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from d3s2bench.errors import ConfigError, StoreError
from d3s2bench.files import folder_under_name, write_json
from d3s2bench.results.records import now, read_records, versions
from d3s2bench.upkeep.submission_claims import false_claim, foreign_truth
from d3s2bench.upkeep.submission_columns import column_of, incomplete, method_of, unlike_others
from d3s2bench.upkeep.submission_counts import Checked, checked_record
from d3s2bench.upkeep.submission_folder import (
    ENVIRONMENT,
    MANIFEST,
    RECORDS,
    Problem,
    changed_files,
    digests,
    read_manifest,
    unreadable,
)

__all__ = ["ENVIRONMENT", "MANIFEST", "RECORDS", "Problem", "check", "create"]


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
        about |= {"environment": versions() | {"platform": platform.platform()}, "files": digests(partial)}
        write_json(partial / MANIFEST, about)
    return out


def _finished(folder: Path) -> list[dict[str, Any]]:
    """Of a cell that was run again with other code only the last: that is the one a leaderboard shows."""
    found = [record for record in read_records(folder) if record["status"] == "ok"]
    keys = [(column_of(record["spec"]), method_of(record), record["spec"]["seed"]) for record in found]
    last = dict(sorted(zip(keys, found, strict=True), key=lambda pair: (pair[1]["created"], pair[1]["id"])))
    return list(last.values())


def _installed() -> list[str]:
    return sorted({f"{found.name}=={found.version}" for found in distributions() if found.name}, key=str.lower)


def check(folder: Path, repetitions: int = 5) -> list[Problem]:
    """All reasons to refuse a submission; none when each number follows from its counts, each record says of itself
    what the engine would, all records of a dataset agree on it, and each method has the repetitions and the controls
    of its column. Nothing is run. What is no plain file, or too large to be read, is the only reason told.

    Raises:
        StoreError: the folder is no submission.
    """
    if unsafe := list(unreadable(folder)):
        return unsafe
    problems = list(changed_files(folder, read_manifest(folder)))
    files, records = sorted((folder / RECORDS).glob("*.json")), list[Checked]()
    if not files:
        problems.append(Problem(RECORDS, "holds no record"))
    for file in files:
        try:
            records.append(checked_record(file))
        except Exception as error:  # a stranger's file may make anything fail
            problems.append(Problem(file.name, str(error) or type(error).__name__))
    problems += [Problem(found.file, why) for found in records if (why := false_claim(found.record))]
    problems += [Problem(found.file, why) for found in records if (why := foreign_truth(found))]
    return [*problems, *unlike_others(records), *incomplete([found.record for found in records], repetitions)]
