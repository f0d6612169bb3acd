"""The log of looks at a split: complete, and the same number for the same work."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from engine_fakes import environment, spec

from d3s2bench.results.evaluation_log import LOG, log_evaluation, read_evaluations, with_looks


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    return tmp_path


def test_records_and_configurations_are_counted(out: Path) -> None:
    assert log_evaluation(out, "a" * 64, spec(seed=0)) == {"number": 1, "configurations": 1}
    assert log_evaluation(out, "b" * 64, spec(seed=1)) == {"number": 2, "configurations": 1}
    assert log_evaluation(out, "c" * 64, spec(rate=0.5)) == {"number": 3, "configurations": 2}


def test_scoring_again_is_logged_and_counts_once(out: Path) -> None:
    for _ in range(2):
        assert log_evaluation(out, "a" * 64, spec()) == {"number": 1, "configurations": 1}
    assert len(list(read_evaluations(out))) == 2


def test_each_split_has_its_own_number(out: Path) -> None:
    log_evaluation(out, "a" * 64, spec())
    val = spec(dataset=spec()["dataset"] | {"split": "val"})
    assert log_evaluation(out, "b" * 64, val) == {"number": 1, "configurations": 1}


def test_a_table_tells_the_looks_of_by_now(out: Path) -> None:
    """Those that came after the record was scored, too."""
    known = {"spec": spec(), "provenance": {"seeds": {}, "evaluations": log_evaluation(out, "a" * 64, spec())}}
    log_evaluation(out, "b" * 64, spec(rate=0.5))
    assert with_looks(known, out)["provenance"] == {"seeds": {}, "evaluations": {"number": 2, "configurations": 2}}
    assert known["provenance"]["evaluations"]["number"] == 1
    foreign = {"spec": spec(), "provenance": {}}
    assert with_looks(foreign, out) == foreign


def test_a_torn_line_is_left_out_and_takes_no_other_along(out: Path) -> None:
    (out / LOG).write_text('{"record": "1', encoding="utf-8")
    assert list(read_evaluations(out)) == []
    assert log_evaluation(out, "a" * 64, spec()) == {"number": 1, "configurations": 1}
    assert [row["record"] for row in read_evaluations(out)] == ["a" * 64]


def test_a_log_that_was_removed_is_counted_from_its_start(out: Path) -> None:
    for record in "abc":
        log_evaluation(out, record * 64, spec())
    (out / LOG).unlink()
    assert log_evaluation(out, "d" * 64, spec()) == {"number": 1, "configurations": 1}


WRITER = """
import json, sys
from pathlib import Path
from engine_fakes import spec
from d3s2bench.results.evaluation_log import log_evaluation
out, name = Path(sys.argv[1]), sys.argv[2]
print(json.dumps([log_evaluation(out, f"{name}{i}", spec(seed=i))["number"] for i in range(40)]))
"""


def test_writers_at_the_same_time_see_each_other(out: Path) -> None:
    """Each number is given once."""
    commands = [[sys.executable, "-P", "-c", WRITER, str(out), name] for name in "ab"]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, env=environment()) for command in commands]
    numbers = [json.loads(run.communicate()[0]) for run in runs]
    assert all(found == sorted(found) for found in numbers)
    assert sorted(numbers[0] + numbers[1]) == list(range(1, 81))
    assert log_evaluation(out, "a0", spec()) == {"number": 80, "configurations": 1}
