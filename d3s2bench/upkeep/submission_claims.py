"""Whether what a record says of how it was made is what the engine would have written.

What cannot be known is left: the options of a plugin that is not installed here, the content of a dataset.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from functools import cache
from typing import Any

from d3s2bench.config import preset_layer
from d3s2bench.datasets.held_out import DEV, HeldOut
from d3s2bench.errors import ConfigError, D3S2Error, PluginError, UnknownNameError
from d3s2bench.plugins import changed_options, field_names, registry
from d3s2bench.protocols import completed, dataset_recipe, default_protocol
from d3s2bench.results.records import COMPONENTS, told
from d3s2bench.seeds import derive_seed
from d3s2bench.upkeep.rerun import PROGRAMS
from d3s2bench.upkeep.submission_columns import MODELS
from d3s2bench.upkeep.submission_counts import Checked
from d3s2bench.upkeep.submission_folder import wrong_time
from d3s2bench.values import Budget, Json

FREE = ("iterations", "device", "threads")
"""What a submission may choose of a protocol: the same for all methods of a column, controls among them."""
PAPERS = "d3s2/"
"""What the presets of rows of papers begin with."""
REPETITIONS = 1000
"""A set made elsewhere may be of one of so many."""
UNSEEN = ("val", "validation", "dev", "test")
"""Words for splits that no model may have been trained on."""


def false_claim(record: Json) -> str | None:
    """The first thing in a record that the engine would not have written; None when there is none."""
    try:
        return next((why for rule in RULES if (why := rule(record))), None)
    except Exception as error:  # a stranger's record may make anything fail
        return str(error) or type(error).__name__


# --- protocol --------------------------------------------------------------------------------------------------------


def foreign_protocol(record: Json) -> str | None:
    """Where the protocol is not the evaluator's default one, save what a submission may choose."""
    spec = record["spec"]
    protocol = spec["protocol"]
    try:
        width, height = protocol["size"]
        evaluator = spec["evaluator"]["name"], json.dumps(_harmless(spec["evaluator"]["options"]), sort_keys=True)
        default = _default_protocol(*evaluator, spec["arch"], spec["dataset"]["name"], width, height)
        default = {**default, **_of_preset(record["preset"])}
    except (D3S2Error, KeyError, TypeError, ValueError) as error:
        return f"its protocol cannot be compared: {error}"
    free = {*FREE, "backbone_sha256"} if default.get("backbone") else FREE  # which of its files, the record says itself
    for key in sorted(default.keys() | protocol.keys()):
        if key not in free and protocol.get(key) != default.get(key):
            said, known = (json.dumps(each.get(key)) for each in (protocol, default))
            return f"foreign protocol {spec['protocol_hash'][:8]}: {key} is {said}, the default is {known}"
    return None


def _harmless(options: Json) -> Json:
    """Without what a protocol is described by running it. Raises ConfigError where nothing is known without that."""
    if options.get("config"):
        raise ConfigError("option 'config' of its evaluator names a program, which is not run: compare it by hand")
    return {name: value for name, value in options.items() if name not in PROGRAMS}


def _of_preset(name: str | None) -> Json:
    """What a preset that comes with d3s2bench for a row of a paper changes."""
    return dict(preset_layer(name).get("protocol", {})) if name and name.startswith(PAPERS) else {}


@cache
def _default_protocol(name: str, options: str, arch: str, dataset: str, width: int, height: int) -> Json:
    """Of a run without settings; where nothing is published for the dataset its size may be any."""
    evaluator = registry().create("evaluator", name, json.loads(options))
    width, height = dataset_recipe(evaluator, arch, dataset).get("size", (width, height))
    return completed(evaluator, arch, default_protocol(evaluator, arch, dataset, (width, height)))


# --- components ------------------------------------------------------------------------------------------------------


def _component(spec: Json, part: str) -> Any:
    """The component with its options; None for one that is not installed. Raises ConfigError for wrong options."""
    return _made(COMPONENTS[part], spec[part]["name"], json.dumps(spec[part]["options"], sort_keys=True))


@cache
def _made(kind: str, name: str, options: str) -> Any:
    if _loaded(kind, name) is None:
        return None
    return registry().create(kind, name, json.loads(options))


@cache
def _loaded(kind: str, name: str) -> Any:
    """The class of a component; None for one that is not installed or does not work here."""
    try:
        return registry().load(kind, name)
    except (UnknownNameError, PluginError):
        return None


def _wrong_options(record: Json) -> str | None:
    """``changed`` is what tells methods of one name apart, so it must be true."""
    spec = record["spec"]
    for part in COMPONENTS:
        component, said = _component(spec, part), spec[part].get("changed")
        if component is not None and said is not None and sorted(said) != changed_options(component):
            names, true = (", ".join(each) or "none" for each in (said, changed_options(component)))
            return f"says that {names} of the options of its {part} differ from the defaults: {true} of them do"
    return None


def _wrong_full(record: Json) -> str | None:
    spec = record["spec"]
    if spec["selector"]["name"] != "full":
        return None
    untouched = told(spec["selector"]) == ("full", {}) and told(spec["synth"]) == ("real", {}) and spec["rate"] == 1
    return None if untouched else "its selector is 'full': then it is trained on all images (rate 1), untouched (real)"


# --- data ------------------------------------------------------------------------------------------------------------


def _wrong_split(record: Json) -> str | None:
    data = record["spec"]["dataset"]
    scored = _scored_split(_loaded("dataset", data["name"]), data["options"])
    if data["split"] == "train" or (scored is not None and data["split"] != scored):
        return f"is scored on the split {data['split']}: {data['name']} is scored on {scored or 'another than train'}"
    return None


def _scored_split(dataset: Any, options: Json) -> str | None:
    """The one that a run scores unless it is told otherwise; None where the dataset is not known here."""
    if options.get("holdout"):
        return DEV
    if dataset is None:
        return None
    default = getattr(dataset, "eval_split", "test")
    return str(options.get("eval_split", default) if "eval_split" in field_names(dataset) else default)


def _wrong_fingerprint(record: Json) -> str | None:
    """Where the content of a dataset is fixed by its code."""
    data = record["spec"]["dataset"]
    dataset = _loaded("dataset", data["name"])
    known, held_out = getattr(dataset, "fingerprint", None), data["options"].get("holdout")
    if not isinstance(known, str):
        return None
    if held_out:
        known = HeldOut(dataset, held_out).fingerprint
    return None if data["fingerprint"] == known else f"its dataset is not {data['name']}: the fingerprint differs"


def foreign_truth(found: Checked) -> str | None:
    """Where the masks of the scored split are fixed by the dataset's code."""
    data = found.record["spec"]["dataset"]
    known = getattr(_loaded("dataset", data["name"]), "truths", {}).get(data["split"])
    if known is None or found.truth == known:
        return None
    return (
        f"its labelled pixels per image and class are not those of {data['name']}/{data['split']}: is all of it scored?"
    )


def _wrong_budget(record: Json) -> str | None:
    said, rate = record["budget"], record["spec"]["rate"]
    full = record["spec"]["selector"]["name"] == "full"
    if unknown := [key for key, value in said.items() if value is None and not (full and key == "bytes")]:
        return f"its budget does not say {', '.join(unknown)}"
    images = Budget.from_rate(rate, said["total_images"]).images
    if said["images"] == images:
        return None
    return f"its set has {said['images']} images: {100 * rate:g} % of {said['total_images']} are {images}"


# --- provenance ------------------------------------------------------------------------------------------------------


def _wrong_seeds(record: Json) -> str | None:
    for axis, allowed in _allowed_seeds(record).items():
        said, repetition = record["provenance"]["seeds"][axis], record["spec"]["seed"]
        if said not in allowed:
            has = "none" if None in allowed and len(allowed) == 1 else derive_seed(axis, repetition)
            return f"its seed to {axis} is {said}: repetition {repetition} has {has}"
    return None


def _allowed_seeds(record: Json) -> dict[str, Collection[int | None]]:
    """A set that was made elsewhere, which has no selection, may be that of any repetition, or not tell its seeds."""
    spec = record["spec"]
    seeds: dict[str, Collection[int | None]] = {"train": (derive_seed("train", spec["seed"]),)}
    elsewhere = not record["provenance"]["selection"]
    for axis, part in (("select", "selector"), ("synthesise", "synth")):
        component, derived = _component(spec, part), derive_seed(axis, spec["seed"])
        if component is not None and component.deterministic:
            seeds[axis] = (None,)
        elif component is not None:
            seeds[axis] = (None, *_of_any_repetition(axis)) if elsewhere else (derived,)
        elif not elsewhere:
            seeds[axis] = (None, derived)
    return seeds


@cache
def _of_any_repetition(axis: str) -> list[int]:
    return [derive_seed(axis, repetition) for repetition in range(REPETITIONS)]


def _unnamed_models(record: Json) -> str | None:
    spec = record["spec"]
    for part in COMPONENTS:
        needs = getattr(_component(spec, part), "needs", ())
        if missing := [role for role in MODELS if role in needs and not record["provenance"][role]]:
            return f"its {part} '{spec[part]['name']}' uses a {missing[0]}, which its provenance does not name"
    return None


def _models_that_saw_more(record: Json) -> str | None:
    data = record["spec"]["dataset"]
    for role in MODELS:
        if (model := record["provenance"][role]) is None:
            continue
        if not (seen := model["trained_on"]) or seen.casefold() == "unknown":
            return f"its {role} does not say what it was trained on"
        if any(_saw_more(piece, data) for piece in re.split(r",|;|\band\b", seen.casefold())):
            own = data["name"]
            return f"its {role} was trained on {seen}: of {own}, only {own}/train may be learnt from"
    return None


def _saw_more(said: str, data: Json) -> bool:
    """Whether one of the things that a model was trained on is, or may be, more of the dataset than its train split."""
    own, words = data["name"].casefold(), {*re.split(r"[^a-z0-9]+", said)}
    unseen = words & {*UNSEEN, data["split"].casefold()}
    return said.strip() != f"{own}/train" and bool(unseen or own in said)


def _wrong_time(record: Json) -> str | None:
    return wrong_time(record["created"])


RULES: tuple[Callable[[Json], str | None], ...] = (
    foreign_protocol,
    _wrong_options,
    _wrong_full,
    _wrong_split,
    _wrong_fingerprint,
    _wrong_budget,
    _wrong_seeds,
    _unnamed_models,
    _models_that_saw_more,
    _wrong_time,
)
