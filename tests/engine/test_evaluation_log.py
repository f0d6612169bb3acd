"""The log of looks at a split: complete, and the same number for the same work."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_fakes import spec

from d3s2bench.results.evaluation_log import LOG, log_evaluation, read_evaluations


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


def test_a_torn_line_is_left_out(out: Path) -> None:
    (out / LOG).write_text('{"record": "1', encoding="utf-8")
    assert list(read_evaluations(out)) == []
