"""The command line's own options, and the script that makes the leaderboards of the repository."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parents[2]
SCRIPT = HERE / "leaderboards" / "make.py"
STUDY = HERE / "leaderboards" / "scenes"
OPTIONS = 'all: {where: ["method=random+real,balanced+guided"]}\nfigures: {kinds: [bytes]}\nlatex: {standalone: true}\n'


def made(*given: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *map(str, given)], capture_output=True, text=True)


def digests(folder: Path) -> dict[str, str]:
    files = (file for file in folder.rglob("*") if file.is_file() and file.parent.name != "records")
    return {file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_made_again_each_file_has_the_same_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "scenes"
    shutil.copytree(STUDY / "records", folder / "records")
    (folder / "leaderboard.yaml").write_text(OPTIONS)
    assert made(folder).returncode == 0
    first = digests(folder)
    (folder / "figures" / "of-yesterday.pdf").touch()
    assert made(folder).returncode == 0
    assert digests(folder) == first
    made_of = {"leaderboard.md", "leaderboard.csv", "leaderboard.tex", "leaderboard.html", "leaderboard.yaml"}
    assert first.keys() == made_of | {"figures/bytes-scenes.pdf", "figures/bytes-scenes.png"}
    lines = (folder / "leaderboard.csv").read_text().splitlines()[1:]
    assert {"guided" in line for line in lines} == {"random" in line for line in lines} == {True, False}
    assert len(lines) == 6  # two methods, two architectures at 1 %, one at 5 %
    assert r"\documentclass" in (folder / "leaderboard.tex").read_text()


@pytest.mark.parametrize("text", ["where: [arch=unet]", "all: 3", "all: [", "- all"])
def test_options_that_cannot_be_read_are_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "leaderboard.yaml").write_text(text)
    spec = importlib.util.spec_from_file_location("make", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.raises(module.ConfigError, match=r"leaderboard\.yaml") as error:
        module.make(tmp_path)
    assert "\n" not in str(error.value)


def test_strict_plugins(tmp_path: Path) -> None:
    (info := tmp_path / "bad-1.0.dist-info").mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bad\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[d3s2bench]\nbad = no_such_module_anywhere\n")
    command = [sys.executable, "-c", "from d3s2bench.cli.app import main; main()", "leaderboard", str(STUDY)]
    given: dict[str, Any] = {"env": os.environ | {"PYTHONPATH": str(tmp_path)}, "capture_output": True, "text": True}
    assert "random" in subprocess.run(command, check=True, **given).stdout
    strict = subprocess.run([*command, "--strict-plugins"], **given)
    assert (strict.returncode, strict.stdout) == (1, "")
    assert strict.stderr.startswith("error: --strict-plugins: ") and "no_such_module_anywhere" in strict.stderr
