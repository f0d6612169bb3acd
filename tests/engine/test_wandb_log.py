"""Weights & Biases: a real offline run, read back from its log; a W&B that fails never loses a result."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_fakes import fake_config, provenance, spec, use_fakes

from d3s2bench import Counts
from d3s2bench.files import digest, png, write_bytes, write_json
from d3s2bench.results.records import new_record, write_counts
from d3s2bench.wandb_log import WandbLog
from d3s2bench.workspace import Workspace

BLOCK, HEAD = 32768, 7
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4
SET = "5" * 64
"""The store's key of the distilled set."""


def chunks(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and data of each chunk of a leveldb-style log: blocks of 32 KiB, no chunk across two of them."""
    assert content[:4] == b":W&B"
    at = HEAD
    while at + HEAD <= len(content):
        if BLOCK - at % BLOCK < HEAD:  # too little left for a head: padding
            at += BLOCK - at % BLOCK
            continue
        size, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        if at + HEAD + size > len(content):  # it is still being written
            return
        yield kind, content[at + HEAD : at + HEAD + size]
        at += HEAD + size


def read_log(file: Path) -> list[Any]:
    """The protobuf records of a ``.wandb`` file."""
    from wandb.proto.wandb_internal_pb2 import Record

    records, pending = [], b""
    for kind, data in chunks(file.read_bytes()):
        pending = data if kind in (FULL, FIRST) else pending + data
        if kind in (FULL, LAST):
            records.append(Record())
            records[-1].ParseFromString(pending)
    return records


def kinds(records: list[Any]) -> set[str]:
    return {record.WhichOneof("record_type") for record in records}


def updates(items: Any) -> dict[str, Any]:
    """Keys and values of config, summary or history items."""
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


class Read:
    """What one offline run holds."""

    def __init__(self, out: Path) -> None:
        (folder,) = (out / "wandb").glob("offline-run-*")
        (file,) = folder.glob("run-*.wandb")
        deadline = time.monotonic() + 20  # finish() returns a little before W&B's own process has written all
        while "exit" not in kinds(read_log(file)) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.folder, self.records = folder, read_log(file)
        (self.run,) = [r.run for r in self.records if r.WhichOneof("record_type") == "run"]
        self.config = updates(self.run.config.update)
        self.history: dict[str, Any] = {}
        self.summary: dict[str, Any] = {}
        for record in self.records:
            self.config |= updates(record.config.update)
            self.history |= updates(record.history.item)
            self.summary |= updates(record.summary.update)

    @property
    def media(self) -> list[str]:
        return sorted(f.relative_to(self.folder).as_posix() for f in self.folder.rglob("*.png"))

    @property
    def artifacts(self) -> list[Any]:
        return [
            r.request.log_artifact.artifact if r.HasField("request") else r.artifact
            for r in self.records
            if r.HasField("artifact") or r.request.HasField("log_artifact")
        ]


@pytest.fixture
def record(tmp_path: Path) -> dict[str, Any]:
    """A whole record whose distilled set lies in the store."""
    made = new_record("ab" * 32, spec(), "smoke", provenance(distilled=SET))
    made |= {"status": "ok", "reason": None}
    made["budget"] = {"images": 4, "pixels": 3072, "bytes": 999, "total_images": 20}
    made["timings"] = {"select": 0.5, "synthesise": None, "train": 2.0, "evaluate": 1.0}
    confusion = np.array([[[3, 1, 0], [0, 4, 0], [0, 0, 0]]], np.int64)
    write_counts(tmp_path / "runs", made, Counts(confusion), np.array([0.5, 0.3, 0.2]))
    folder = tmp_path / "runs" / "store" / "distilled" / SET
    for file in ("images/0.png", "annotations/0.png", "preview.png"):
        write_bytes(folder / file, png(np.full((4, 4, 3), 7, np.uint8)))
    write_json(folder / "manifest.json", {"schema": 1, "samples": []})
    return made


def logged(record: dict[str, Any], tiny: Path, out: Path, mode: str = "offline") -> WandbLog:
    config = fake_config(tiny, out, wandb=mode)
    log = WandbLog(config, Workspace.of(config))
    log.record(record, "tiny")
    log.finish()
    return log


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """W&B without a network, and nothing of it outside the test's folder."""
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    use_fakes(monkeypatch)


@pytest.mark.usefixtures("offline")
def test_an_offline_run_holds_the_record(record: dict[str, Any], tiny: Path, tmp_path: Path) -> None:
    assert logged(record, tiny, tmp_path / "runs").problem is None
    read = Read(tmp_path / "runs")
    assert read.run.project == "d3s2bench"
    assert read.run.run_id == digest(record["id"])[:16]
    assert read.run.display_name == "first+noisy #0"
    assert read.run.run_group == "tiny-0.2-flat"
    assert list(read.run.tags) == ["tiny", "first", "noisy", "flat", "preset:smoke"]
    for key, value in {**record["spec"], "record": record["id"]}.items():
        assert read.config[key] == value
    assert read.history["miou"] == record["metrics"]["miou"] == pytest.approx(100 * (3 / 4 + 4 / 5) / 2)
    assert (read.history["seconds/train"], read.history["budget/images"]) == (2.0, 4)
    assert "seconds/synthesise" not in read.history
    assert read.summary["miou"] == record["metrics"]["miou"]
    assert read.history["per_class_iou/_type"] == "table-file"
    table = json.loads(next(read.folder.rglob("*.table.json")).read_text())
    assert table["data"] == [["sky", 75.0], ["ground", 80.0], ["box", None]]


@pytest.mark.usefixtures("offline")
def test_a_set_that_may_be_passed_on_is_an_artifact(record: dict[str, Any], tiny: Path, tmp_path: Path) -> None:
    assert logged(record, tiny, tmp_path / "runs").problem is None
    read = Read(tmp_path / "runs")
    assert any("samples" in name for name in read.media)
    (artifact,) = [a for a in read.artifacts if a.type == "distilled-set"]
    assert artifact.name == f"distilled-{SET[:16]}"
    assert sorted(e.path for e in artifact.manifest.contents) == ["annotations/0.png", "images/0.png", "manifest.json"]
    assert json.loads(artifact.metadata)["rate"] == 0.2


@pytest.mark.usefixtures("offline")
def test_images_that_may_not_be_passed_on_stay_here(record: dict[str, Any], tiny: Path, tmp_path: Path) -> None:
    (tiny / "classes.json").write_text('{"classes": ["a", "b", "c", "d"], "redistributable": false}')
    assert logged(record, tiny, tmp_path / "runs").problem is None
    read = Read(tmp_path / "runs")
    assert read.history["miou"] == record["metrics"]["miou"]
    assert read.media == []
    assert [a for a in read.artifacts if a.type == "distilled-set"] == []


@pytest.mark.usefixtures("offline")
def test_a_wandb_that_fails_is_one_line(
    record: dict[str, Any], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    calls: list[int] = []

    def fail(**_: object) -> None:
        calls.append(1)
        raise ConnectionError("no\nnetwork")

    monkeypatch.setattr("wandb.init", fail)
    config = fake_config(tiny, tmp_path / "runs", wandb="online")
    log = WandbLog(config, Workspace.of(config))
    for _ in range(3):
        log.record(record, "tiny")
    assert len(calls) == 1  # a network that is gone is not waited for again and again
    log.finish()
    said = capsys.readouterr().err
    assert said == f"W&B failed (ConnectionError: no network); all results are in {tmp_path / 'runs'}\n"


@pytest.mark.usefixtures("offline")
def test_a_dataset_that_is_gone_is_one_line(record: dict[str, Any], tiny: Path, tmp_path: Path, capsys: Any) -> None:
    (tiny / "annotations").rename(tiny / "gone")
    assert logged(record, tiny, tmp_path / "runs").problem is not None
    assert "W&B failed (DatasetError: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "environment", "expected"),
    [
        ("auto", {}, None),
        ("auto", {"WANDB_API_KEY": "x"}, "online"),
        ("auto", {"WANDB_MODE": "offline"}, "offline"),
        ("auto", {"WANDB_MODE": "disabled", "WANDB_API_KEY": "x"}, None),
        ("offline", {}, "offline"),
        ("online", {}, "online"),
        ("online", {"WANDB_MODE": "disabled"}, None),
        ("disabled", {"WANDB_API_KEY": "x"}, None),
    ],
)
@pytest.mark.usefixtures("offline")
def test_when_it_logs(
    asked: str, environment: dict[str, str], expected: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    config = fake_config(tmp_path, tmp_path, wandb=asked)
    assert WandbLog(config, Workspace.of(config)).mode == expected


@pytest.mark.usefixtures("offline")
def test_a_key_in_netrc_means_online(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".netrc").write_text("machine api.wandb.ai login user password fake\n")
    config = fake_config(tmp_path, tmp_path)
    assert WandbLog(config, Workspace.of(config)).mode == "online"


@pytest.mark.usefixtures("offline")
def test_no_logging_says_how_to(record: dict[str, Any], tiny: Path, tmp_path: Path, capsys: Any) -> None:
    logged(record, tiny, tmp_path / "runs", mode="auto")
    said = capsys.readouterr().err
    assert said == "W&B: not logged; set WANDB_API_KEY or WANDB_MODE, or give --wandb offline\n"
    assert not (tmp_path / "runs" / "wandb").exists()
    logged(record, tiny, tmp_path / "again", mode="disabled")
    assert capsys.readouterr().err == "", "it was asked for"


@pytest.mark.usefixtures("offline")
def test_records_of_earlier_runs_are_told_as_not_logged(tiny: Path, tmp_path: Path, capsys: Any) -> None:
    config = fake_config(tiny, tmp_path / "runs", wandb="offline")
    WandbLog(config, Workspace.of(config)).finish(records=2)
    assert capsys.readouterr().err == "W&B: logged the 0 of 2 records that this run scored itself\n"
