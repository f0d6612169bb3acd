"""Weights & Biases as a projection of the local files: a W&B that fails never loses a result."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from d3s2bench.config import RunConfig
from d3s2bench.errors import ConfigError, DatasetError, StageError
from d3s2bench.files import digest
from d3s2bench.observers import set_folder
from d3s2bench.results.records import read_records
from d3s2bench.storage.store import Store
from d3s2bench.values import Json
from d3s2bench.workspace import Workspace

PROJECT = "d3s2bench"


class WandbLog:
    """Logs each finished record as a W&B run; its id is made from the record, so logging again changes nothing."""

    def __init__(self, config: RunConfig, workspace: Workspace) -> None:
        self.config, self.workspace = config, workspace
        self.mode = _mode(config.wandb)
        self.problem: str | None = None
        self.logged = 0

    def record(self, record: Json, dataset: str) -> None:
        """Logs a record of the dataset that the workspace opens under that name."""
        if self.mode is None or self.problem:
            return
        try:
            self._log(record, dataset)
            self.logged += 1
        except Exception as error:  # whatever W&B or the network raises, the local record stands
            self.problem = " ".join(f"{type(error).__name__}: {error}".split())

    def finish(self, records: int = 0) -> None:
        """Says in one line what became of the logging of so many records."""
        if self.problem:
            print(f"W&B failed ({self.problem}); all results are in {self.workspace.out}", file=sys.stderr)
        elif self.mode is None and self.config.wandb != "disabled":
            print("W&B: not logged; set WANDB_API_KEY or WANDB_MODE, or give --wandb offline", file=sys.stderr)
        elif self.logged < records:
            print(f"W&B: logged the {self.logged} of {records} records that this run scored itself", file=sys.stderr)

    def _log(self, record: Json, dataset: str) -> None:
        folder = set_folder(record, self.workspace.store)
        if folder and not self.workspace.dataset(dataset).redistributable:
            folder = None
        log_record(record, self.workspace.out, self.mode, folder)


# --- one record ------------------------------------------------------------------------------------------------------


def log_record(record: Json, out: Path, mode: Any, folder: Path | None) -> None:
    """One W&B run for a record, with its distilled set from ``folder``; None for a set that stays here.

    The run's id follows from the record's and all is logged in one step, so that logging again updates the same run.
    """
    import wandb

    spec = record["spec"]
    run = wandb.init(
        project=os.environ.get("WANDB_PROJECT", PROJECT),
        id=digest(record["id"])[:16],
        name=_name(spec),
        group=f"{spec['dataset']['name']}-{spec['rate']:g}-{spec['arch']}",
        job_type="evaluate",
        tags=_tags(record),
        config=dict(record["spec"]) | {"record": record["id"]},
        dir=str(out),
        mode=mode,
        resume="allow" if mode == "online" else None,
        settings=wandb.Settings(silent=True, console="off", x_disable_stats=True),
    )
    try:
        content = _scalars(record) | {"per_class_iou": _class_table(wandb, record)}
        if folder is not None:
            content["samples"] = wandb.Image(str(folder / "preview.png"))
        _log_once(run, content)
        if folder is not None:
            run.log_artifact(_artifact(wandb, record, folder))
    finally:
        run.finish()


def _log_once(run: Any, content: dict[str, Any]) -> None:
    """As the first and only step; a run that has it already takes new values in its summary, not as a second step."""
    if run.starting_step == 0:
        run.log(content, step=0)
    else:
        run.summary.update(content)


def _artifact(wandb: Any, record: Json, folder: Path) -> Any:
    """W&B makes no new version of one whose files it has."""
    key = record["provenance"]["distilled"]
    artifact = wandb.Artifact(f"distilled-{key[:16]}", type="distilled-set", metadata=_artifact_metadata(record))
    for part in ("images", "annotations"):
        artifact.add_dir(str(folder / part), name=part)
    artifact.add_file(str(folder / "manifest.json"))
    return artifact


# --- all records of a folder -----------------------------------------------------------------------------------------


@dataclass
class Pushed:
    """What became of a folder's records."""

    records: int = 0
    sets: int = 0
    unknown: set[str] = field(default_factory=set)
    """Datasets whose sets stayed here, since it is not known whether they may be passed on."""


def push(out: Path, roots: dict[str, str], asked: str = "auto") -> Pushed:
    """Rebuilds the W&B run of every scored record from the local files, as the run itself logged it.

    ``roots`` says where datasets lie that are read from files: they know whether their images may be passed on.

    Raises:
        ConfigError: W&B is not set up.
        StoreError: no records, or a broken one.
        StageError: W&B failed; the local files stand, pushing again goes on.
    """
    mode = _mode(asked)
    if mode is None:
        raise ConfigError("W&B is not set up: set WANDB_API_KEY or WANDB_MODE, or give --wandb offline")
    pushed, rights, store = Pushed(), _Rights(out, roots), Store(out)
    for record in read_records(out):
        if record["status"] == "ok":
            folder = set_folder(record, store)
            _push(record, out, mode, folder if folder and rights.given(record["spec"]["dataset"]) else None, pushed)
    pushed.unknown = rights.unknown
    return pushed


def _push(record: Json, out: Path, mode: Any, folder: Path | None, pushed: Pushed) -> None:
    try:
        log_record(record, out, mode, folder)
    except Exception as error:  # whatever W&B or the network raises
        what = " ".join(f"{type(error).__name__}: {error}".split())
        raise StageError(f"W&B failed after {pushed.records} records ({what}): push again") from error
    pushed.records += 1
    pushed.sets += folder is not None


class _Rights:
    """Whether the datasets of records let their images be passed on; each is opened once."""

    def __init__(self, out: Path, roots: dict[str, str]) -> None:
        self.out, self.roots = out, roots
        self.unknown: set[str] = set()
        self._known: dict[str, bool] = {}

    def given(self, described: Json) -> bool:
        key = digest(described)
        if key not in self._known:
            self._known[key] = self._ask(described)
        return self._known[key]

    def _ask(self, described: Json) -> bool:
        """A dataset that cannot be opened, or whose files are others than the record's, gives none: a name proves
        nothing."""
        name, options = described["name"], dict(described["options"])
        held_out = options.pop("holdout", None)
        holdouts = {name: held_out} if held_out else {}
        try:
            dataset = Workspace(self.out, self.roots, {name: options}, holdouts).dataset(name)
            if dataset.fingerprint == described["fingerprint"]:
                return dataset.redistributable
        except (ConfigError, DatasetError):
            pass
        self.unknown.add(name)
        return False


# --- words -----------------------------------------------------------------------------------------------------------


def _mode(asked: str) -> Any:
    """The W&B mode, or None for no logging. ``auto`` logs where the environment says so."""
    if asked == "disabled" or os.environ.get("WANDB_MODE") == "disabled":
        return None
    if asked != "auto":
        return asked
    if mode := os.environ.get("WANDB_MODE"):
        return mode
    return "online" if os.environ.get("WANDB_API_KEY") or _has_netrc_key() else None


def _has_netrc_key() -> bool:
    file = Path.home() / ".netrc"
    return file.exists() and "api.wandb.ai" in file.read_text(errors="replace")


def _name(spec: Json) -> str:
    return f"{spec['selector']['name']}+{spec['synth']['name']} #{spec['seed']}"


def _tags(record: Json) -> list[str]:
    spec = record["spec"]
    tags = [spec["dataset"]["name"], spec["selector"]["name"], spec["synth"]["name"], spec["arch"]]
    return [tag[:64] for tag in [*tags, *([f"preset:{record['preset']}"] if record["preset"] else [])]]


def _scalars(record: Json) -> dict[str, float]:
    numbers = {k: v for k, v in record["metrics"].items() if isinstance(v, int | float)}
    numbers |= {f"seconds/{k}": v for k, v in record["timings"].items() if v is not None}
    return numbers | {f"budget/{k}": v for k, v in record["budget"].items() if v is not None}


def _class_table(wandb: Any, record: Json) -> Any:
    rows = zip(record["spec"]["dataset"]["classes"], record["metrics"]["per_class_iou"], strict=True)
    return wandb.Table(columns=["class", "iou"], data=[list(row) for row in rows])


def _artifact_metadata(record: Json) -> dict[str, Any]:
    spec = record["spec"]
    return {
        "selector": spec["selector"],
        "synth": spec["synth"],
        "rate": spec["rate"],
        "dataset": spec["dataset"]["name"],
    }
