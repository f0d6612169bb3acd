"""What the command line does, as functions: run, distill, evaluate, train, leaderboard."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from d3s2bench.config import RunConfig, make_config
from d3s2bench.errors import ConfigError, StageError, StoreError
from d3s2bench.execution.events import Distilled, Tabled, Tell, untold
from d3s2bench.execution.runner import Order, Outcome, execute
from d3s2bench.files import digest, file_sha256, folder_sha256, read_json
from d3s2bench.observers import Observers
from d3s2bench.planning.configured import unversioned
from d3s2bench.planning.plan import Node, Plan
from d3s2bench.planning.planner import Planner
from d3s2bench.plugins import registry
from d3s2bench.results.evaluation_log import with_looks
from d3s2bench.results.records import import_reference, read_record, read_records, record_file
from d3s2bench.sets.distilled import MANIFEST, DistilledSet
from d3s2bench.wandb_log import WandbLog
from d3s2bench.workspace import Workspace


@dataclass(frozen=True)
class Result:
    """What a run gave: its records (controls and shipped references among them) and the table made of them."""

    records: list[dict[str, Any]]
    table: str
    problems: dict[str, str] = field(default_factory=dict)
    """Stage key → why it failed; empty when all went well."""


def run(config: RunConfig | None = None, on_event: Tell = untold, **given: Any) -> Result:
    """Runs a comparison matrix with its controls; ``given`` are fields of :class:`RunConfig`. ``on_event`` hears of all
    that happens, see :mod:`d3s2bench.execution.events`; one call at a time, from any thread.

    >>> result = run(selector="balanced", synth="guided", preset="smoke", out="runs")  # doctest: +SKIP

    Raises:
        D3S2Error: bad input, before anything is run. What fails later is in ``problems`` and in the records.
    """
    config, workspace, planner = _start(config, given)
    return _scored(planner.matrix(), config, workspace, on_event)


def plan(config: RunConfig) -> tuple[Plan, Workspace]:
    """The plan of a run, for looking at."""
    config, workspace, planner = _start(config, {})
    return planner.matrix(), workspace


def distill(config: RunConfig | None = None, on_event: Tell = untold, **given: Any) -> list[Path]:
    """Makes the distilled sets of a matrix and stops; returns their folders.

    Raises:
        StageError: a stage failed.
    """
    config, workspace, planner = _start(config, given)
    made = planner.sets()
    _execute_or_raise(made, config, workspace, on_event)
    nodes = [node for node in made.nodes.values() if node.stage == "distilled"]
    folders = [workspace.store.path(node.stage, node.key) for node in nodes]
    for folder in folders:
        on_event(Distilled(str(folder)))
    return folders


def evaluate(folder: Path, config: RunConfig | None = None, on_event: Tell = untold, **given: Any) -> Result:
    """Scores a distilled set made elsewhere: ``images/*.png``, ``annotations/*.png``, a manifest if there is one."""
    config, workspace, planner = _start(config, given)
    pairs = DistilledSet.open(folder, len(workspace.dataset(config.dataset[0]).classes))
    described = _described(folder)
    made = planner.external(folder.resolve(), _content(pairs), len(pairs), described)
    return _scored(made, config, workspace, on_event)


def train(kind: str, config: RunConfig | None = None, save: Path | None = None, **given: Any) -> list[Path]:
    """Trains the teacher or the generator of each dataset in the store; ``save`` copies that of the one dataset to a
    folder.

    Raises:
        ConfigError: several datasets and one folder.
        StoreError: there is something in that folder.
        StageError: the training failed.
    """
    config, workspace, planner = _start(config, given)
    if given_one := getattr(config, kind):
        family = "; which family to train is generator_family" if kind == "generator" else ""
        raise ConfigError(f"{kind} is '{given_one}', that of one that is there: leave it out to train one{family}")
    nodes = [planner.model(kind, dataset) for dataset in config.dataset]
    folders = [workspace.store.path(kind, node.key) for node in nodes]
    if save is not None:
        _check_place(save, config.dataset, folders[0])
    _execute_or_raise(planner.plan, config, workspace)
    if save is not None:
        shutil.copytree(folders[0], save, dirs_exist_ok=True)
    return folders


def _check_place(save: Path, datasets: list[str], made: Path) -> None:
    """Before a training, not after it. What the same command has saved there before is no hindrance."""
    if len(datasets) > 1:
        raise ConfigError(f"--save {save} is one folder for {', '.join(datasets)}: train one dataset at a time")
    if made.is_dir() and save.is_dir() and folder_sha256(save) == folder_sha256(made):
        return
    if save.exists() and (not save.is_dir() or any(save.iterdir())):
        raise StoreError(f"{save} is not empty: what is there would mix with what is made, give another --save")


def leaderboard(
    folder: Path, format: str = "markdown", plugins: Iterable[str] = (), **options: Any
) -> str | Mapping[str, bytes]:
    """All records of a run folder in one of the registered formats, with that format's options: a text, or files by
    name."""
    found = registry(tuple(plugins))
    renderer = found.create("renderer", format, options, {"folder": folder})  # for one that reads the counts, too
    made: str | Mapping[str, bytes] = renderer.render(read_records(folder))
    return made


def _start(config: RunConfig | None, given: dict[str, Any]) -> tuple[RunConfig, Workspace, Planner]:
    if config and given:
        raise ConfigError(f"both a config and {', '.join(given)} are given: set them in the config")
    config = config or make_config(given)
    workspace = Workspace.of(config)
    if config.strict_plugins:
        workspace.registry.require_healthy()
    workspace.store.prepare()
    workspace.registry.find("executor", config.executor)
    for name in config.observer:
        workspace.registry.find("observer", name)
    if config.executor == "inline":  # the machine that others work on has devices of its own
        workspace.check_device()
    planner = Planner(config, workspace)
    planner.configured.check_options()
    return config, workspace, planner


def _scored(made: Plan, config: RunConfig, workspace: Workspace, on_event: Tell) -> Result:
    log, observers = WandbLog(config, workspace), Observers(config, workspace)

    def logged(node: Node) -> None:
        record = _read(node, workspace)
        for each in (log, observers):
            each.record(record, node.run["dataset"])

    outcome = execute(made, workspace, _order(config, workspace), logged, on_event)
    references = [import_reference(file, workspace.out) for file in made.references]
    records = [_read(made.nodes[key], workspace) for key in made.records]
    log.finish(len(records) + len(references))
    observers.finish()
    shown = [with_looks(record, workspace.out) for record in records + references]
    table = registry().create("renderer", "markdown").render(shown)
    result = Result(records + references, table, outcome.failed | outcome.skipped)
    on_event(Tabled(result.table, len(result.records), result.problems))
    return result


def _order(config: RunConfig, workspace: Workspace) -> Order:
    options = config.options.get("executor", {}).get(config.executor, {})
    executor = workspace.registry.create("executor", config.executor, options)
    return Order(executor, config.threads, config.workers)


def _read(node: Node, workspace: Workspace) -> dict[str, Any]:
    return read_record(record_file(workspace.out, node.key))


def _execute_or_raise(made: Plan, config: RunConfig, workspace: Workspace, on_event: Tell = untold) -> None:
    outcome: Outcome = execute(made, workspace, _order(config, workspace), lambda node: None, on_event)
    for reason in outcome.failed.values():
        raise StageError(reason)


def _described(folder: Path) -> dict[str, Any]:
    """Selector and synthesizer of a set: from its manifest, else the folder's name."""
    if not (folder / MANIFEST).exists():
        name = folder.resolve().name
        return {"selector": unversioned("external"), "synth": unversioned(name)}
    manifest = read_json(folder / MANIFEST)
    if not isinstance(manifest, dict):
        raise StoreError(f"{folder / MANIFEST} is no manifest: delete it, it is optional")
    described = {part: manifest.get(part) or unversioned("external") for part in ("selector", "synth")}
    for part, found in described.items():
        if not isinstance(found, dict) or found.keys() - {"changed"} != {"name", "options", "version"}:
            raise StoreError(f"{folder / MANIFEST}: '{part}' must hold name, options and version, or be left out")
    return described


def _content(pairs: DistilledSet) -> str:
    """Digest of the images and masks of a set, by name."""
    files = [pairs.folder / part / f"{name}.png" for part in ("images", "annotations") for name in pairs.names]
    return digest([[file.parent.name, file.name, file_sha256(file)] for file in files])
