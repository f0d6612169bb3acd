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
        (["k-center", "--set", "synth.k-center.metric=x"], "error: unknown option of selector 'k-center' 'synth'"),
        (["folder"], "error: dataset 'folder' reads files: say where they lie, with --data-root DIR"),
        (["random", "--set", "stratfy=presence"], "error: unknown option of selector 'random' 'stratfy': did you mean"),
    ],
)
def test_a_check_of_what_is_not_there_is_one_line(tmp_path: Path, words: list[str], line: str) -> None:
    made = d3s2bench_in(tmp_path, "plugins", "check", *words, cwd=tmp_path)
    assert made.returncode == 1
    assert made.stderr.startswith(line) and made.stderr.count("\n") == 1


BOTH = BROKEN.replace(
    "@hookimpl\n",
    """\
from dataclasses import dataclass
@dataclass(frozen=True)
class Picky(Greedy):
    at: int = 0
    def select(self, index, budget, context):
        return [][self.at]
@hookimpl
def register_synthesizers():
    return [Component("synthesizer", "picky", "one_too_many:Picky", "Another of the same name")]
@hookimpl
""",
).replace('"greedy", "one_too_many:Greedy"', '"picky", "one_too_many:Picky"')
"""A selector and a synthesizer of one name; the selector fails in line 12."""


def test_a_name_that_two_kinds_share_is_tried_for_both(tmp_path: Path) -> None:
    (tmp_path / "one_too_many.py").write_text(BOTH)
    given = ["check", "picky", "--plugin", "one_too_many.py"]
    for mine in ("at=3", "selector.picky.at=3", "synth.picky.at=3"):
        made = d3s2bench_in(tmp_path / "none", "plugins", *given, "--set", mine, cwd=tmp_path)
        assert made.returncode == 1 and not made.stderr
        assert {"selector picky", "synthesizer picky"} <= set(made.stdout.splitlines())
        assert "it lacks generative, preserves_mask, sources_per_image, synthesize" in made.stdout


@pytest.mark.parametrize("debug", [False, True])
def test_an_error_names_the_line_and_debug_shows_the_rest(tmp_path: Path, debug: bool) -> None:
    (tmp_path / "one_too_many.py").write_text(BOTH)
    given = ["check", "picky", "--kind", "selector", "--plugin", "one_too_many.py", *["--debug"] * debug]
    lines = d3s2bench_in(tmp_path / "none", "plugins", *given, cwd=tmp_path).stdout.splitlines()
    assert "  FAILED   all images are a budget too: IndexError: list index out of range, at one_too_many.py:12" in lines
    assert ("one_too_many.py:12: in select" in lines) == debug


def test_an_option_without_its_kind_is_told_where_it_belongs(tmp_path: Path) -> None:
    (tmp_path / "one_too_many.py").write_text(BOTH)
    given = ["run", "--dry-run", "--plugin", "one_too_many.py", "--set", "picky.at=3"]
    said = "did you mean 'selector.picky.at' or 'synth.picky.at'?"
    made = d3s2bench_in(tmp_path / "none", *given, cwd=tmp_path)
    assert made.stderr == f"error: unknown configuration key 'picky.at': {said}\n"


def test_the_package_is_the_command(tmp_path: Path) -> None:
    assert "Usage: " in python(tmp_path, "-m", "d3s2bench", "plugins", "--help", cwd=tmp_path).stdout


def test_what_pytest_cannot_collect_is_told_in_full() -> None:
    from d3s2bench.testing.check import _reason

    long = "imported module has this __file__ attribute: " + "/a/very/long/path" * 20
    said = f"==== ERRORS ====\n___ ERROR collecting test_it.py ___\n{long}\nHINT: rename it\n!!! Interrupted !!!\n"
    assert _reason(said) == f"{long} HINT: rename it"
    assert _reason(f"{said}E   ImportError: no\n") == "ImportError: no"


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
