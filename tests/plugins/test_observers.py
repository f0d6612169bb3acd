"""Observers are told of what a run scores; one that fails loses nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from overlays import d3s2bench_in

from d3s2bench import Component, ConfigError, Folders, Json, UnknownNameError
from d3s2bench.config import make_config
from d3s2bench.observers import Observers
from d3s2bench.plugins import Registered, Registry, registry
from d3s2bench.results.records import read_records
from d3s2bench.testing import tiny_records
from d3s2bench.workspace import Workspace

TOLD: list[tuple[str, Any]] = []


class Good:
    def on_record(self, record: Json, folders: Folders) -> None:
        TOLD.append((record["id"], folders))

    def finish(self) -> None:
        TOLD.append(("finish", None))


class Failing(Good):
    def on_record(self, record: Json, folders: Folders) -> None:
        super().on_record(record, folders)
        raise RuntimeError("the server\nis away")


class Quitting(Good):
    def finish(self) -> None:
        raise SystemExit("bye")


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    TOLD.clear()
    kinds = [
        Registered(Component("observer", c.__name__.lower(), f"{__name__}:{c.__name__}", ""), "fakes", "1")
        for c in (Good, Failing, Quitting)
    ]
    ours = [row for row in registry().rows if row.package == "d3s2bench"]
    found = Registry([*ours, *kinds])
    monkeypatch.setattr("d3s2bench.workspace.registry", lambda files: found)
    yield


def observers(tiny: Path, out: Path, *names: str, **options: Any) -> Observers:
    config = make_config({"out": str(out), "data_root": {"tiny": str(tiny)}, "observer": list(names), **options})
    return Observers(config, Workspace.of(config))


def test_each_is_told_of_each_record_and_of_the_end(tmp_path: Path, tiny: Path) -> None:
    made, records = observers(tiny, tmp_path, "good"), tiny_records(tmp_path)[:2]
    for record in records:
        made.record(record, "tiny")
    made.finish()
    assert [name for name, _ in TOLD] == [records[0]["id"], records[1]["id"], "finish"]
    assert TOLD[0][1] == Folders(tmp_path, None, redistributable=True)


def test_the_folder_of_the_distilled_set_is_told(tmp_path: Path, tiny: Path) -> None:
    made, record = observers(tiny, tmp_path, "good"), tiny_records(tmp_path)[0]
    record["provenance"]["distilled"] = "a" * 64
    folder = made.workspace.store.path("distilled", "a" * 64)
    (folder / "images").mkdir(parents=True)
    made.record(record, "tiny")
    assert TOLD[0][1].distilled == folder


@pytest.mark.parametrize(
    ("name", "told", "line"),
    [
        ("failing", 1, "observer 'failing' failed (RuntimeError: the server is away); all results are in "),
        ("quitting", 2, "observer 'quitting' failed (SystemExit: bye); all results are in "),
    ],
)
def test_one_that_fails_is_one_line_and_is_told_no_more(
    tmp_path: Path, tiny: Path, capsys: pytest.CaptureFixture[str], name: str, told: int, line: str
) -> None:
    made, records = observers(tiny, tmp_path, name, "good"), tiny_records(tmp_path)[:2]
    for record in records:
        made.record(record, "tiny")
    made.finish()
    assert capsys.readouterr().err.splitlines() == [line + str(tmp_path)]
    assert len(TOLD) == told + 3  # the good one hears all


def test_an_unknown_one_stops_before_anything_runs(tmp_path: Path, tiny: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown observer 'goood': did you mean 'good'"):
        observers(tiny, tmp_path, "goood")


def test_wrong_options_stop_before_anything_runs(tmp_path: Path, tiny: Path) -> None:
    with pytest.raises(ConfigError, match="unknown option of observer 'good' 'loud'"):
        observers(tiny, tmp_path, "good", options={"observer": {"good": {"loud": True}}})


RUN = """\
from d3s2bench import Component, hookimpl
class Broken:
    def on_record(self, record, folders):
        raise OSError("no network")
    def finish(self): ...
@hookimpl
def register_observers():
    return [Component("observer", "broken", "broken_observer:Broken", "Fails")]
"""


def test_a_run_keeps_its_results_when_an_observer_fails(tmp_path: Path, tiny: Path) -> None:
    (tmp_path / "broken_observer.py").write_text(RUN)
    quick = ["iterations=2", "converged_iterations=2", "size=[32,24]", "batch_size=2"]
    given = ["--dataset", "tiny", "--data-root", f"tiny={tiny}", "--rate", "0.2", "--selector", "random"]
    given += ["--synth", "real", "--controls", "none", "--plugin", "broken_observer.py", "--observer", "broken"]
    settings = [word for key in quick for word in ("--set", f"protocol.{key}")]
    made = d3s2bench_in(tmp_path, "run", *given, *settings, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert made.stderr.count("observer 'broken' failed (OSError: no network); all results are in") == 1
    assert [record["status"] for record in read_records(tmp_path / "runs")] == ["ok"]
