"""Records against each other: what they must have in common, and what a column must have."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any

from d3s2bench.files import digest
from d3s2bench.results.records import told
from d3s2bench.upkeep.submission_counts import Checked
from d3s2bench.upkeep.submission_folder import Problem
from d3s2bench.values import Json

MODELS = ("teacher", "generator")

# --- what records have in common -------------------------------------------------------------------------------------


def unlike_others(records: Iterable[Checked]) -> Iterator[Problem]:
    """Records that tell of another dataset than the others of it, and counts that are there more than once."""
    records = sorted(records, key=lambda found: not _is_control(found.record["spec"]))  # of two halves it is the right
    for what, place, value in COMMON:
        groups: defaultdict[Hashable, list[Checked]] = defaultdict(list)
        for found in records:
            groups[place(found)].append(found)
        for group in groups.values():
            yield from _minority(group, what, value)
    yield from _copies(records)


def _fingerprint(found: Checked) -> Hashable:
    return str(found.record["spec"]["dataset"]["fingerprint"])


def _split(found: Checked) -> Hashable:
    return _fingerprint(found), found.record["spec"]["dataset"]["split"]


COMMON: tuple[tuple[str, Callable[[Checked], Hashable], Callable[[Checked], Hashable]], ...] = (
    ("labelled pixels per image and class", _split, lambda found: found.truth),
    ("train_share", _fingerprint, lambda found: found.train_share),
    ("classes", _fingerprint, lambda found: tuple(found.record["spec"]["dataset"]["classes"])),
    ("number of train images", _fingerprint, lambda found: found.record["budget"]["total_images"]),
)
"""What all records of a dataset, or of its scored split, must say alike."""


def _minority(group: list[Checked], what: str, value: Callable[[Checked], Hashable]) -> Iterator[Problem]:
    common, often = Counter(map(value, group)).most_common(1)[0]
    name = group[0].record["spec"]["dataset"]["name"]
    for found in group:
        if value(found) != common:
            yield Problem(found.file, f"other {what} than the {often} other records on {name}: not the same data")


def _copies(records: Iterable[Checked]) -> Iterator[Problem]:
    """A training with another seed gives other counts, whatever the method."""
    same: defaultdict[str, list[Checked]] = defaultdict(list)
    for found in records:
        same[found.counts].append(found)
    for first, *others in same.values():
        if copies := [found.file for found in others if found.record["spec"]["seed"] != first.record["spec"]["seed"]]:
            yield Problem(first.file, f"has the counts of {', '.join(copies)}: no two training seeds give the same")


# --- what a column must have -----------------------------------------------------------------------------------------


def incomplete(records: Iterable[Json], repetitions: int) -> Iterator[Problem]:
    """Repetitions and controls that a column lacks. A column is a dataset, a rate, an architecture and a protocol."""
    columns: defaultdict[tuple[Any, ...], defaultdict[str, list[Json]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        if not _converged(spec := record["spec"]):
            columns[column_of(spec)][method_of(record)].append(spec)
    for (name, *_), methods in columns.items():
        often = Counter(_named(rows[0]) for rows in methods.values())
        for rows in methods.values():
            others = " (others of its name have other options or models)" if often[_named(rows[0])] > 1 else ""
            yield from _missing_repetitions(f"{_named(rows[0])} on {name}{others}", rows, repetitions)
        firsts = [rows[0] for rows in methods.values()]
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


def column_of(spec: Json) -> tuple[Any, ...]:
    """Its name first; equal for records that one column of a leaderboard compares."""
    dataset = spec["dataset"]
    name = f"{dataset['name']} {100 * spec['rate']:g} % {spec['arch']}"
    return name, dataset["fingerprint"], dataset["split"], spec["evaluator"]["name"], spec["protocol_hash"]


def method_of(record: Json) -> str:
    """Names and changed options of what a leaderboard row is made of, and the models that it used."""
    models = [record["provenance"][role] for role in MODELS]
    parts = [told(record["spec"][part]) for part in ("selector", "synth", "evaluator")]
    return digest([parts, [model["sha256"] if model else None for model in models]])


def _named(spec: Json) -> str:
    labels = _labels(spec)
    method = f"{spec['selector']['name']} + {spec['synth']['name']}"
    return method if labels == "hard" else f"{method}, {labels} labels"
