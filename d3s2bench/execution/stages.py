"""What each stage does: reads its inputs from the store, calls one component, writes one artefact."""

from __future__ import annotations

import gc
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from d3s2bench.datasets.guarded import TrainAlone
from d3s2bench.errors import DatasetError, ModelError
from d3s2bench.execution.resources import peak_memory, reset_peak_memory
from d3s2bench.execution.tasks import device_of, numeric_threads
from d3s2bench.files import folder_sha256, load_npz, read_json, save_npz, write_json
from d3s2bench.interfaces import Context, Dataset, Split
from d3s2bench.planning.models import ROLES
from d3s2bench.planning.plan import Node
from d3s2bench.results.evaluation_log import log_evaluation
from d3s2bench.results.records import (
    new_record,
    now,
    read_record,
    record_file,
    record_id,
    versions,
    write_counts,
    write_record,
)
from d3s2bench.seeds import derive_seed
from d3s2bench.sets.distilled import MANIFEST, DistilledSet, manifest, write_samples
from d3s2bench.sets.given import Origin, check_counts, check_selection
from d3s2bench.sets.mask_index import build_mask_index, load_mask_index, save_mask_index
from d3s2bench.sets.nearest import nearest_train_images
from d3s2bench.sets.preview import write_preview
from d3s2bench.sets.quality import Progress, measure
from d3s2bench.storage.store import ARTEFACT, scratch
from d3s2bench.values import IGNORE, Budget, Json, Selection
from d3s2bench.workspace import Workspace


@dataclass
class Job:
    """One node being worked on."""

    node: Node
    workspace: Workspace
    progress: Progress

    @property
    def dataset(self) -> Dataset:
        return self.workspace.dataset(self.node.run["dataset"])

    def truth(self, split: str) -> NDArray[np.int64]:
        """``(N, C)``: pixels of each class in each mask of a split, counted once per process."""
        key = (self.dataset.fingerprint, split)
        if key not in _TRUTHS:
            _TRUTHS[key] = build_mask_index(self.dataset.split(split), len(self.dataset.classes)).counts
        return _TRUTHS[key]

    def component(self, kind: str, described: Json) -> Any:
        return self.workspace.registry.create(kind, described["name"], described["options"])

    def context(self, seed: int, work: Path, learner: str | None = None) -> Context:
        """The component's context, with those models that the plan gave this node; a ``learner`` sees train alone."""
        models = self.node.run.get("models", {})
        loaders = {f"load_{kind}": partial(self.load_model, kind) for kind in models}
        dataset = TrainAlone(self.dataset, learner) if learner else self.dataset
        return Context(dataset, seed, self.workspace.device, scratch(work), self.progress, **loaders)

    def load_model(self, kind: str) -> Any:
        found = self.node.run["models"][kind]
        key = (self.node.run["dataset"], kind, found["folder"])
        if key not in _LOADED:
            _forget_models_of_others(key[0])
            _LOADED[key] = _load(self.workspace, kind, found["family"], Path(found["folder"]))
        return _LOADED[key]


_LOADED: dict[tuple[str, str, str], Any] = {}
"""Dataset, role and folder → model, loaded once per process: those of the dataset at hand alone."""


_TRUTHS: dict[tuple[str, str], NDArray[np.int64]] = {}


def _forget_models_of_others(dataset: str) -> None:
    if others := [key for key in _LOADED if key[0] != dataset]:
        for key in others:
            del _LOADED[key]
        gc.unfreeze()  # a worker freezes what a stage leaves
        gc.collect()


def _load(workspace: Workspace, kind: str, family: str, folder: Path) -> Any:
    if kind == "generator":
        return workspace.registry.create("generator", family).load(folder, workspace.device)
    return workspace.registry.create("evaluator", family).load_teacher(folder, workspace.device)


def run_stage(node: Node, workspace: Workspace, progress: Progress) -> None:
    """Makes the node's artefact, unless someone else has made it meanwhile."""
    _reset_torch(node)
    reset_peak_memory()
    job = Job(node, workspace, progress)
    if node.stage == "record":
        with workspace.store.lock("record", node.key):
            if not node.done(workspace.store):
                _record(job)
        return
    make = {
        "index": _index,
        "teacher": _teacher,
        "generator": _generator,
        "selection": _select,
        "distilled": _distil,
        "quality": _quality,
    }[node.stage]
    workspace.store.produce(node.stage, node.key, partial(_timed, make, job))


CALLED = {
    "teacher": ("evaluator", "evaluator"),
    "generator": ("generator", "generator"),
    "selection": ("selector", "selector"),
    "distilled": ("synthesizer", "synth"),
    "record": ("evaluator", "evaluator"),
}
"""Stage → kind of the component that works in it, and where the node describes that; the others call none."""


def called_in(node: Node) -> tuple[str, str] | None:
    """Kind and name of the component that works in a stage; None where the engine works alone."""
    if node.stage not in CALLED:
        return None
    kind, part = CALLED[node.stage]
    return kind, node.run.get("spec", node.run)[part]["name"]


def _reset_torch(node: Node) -> None:
    """Of a stage that computes with it."""
    if threads := numeric_threads(node):
        from d3s2bench.execution.torch_state import reset_torch

        reset_torch(threads, device_of(node))


def _timed(make: Callable[[Job, Path], Json], job: Job, work: Path) -> dict[str, Any]:
    """The artefact's own description; ``seconds`` are those of the run that finished it."""
    start = time.perf_counter()
    about = make(job, work)
    seconds = time.perf_counter() - start
    made: dict[str, Any] = {"seconds": seconds, "peak_memory": peak_memory(), "created": now()}
    made["versions"] = versions(device_of(job.node))
    return {"stage": job.node.stage, "key": job.node.key, "identity": job.node.identity, **made, **about}


def _index(job: Job, work: Path) -> Json:
    index = build_mask_index(job.dataset.split("train"), len(job.dataset.classes), job.progress)
    save_mask_index(index, work)
    return {"images": len(index)}


# --- models ----------------------------------------------------------------------------------------------------------


def _teacher(job: Job, work: Path) -> Json:
    run, train = job.node.run, job.dataset.split("train")
    evaluator = job.component("evaluator", run["evaluator"])
    context = job.context(derive_seed("train", run["seed"]), work, learner=f"evaluator '{run['evaluator']['name']}'")
    model = evaluator.train(train, run["arch"], run["protocol"], context)
    evaluator.save_teacher(model, train, work, context)
    return _trained(job)


def _generator(job: Job, work: Path) -> Json:
    family = job.component("generator", job.node.run["generator"])
    who = f"generator '{job.node.run['generator']['name']}'"
    context = job.context(job.node.run["seed"], work, learner=who)
    family.train(job.dataset.split("train"), work, context)
    return _trained(job)


def _trained(job: Job) -> Json:
    return {"trained_on": f"{job.dataset.name}/train", "dataset": job.dataset.fingerprint}


def _model_provenance(run: Json, role: str) -> dict[str, Any] | None:
    if role not in run.get("models", {}):
        return None
    folder, kind = Path(run["models"][role]["folder"]), ROLES[role]
    description = folder / f"{kind}.json"
    if not description.exists():
        raise ModelError(f"{folder} is no {role}: it has no {kind}.json; make one with 'd3s2bench train {kind}'")
    about = read_json(description)
    trained = about.get("dataset")
    name = trained.get("name") if isinstance(trained, dict) else trained
    on = about.get("trained_on") or (f"{name}/train" if name else None)  # a pretrained one says itself what it has seen
    return {"sha256": _sha256(folder), "trained_on": on}


@cache
def _sha256(folder: Path) -> str:
    """Once per process, as the model is loaded: each stage names those that it has used."""
    return folder_sha256(folder)


# --- distilled sets --------------------------------------------------------------------------------------------------


def _select(job: Job, work: Path) -> Json:
    run = job.node.run
    index = load_mask_index(Path(run["index"]))
    budget = Budget(run["images"], len(index), run["rate"])
    selector = job.component("selector", run["selector"])
    seed = None if selector.deterministic else derive_seed("select", run["seed"])
    who = f"selector '{run['selector']['name']}'"
    selection = selector.select(index, budget, job.context(seed or 0, work, learner=who))
    check_selection(selection, budget, who)
    scores = {} if selection.scores is None else {"scores": selection.scores}
    save_npz(work / "selection.npz", indices=selection.indices, **scores)
    covered = int((index.counts[selection.indices].sum(axis=0) > 0).sum())
    about = {"images": budget.images, "total_images": budget.total, "seed": seed, "classes_covered": covered}
    return about | {"teacher": _model_provenance(run, "teacher"), "generator": _model_provenance(run, "generator")}


def _distil(job: Job, work: Path) -> Json:
    run = job.node.run
    chosen = read_json(Path(run["selection"]) / ARTEFACT)
    selection = Selection(load_npz(Path(run["selection"]) / "selection.npz")["indices"])
    synthesizer = job.component("synthesizer", run["synth"])
    seed = None if synthesizer.deterministic else derive_seed("synthesise", run["seed"])
    who = f"synthesizer '{run['synth']['name']}'"
    context = job.context(seed or 0, work, learner=who)
    origin = Origin.of(synthesizer, selection, job.dataset.split("train"))
    rows = write_samples(
        work,
        len(selection.indices) // origin.per_image,
        lambda start: synthesizer.synthesize(selection, context, start),
        job.dataset.palette,
        job.progress,
        who,
        origin,
    )
    (work / MANIFEST).unlink(missing_ok=True)  # of a run that was killed: may be of other images than these
    pairs = DistilledSet.open(work, len(job.dataset.classes))
    if synthesizer.generative:
        _add_nearest(rows, pairs, job)
    about = _about_set(job, chosen, pairs, seed)
    about["nearest_train"] = _summary_of_nearest(rows) if synthesizer.generative else None
    write_json(work / MANIFEST, manifest(rows, about))
    teacher = context.teacher if context.load_teacher else None
    sources = [row["sources"][0] for row in rows]
    write_preview(work / "preview.png", pairs, sources, job.dataset, teacher, context.device)
    return about | {"select_seconds": chosen["seconds"]}


def _add_nearest(rows: list[dict[str, Any]], pairs: DistilledSet, job: Job) -> None:
    images, train = (pairs.image(i) for i in range(len(pairs))), job.dataset.split("train")
    found = nearest_train_images(images, train, job.dataset.fingerprint, job.progress)
    for row, nearest in zip(rows, found, strict=True):
        row["nearest_train"] = nearest


def _nearest_of(pairs: DistilledSet, job: Job) -> dict[str, float]:
    """Measured for a set whose manifest does not say it: photographs are at 0, tiles of them are not."""
    rows: list[dict[str, Any]] = [{} for _ in range(len(pairs))]
    _add_nearest(rows, pairs, job)
    return _summary_of_nearest(rows)


def _summary_of_nearest(rows: list[dict[str, Any]]) -> dict[str, float]:
    """How near the images come to the train images at all."""
    distances = [row["nearest_train"]["rmse"] for row in rows]
    return {"rmse_min": min(distances), "rmse_mean": float(np.mean(distances))}


def _about_set(job: Job, chosen: Json, pairs: DistilledSet, seed: int | None) -> dict[str, Any]:
    run = job.node.run
    models = {kind: _model_provenance(run, kind) or chosen[kind] for kind in ("teacher", "generator")}
    return {
        "dataset": {
            "name": job.dataset.name,
            "fingerprint": job.dataset.fingerprint,
            "classes": list(job.dataset.classes),
            "palette": [list(colour) for colour in job.dataset.palette],
            "redistributable": job.dataset.redistributable,
        },
        "selector": run["selector"],
        "synth": run["synth"],
        "rate": run["rate"],
        "repetition": run["seed"],
        "budget": {
            "images": len(pairs),
            "pixels": pairs.pixels,
            "bytes": pairs.bytes,
            "total_images": chosen["total_images"],
        },
        "seeds": {"select": chosen["seed"], "synthesise": seed},
        **models,
        "selection": chosen["key"],
        "distilled": job.node.key,
    }


def _quality(job: Job, work: Path) -> Json:
    """Beside the photograph whose mask each image has; beside the first of those that share an image."""
    folder, classes = Path(job.node.run["distilled"]), len(job.dataset.classes)
    about = read_json(folder / MANIFEST)
    sources = [sample["sources"][0] for sample in about["samples"]]
    pairs, train = DistilledSet.open(folder, classes), job.dataset.split("train")
    measured = measure(pairs, train, sources, job.load_model("judge"), classes, job.workspace.device, job.progress)
    nearest = about["nearest_train"] or _nearest_of(pairs, job)
    found = {**measured, "nearest_rmse_min": nearest["rmse_min"], "nearest_rmse_mean": nearest["rmse_mean"]}
    write_json(work / "quality.json", {"judge": _model_provenance(job.node.run, "judge"), **found})
    return found


# --- records ---------------------------------------------------------------------------------------------------------


def _record(job: Job) -> None:
    """Scores the cell unless it has a number already; then adds what is known of its set's quality."""
    file = record_file(job.workspace.out, job.node.key)
    old = read_record(file) if file.exists() else None
    record = old if old and old["status"] == "ok" else _score(job)
    if asked := job.node.run["quality"]:
        record["quality"] = {"key": asked["key"], **read_json(Path(asked["folder"]) / "quality.json")}
        write_record(job.workspace.out, record)


def _score(job: Job) -> dict[str, Any]:
    """Trains, scores and writes the record of a cell; the checkpoints go when it is on disk."""
    run, spec, out = job.node.run, job.node.run["spec"], job.workspace.out
    dataset = job.dataset
    evaluator = job.component("evaluator", spec["evaluator"])
    work = out / "store" / "record" / f"{job.node.key}.partial"
    work.mkdir(parents=True, exist_ok=True)
    who = f"evaluator '{spec['evaluator']['name']}'"
    context = job.context(derive_seed("train", spec["seed"]), work, learner=who)
    pairs, set_info = _pairs(run, dataset)
    train_seconds, model = _clocked(lambda: evaluator.train(pairs, spec["arch"], spec["protocol"], context))
    scored = dataset.split(spec["dataset"]["split"])
    evaluations = log_evaluation(out, record_id(job.node.key), spec)
    test_seconds, counts = _clocked(lambda: evaluator.evaluate(model, scored, spec["protocol"], context))
    check_counts(counts, job.truth(spec["dataset"]["split"]), who)
    provenance = _provenance(run, set_info, context.seed) | {"evaluations": evaluations}
    record = new_record(job.node.key, spec, run["preset"], provenance, job.workspace.device)
    record |= {"status": "ok", "reason": None, "peak_memory": peak_memory()}
    record["budget"] = set_info["budget"]
    record["timings"] = {
        "select": set_info.get("select_seconds"),
        "synthesise": set_info.get("seconds"),
        "train": train_seconds,
        "evaluate": test_seconds,
    }
    share = load_mask_index(Path(run["index"])).class_share
    write_counts(out, record, counts, share)
    write_record(out, record)
    shutil.rmtree(work, ignore_errors=True)
    return record


def _clocked(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def _pairs(run: Json, dataset: Dataset) -> tuple[Split, dict[str, Any]]:
    """The training pairs and what is known of them: a distilled set, one made elsewhere, or the whole train split."""
    if run["pairs"] is None:
        train = dataset.split("train")
        pixels = int(load_mask_index(Path(run["index"])).pixels.sum())
        return train, {"budget": {"images": len(train), "pixels": pixels, "bytes": None, "total_images": len(train)}}
    folder = Path(run["pairs"]["folder"])
    pairs = DistilledSet.open(folder, len(dataset.classes))
    if folder.name == run["pairs"]["id"]:
        return pairs, read_json(folder / ARTEFACT)
    if not pairs.labelled:
        raise DatasetError(f"{folder} holds no labelled pixel: all masks are {IGNORE} throughout, so mend them")
    total = len(dataset.split("train"))
    budget = {"images": len(pairs), "pixels": pairs.pixels, "bytes": pairs.bytes, "total_images": total}
    return pairs, _told(folder) | {"budget": budget, "distilled": run["pairs"]["id"]}


def _told(folder: Path) -> dict[str, Any]:
    """What the manifest of a set made elsewhere says of the models and seeds behind it."""
    if not (folder / MANIFEST).exists():
        return {}
    found = read_json(folder / MANIFEST)
    keys = {"teacher": {"sha256", "trained_on"}, "generator": {"sha256", "trained_on"}, "nearest_train": {"rmse_min"}}
    keys["seeds"] = {"select", "synthesise"}
    return {key: found[key] for key, inner in keys.items() if inner <= set(found.get(key) or ())}


def _provenance(run: Json, about: Json, train_seed: int) -> dict[str, Any]:
    seeds = about.get("seeds", {"select": None, "synthesise": None}) | {"train": train_seed}
    kept = {key: about.get(key) for key in ("teacher", "generator", "distilled", "selection", "nearest_train")}
    # the one that labels in this run, not one that a set made elsewhere names
    kept["teacher"] = _model_provenance(run, "teacher") or kept["teacher"]
    return {**kept, "seeds": seeds, "command": run["command"], "commit": run["commit"]}


def write_failure(node: Node, out: Path, status: str, reason: str, *, new: bool = False) -> None:
    """A record of a cell that gave no number, unless an earlier run gave one; ``new`` = only where there is none at
    all, for one who does not hold the cell's lock."""
    file = record_file(out, node.key)
    if not new and file.exists() and read_json(file).get("status") == "ok":
        return  # what failed was to be added to it
    record = new_record(node.key, node.run["spec"], node.run["preset"], _provenance_of_failure(node.run))
    write_record(out, record | {"status": status, "reason": reason}, new=new)


def _provenance_of_failure(run: Json) -> dict[str, Any]:
    nothing = dict.fromkeys(("teacher", "generator", "distilled", "selection"))
    seeds = {"select": None, "synthesise": None, "train": None}
    return {**nothing, "seeds": seeds, "command": run["command"], "commit": run["commit"]}
