"""Weights & Biases as a projection of the local files: a W&B that fails never loses a result."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from d3s2bench.config import RunConfig
from d3s2bench.files import digest
from d3s2bench.values import Json
from d3s2bench.workspace import Workspace

PROJECT = "d3s2bench"


class WandbLog:
    """Logs each finished record as a W&B run; its id is made from the record, so logging again changes nothing."""

    def __init__(self, config: RunConfig, workspace: Workspace) -> None:
        self.workspace = workspace
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
        elif self.mode is None:
            print("W&B: not logged; set WANDB_API_KEY or WANDB_MODE, or give --wandb offline", file=sys.stderr)
        elif self.logged < records:
            print(f"W&B: logged the {self.logged} of {records} records that this run scored itself", file=sys.stderr)

    def _log(self, record: Json, dataset: str) -> None:
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
            dir=str(self.workspace.out),
            mode=self.mode,
            resume="allow" if self.mode == "online" else None,
            settings=wandb.Settings(silent=True, console="off", x_disable_stats=True),
        )
        try:
            run.log(_scalars(record))
            run.log({"per_class_iou": _class_table(wandb, record)})
            self._log_set(wandb, run, record, dataset)
        finally:
            run.finish()

    def _log_set(self, wandb: Any, run: Any, record: Json, dataset: str) -> None:
        """The distilled set as an artifact and its preview as an image, unless the dataset may not be passed on."""
        key = record["provenance"]["distilled"]
        if key is None or not self.workspace.dataset(dataset).redistributable:
            return
        folder = self.workspace.store.path("distilled", key)
        if not (folder / "images").is_dir():
            return
        run.log({"samples": wandb.Image(str(folder / "preview.png"))})
        artifact = wandb.Artifact(f"distilled-{key[:16]}", type="distilled-set", metadata=_artifact_metadata(record))
        for part in ("images", "annotations"):
            artifact.add_dir(str(folder / part), name=part)
        artifact.add_file(str(folder / "manifest.json"))
        run.log_artifact(artifact)


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
