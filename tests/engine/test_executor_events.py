"""What a run says of itself: events for programs, bars and lines for people."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from engine_fakes import WENT_WRONG, fake_config

from d3s2bench import ConfigError, api
from d3s2bench.cli.options import config_of
from d3s2bench.config import make_config
from d3s2bench.execution import events
from d3s2bench.execution.events import Began, Ended, Failed, Moved
from d3s2bench.execution.progress import Bars, Lines, display, rate
from d3s2bench.results.records import read_record

NAMES = {cls.name: cls for cls in vars(events).values() if isinstance(cls, type) and hasattr(cls, "name")}
STAGE = ("selection", "k" * 64, "select first #0")


def told(tiny: Path, out: Path, *words: str) -> tuple[int, list[dict[str, Any]], str]:
    """Exit code, stdout as events, stderr of a command."""
    plain = ["--data-root", f"tiny={tiny}", "--dataset", "tiny", "--out", str(out), "--rate", "0.2", "--json"]
    command = [sys.executable, "-P", "-c", "from d3s2bench.cli.app import main; main()", *words, *plain]
    made = subprocess.run(command, capture_output=True, text=True)
    return made.returncode, [json.loads(line) for line in made.stdout.splitlines()], made.stderr


@pytest.mark.usefixtures("fakes")
def test_json_is_one_event_per_line_and_nothing_else(tiny: Path, tmp_path: Path) -> None:
    method = ["--selector", "loud", "--selector", "fails", "--synth", "real", "--controls", "none"]
    words = ["run", *method, "--evaluator", "majority", "--arch", "flat"]
    code, found, stderr = told(tiny, tmp_path / "runs", *words)
    assert code == 1  # a cell failed
    for event in found:
        assert set(event) == {"event", "time", *(field.name for field in fields(NAMES[event["event"]]))}
    assert found[0]["stages"] == {"index": [1, 1], "selection": [2, 2], "distilled": [2, 2], "record": [2, 2]}
    assert [event["event"] for event in found].count("ended") == 4
    (failed, *skipped) = [event for event in found if event["event"] == "failed"]
    assert re.fullmatch(WENT_WRONG, failed["reason"])
    assert [event["skipped"] for event in skipped] == [True, True]
    (record,) = [event for event in found if event["event"] == "record"]
    assert read_record(Path(record["file"]))["status"] == "ok"
    table = found[-1]
    assert (table["event"], table["records"], len(table["problems"])) == ("table", 2, 3)
    assert "| tiny " in table["table"]
    assert "| tiny " not in stderr
    assert "select fails #0: failed: RuntimeError" in stderr


@pytest.mark.usefixtures("fakes")
def test_distill_tells_the_folders(tiny: Path, tmp_path: Path) -> None:
    code, found, _ = told(tiny, tmp_path / "runs", "distill", "--selector", "first", "--synth", "real")
    assert code == 0
    (made,) = [event for event in found if event["event"] == "set"]
    assert (Path(made["folder"]) / "manifest.json").exists()


@pytest.mark.usefixtures("fakes")
def test_the_executor_is_part_of_no_result(tiny: Path, tmp_path: Path) -> None:
    keys = []
    for given in ({}, {"executor": "inline", "workers": 3, "options": {"executor": {"inline": {"retries": 5}}}}):
        plan, _ = api.plan(fake_config(tiny, tmp_path / "runs", **given))
        record = plan.nodes[plan.records[0]]
        keys.append((plan.records, record.run["spec"], record.run["command"]))
    assert keys[0] == keys[1]


def test_the_address_is_an_option_of_ray() -> None:
    made = config_of({"executor": "ray", "address": "10.0.0.1:6379"})
    assert made.options == make_config({}, None, ["executor.ray.address=10.0.0.1:6379"]).options
    with pytest.raises(ConfigError, match=r"--address x is that of a Ray cluster: add --executor ray"):
        config_of({"address": "x"})


def test_an_unknown_executor_or_option_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown executor 'inlin': did you mean 'inline'\?"):
        api.plan(make_config({"out": str(tmp_path), "executor": "inlin"}))
    with pytest.raises(ConfigError, match=r"unknown option of executor 'inline' 'retry': did you mean 'retries'\?"):
        api.plan(make_config({"out": str(tmp_path)}, None, ["executor.inline.retry=2"]))


# --- for people ------------------------------------------------------------------------------------------------------


def some_events() -> list[events.Event]:
    other = ("record", "r" * 64, "train and score")
    moved = [Moved(*STAGE, done, 4, "images") for done in (1, 4)]
    return [Began(*STAGE), *moved, Ended(*STAGE, 1.5), Began(*other), Failed(*other, "no memory", skipped=False)]


@pytest.mark.parametrize("quiet", [False, True])
def test_lines_and_few_of_them_in_ci(quiet: bool, capsys: pytest.CaptureFixture[str]) -> None:
    with Lines(3, quiet) as shown:
        for event in [*some_events(), Failed("quality", "q", "judge", "no memory", skipped=True)]:
            shown(event)
    lines = [line.split(" s  ")[1] for line in capsys.readouterr().err.splitlines()]
    failed = "train and score: failed: no memory"
    if quiet:
        assert lines == [failed, "1 stages done, 2 without a result"]
    else:
        assert lines == ["select first #0: done", failed, "judge: skipped"]


@pytest.mark.parametrize(("ci", "quiet"), [("", False), ("true", True), ("0", False)])
def test_ci_is_known_by_its_variable(ci: str, quiet: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", ci)
    shown = display(3)
    assert isinstance(shown, Lines)
    assert shown.quiet is quiet


def test_a_stage_that_takes_long_has_lines_on_its_way(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]

    def told(done: int, total: int, note: str, seconds: float, quiet: bool = False) -> list[str]:
        now[0] += seconds
        shown.quiet = quiet
        shown(Moved(*STAGE, done, total, note))
        return [line.split(" s  ")[1] for line in capsys.readouterr().err.splitlines()]

    with Lines(1, quiet=False, clock=lambda: now[0]) as shown:
        shown(Began(*STAGE))
        assert told(100, 1000, "loss 2.000", 5) == []  # it went on from a checkpoint
        assert told(190, 1000, "loss 1.500", 59) == []
        line = "select first #0: 220 of 1000 (loss 1.200), 2.0/s, 0:06:30 left"
        assert told(220, 1000, "loss 1.200", 1) == [line]
        assert told(250, 1000, "loss 1.100", 70) == []  # less than a twentieth
        assert told(280, 1000, "loss 1.000", 50, quiet=True) == []
        assert told(280, 1000, "loss 1.000", 0) == ["select first #0: 280 of 1000 (loss 1.000), 1.0/s, 0:12:00 left"]
        assert told(1000, 1000, "", 90) == []
        assert told(1, 9, "", 1) == []  # other steps
        assert told(2, 9, "", 60) == ["select first #0: 2 of 9, 60.0 s each, 0:07:00 left"]
        shown(Ended(*STAGE, 1.5))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_bars_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    with display(2) as shown:
        assert isinstance(shown, Bars)
        for event in some_events()[:3]:
            shown(event)
        _, bar = shown.bars.tasks
        assert (bar.description, bar.completed, bar.total) == ("select first #0", 4, 4)
        shown.bars.refresh()
        shown(Moved(*STAGE, 1, 9, "previews"))
        assert (bar.completed, bar.total, bar.fields["note"]) == (1, 9, "previews")
        assert bar.time_remaining is None  # one step alone has no rate
        shown(Moved(*STAGE, 3, 9, "previews, loss 0.5"))
        assert bar.speed and bar.time_remaining is not None, "another note is no other step"
        for event in some_events()[3:]:
            shown(event)
        assert [task.completed for task in shown.bars.tasks] == [2]
    assert "images" in screen.getvalue()
    assert "train and score: failed: no memory" in screen.getvalue()


def test_a_rate_is_read_at_a_glance() -> None:
    assert [rate(speed) for speed in (None, 12.34, 0.25)] == ["", "12.3/s", "4.0 s each"]
