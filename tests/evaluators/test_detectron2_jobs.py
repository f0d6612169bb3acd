"""detectron2's side, as far as it goes without detectron2."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tool_runs import bare_python

from d3s2bench import ConfigError
from d3s2bench_evaluators.detectron2_evaluator import Detectron2
from d3s2bench_evaluators.tool_scripts.detectron2_jobs import _newest_checkpoint


def test_an_interpreter_without_detectron2_says_how_to_install_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no detectron2, .*pip install .*git\+https") as raised:
        Detectron2(python=bare_python(tmp_path)).protocol("semantic-fpn-r18", (48, 32))
    assert "\n" not in str(raised.value)


def test_an_interpreter_of_the_environment_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(Detectron2.PYTHON, "/nothing/python")
    with pytest.raises(ConfigError, match=r"evaluator detectron2: '/nothing/python' does not run: No such file"):
        Detectron2().protocol("semantic-fpn-r50", (48, 32))


def test_a_torn_checkpoint_is_passed_over(tmp_path: Path) -> None:
    assert _newest_checkpoint(tmp_path) is None
    for iteration in (9, 10):
        with zipfile.ZipFile(tmp_path / f"model_{iteration:07d}.pth", "w") as whole:
            whole.writestr("data.pkl", bytes(1000))
    assert _newest_checkpoint(tmp_path) == "model_0000010.pth"
    newest = tmp_path / "model_0000010.pth"
    newest.write_bytes(newest.read_bytes()[:-30])
    assert _newest_checkpoint(tmp_path) == "model_0000009.pth"


def test_planning_imports_neither_torch_nor_detectron2() -> None:
    code = (
        "import sys; from d3s2bench_evaluators.detectron2_evaluator import Detectron2; Detectron2().architectures();"
        "sys.exit(bool({'torch', 'detectron2', 'yacs'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
