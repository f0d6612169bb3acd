"""``d3s2bench plugins check``, and what the shell completes."""

from __future__ import annotations

from pathlib import Path

import pytest
from overlays import d3s2bench_in, python

BROKEN = """\
import numpy as np
from d3s2bench import Component, Selection, hookimpl
class Greedy:
    deterministic, needs = True, ()
    def select(self, index, budget, context):
        return Selection(np.arange(budget.images + 1))
@hookimpl
def register_selectors():
    return [Component("selector", "greedy", "one_too_many:Greedy", "One too many")]
"""


def test_a_check_tells_what_is_kept_and_what_not(tmp_path: Path) -> None:
    (tmp_path / "one_too_many.py").write_text(BROKEN)
    made = d3s2bench_in(tmp_path / "none", "plugins", "check", "greedy", "--plugin", "one_too_many.py", cwd=tmp_path)
    assert made.returncode == 1, made.stderr
    lines = [line.strip() for line in made.stdout.splitlines()]
    assert lines[0] == "selector greedy"
    said = "it gave (2,) for a budget of 1 of 1 images (with images=1, share=0.0, drawn=0, seed=0)"  # the smallest
    assert f"FAILED   the budget is exact without duplicates: {said}" in lines
    assert "ok       it says what it needs" in lines
    assert lines[-1] == "5 kept, 2 broken, 3 not tried"
    assert not (tmp_path / ".hypothesis").exists() and not (tmp_path / ".pytest_cache").exists()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["randm"], "error: unknown component 'randm': did you mean 'random'?"),
        (["random", "--kind", "selectr"], "error: unknown kind with a contract 'selectr': did you mean 'selector'?"),
        (["random", "--set", "stratfy=presence"], "error: unknown option of selector 'random' 'stratfy': did you mean"),
    ],
)
def test_a_check_of_what_is_not_there_is_one_line(tmp_path: Path, words: list[str], line: str) -> None:
    made = d3s2bench_in(tmp_path, "plugins", "check", *words, cwd=tmp_path)
    assert made.returncode == 1
    assert made.stderr.startswith(line) and made.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("run --selector cl", ["class-balance"]),
        ("run --selector random --synth mode", ["mode-guided"]),
        ("run --dataset coco", ["coco-stuff-10k", "coco-stuff-164k"]),
        ("plugins check k-", ["k-center"]),
        ("plugins new mine --kind se", ["selector"]),
        ("run --plugin one_too_many.py --selector gr", ["greedy"]),
        ("plugins check --plugin one_too_many.py gr", ["greedy"]),
        ("run --plugin does_not_work.py --selector cl", ["class-balance"]),
    ],
)
def test_the_shell_completes_names(tmp_path: Path, words: str, offered: list[str]) -> None:
    (tmp_path / "one_too_many.py").write_text(BROKEN)
    (tmp_path / "does_not_work.py").write_text("1 / 0\n")
    line = f"d3s2bench {words}"
    complete = {"_D3S2BENCH_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    code = "import sys; sys.argv = ['d3s2bench']; from d3s2bench.cli.app import main; main()"
    assert python(tmp_path / "none", "-c", code, cwd=tmp_path, **complete).stdout.split() == offered
