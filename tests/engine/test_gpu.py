"""Whole runs on a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from engine_fakes import planner_of

from d3s2bench.config import make_config
from d3s2bench.execution.stages import run_stage
from d3s2bench.plugins import registry
from d3s2bench.results.records import read_record, record_file
from d3s2bench.storage.store import Store
from d3s2bench.upkeep.inventory import artefacts

QUICK: dict[str, Any] = {
    "generator": {"pixel": {"iterations": 2, "channels": [16, 32], "long_side": 32, "batch_size": 2}},
    "synth": {name: {"steps": 2} for name in ("layout", "guided", "mode-guided")},
}
BRIEF = {"iterations": 2, "converged_iterations": 2}


def records_of(tiny: Path, out: Path, evaluator: dict[str, Any] | None = None, **given: Any) -> list[dict[str, Any]]:
    """Each stage of a matrix, one after the other in this process."""
    options = QUICK | ({"evaluator": {"torch": evaluator}} if evaluator else {})
    plain = {"dataset": "tiny", "data_root": {"tiny": str(tiny)}, "out": str(out), "rate": 0.2, "options": options}
    plain |= {"train_missing": True, "device": "cuda", "controls": "none", "protocol": BRIEF}
    planner = planner_of(make_config(plain | given))
    plan = planner.matrix()
    for node in plan.nodes.values():
        run_stage(node, planner.workspace, lambda *_: None)
    return [read_record(record_file(out, key)) for key in plan.records]


@pytest.mark.usefixtures("gpu")
class TestOnAGpu:
    def test_every_synthesizer(self, tiny: Path, tmp_path: Path) -> None:
        names = registry().names("synthesizer")
        found = records_of(tiny, tmp_path / "out", synth=names, selector="balanced", controls="all")
        assert {record["status"] for record in found} == {"ok"}
        assert {record["spec"]["protocol"]["device"] for record in found} == {"cuda"}
        assert all({"gpu", "cuda", "cudnn"} < record["versions"].keys() for record in found)
        made = [each for each in artefacts(Store(tmp_path / "out")) if each.stage == "distilled"]
        assert all((each.folder / "preview.png").exists() for each in made)

    def test_every_selector(self, tiny: Path, tmp_path: Path) -> None:
        names = registry().names("selector")
        found = records_of(tiny, tmp_path / "out", selector=names, synth="real")
        assert [record["status"] for record in found] == ["ok"] * len(names)

    @pytest.mark.parametrize("labels", ["soft", "wdpd", "attnfd"])
    def test_every_kind_of_labels(self, tiny: Path, tmp_path: Path, labels: str) -> None:
        (record,) = records_of(tiny, tmp_path / "out", {"labels": labels}, synth="real", quality=True)
        assert record["status"] == "ok"
        assert record["quality"]

    @pytest.mark.parametrize("arch", ["deeplab", "segformer-b0", "mask2former-swin-t"])
    def test_students(self, tiny: Path, tmp_path: Path, arch: str) -> None:
        protocol: dict[str, Any] = dict(BRIEF)
        if arch != "deeplab":
            protocol |= {"size": [32, 32], "batch_size": 2, "inference": "slide"}
        (record,) = records_of(tiny, tmp_path / "out", arch=arch, synth="real", protocol=protocol)
        assert record["status"] == "ok"
