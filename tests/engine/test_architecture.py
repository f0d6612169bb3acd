"""What holds the house together: contracts of imports, types, style, and Python's own ``selectors``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("d3s2bench_selectors", "d3s2bench_synthesizers", "d3s2bench_evaluators", "d3s2bench_leaderboards")


def tool(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a tool of the ``test`` extra in the repository's root."""
    beside = Path(sys.executable).with_name(name)
    program = str(beside) if beside.exists() else shutil.which(name)
    if program is None:
        pytest.skip(f"{name} is not installed: pip install '.[test]'")
    return subprocess.run([program, *arguments], cwd=ROOT, capture_output=True, text=True)


def test_pythons_own_selectors_stay_pythons() -> None:
    """A top-level folder ``selectors`` must not shadow the module that asyncio and subprocess import."""
    code = "import selectors, asyncio, subprocess, sys; asyncio.run(asyncio.sleep(0)); print(selectors.__file__)"
    for flags in ([], ["-P"]):
        plain = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        made = subprocess.run([sys.executable, *flags, "-c", code], cwd=ROOT, env=plain, capture_output=True, text=True)
        assert made.returncode == 0, made.stderr
        assert not Path(made.stdout.strip()).is_relative_to(ROOT)


def test_no_room_is_itself_a_package() -> None:
    for room in ("selectors", "synthesizers", "evaluators", "leaderboards", "plugins"):
        assert not (ROOT / room / "__init__.py").exists()


@pytest.mark.skipif(any(find_spec(name) is None for name in PACKAGES), reason="the packages are not installed")
def test_import_contracts() -> None:
    made = tool("lint-imports")
    assert made.returncode == 0, made.stdout


def test_style() -> None:
    made = tool("ruff", "check", ".")
    assert made.returncode == 0, made.stdout
    made = tool("ruff", "format", "--check", ".")
    assert made.returncode == 0, made.stdout


@pytest.mark.slow
def test_types() -> None:
    made = tool("mypy")
    assert made.returncode == 0, made.stdout


def test_the_public_face_is_what_it_says() -> None:
    import d3s2bench

    assert sorted(d3s2bench.__all__) == sorted(d3s2bench._HOME)
    for name in d3s2bench.__all__:
        assert getattr(d3s2bench, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = d3s2bench.nothing


def test_the_public_face_is_imported_quickly() -> None:
    code = "import sys, d3s2bench; print(sorted({'numpy', 'torch', 'pluggy'} & set(sys.modules)))"
    made = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert made.stdout.strip() == "[]"


HARMLESS = (
    ".eval()",
    "literal_eval(",
    'torch.load(file, map_location="cpu", weights_only=True)',
    'torch.save(first_weights("detectron2", file), work / "pretrained.pth")',
)
"""The third reads a user's tensors and nothing else, the last is how detectron2 is handed them."""


def test_nothing_is_unpickled() -> None:
    """JSON, PNG, npz and safetensors only: a file from elsewhere can never run code."""
    for room in ("d3s2bench", "selectors", "synthesizers", "evaluators", "leaderboards"):
        for file in (ROOT / room).rglob("*.py"):
            text = file.read_text()
            for harmless in HARMLESS:
                text = text.replace(harmless, "")
            for word in ("import pickle", "torch.load(", "torch.save(", "allow_pickle=True", "joblib", "eval("):
                assert word not in text, f"{file} uses {word}"
