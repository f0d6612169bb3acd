"""The site is built without a warning, and what the tutorial says to type works, in small."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from written_pages import ROOT, Shown, blocks, commands

pytestmark = pytest.mark.slow
SMALL = ["--preset", "smoke", "--seeds", "1", "--set", "protocol.iterations=8", "--set", "synth.guided.steps=2"]
FILE = re.compile(r"`(?P<name>\w+\.py)` in that folder:\n\n```python\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("material", reason="pip install '.[docs]'")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    assert "min_pixels" in (tmp_path / "reference/selectors/index.html").read_text(encoding="utf-8")
    fetched = re.compile(r'<(?:script|link|img)[^>]+(?:src|href)="(https?:[^"]+)"')
    found = [url for page in tmp_path.rglob("*.html") for url in fetched.findall(page.read_text(encoding="utf-8"))]
    assert found == [], "the site fetches something from elsewhere"


@pytest.mark.parametrize("page", ["first-run", "own-selector"])
def test_the_tutorial_works(page: str, tmp_path: Path) -> None:
    file = ROOT / "docs/tutorial" / f"{page}.md"
    text = file.read_text(encoding="utf-8")
    for written in FILE.finditer(text):
        (tmp_path / written["name"]).write_text(written["text"], encoding="utf-8")
    shown = [each for each in commands(file) if any(each.text in block for block in blocks(text, "sh"))]
    assert len(shown) > 2
    environment = os.environ | {"WANDB_MODE": "disabled"}
    for each in shown:
        command = _in_small(each, tmp_path)
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
        assert ended.returncode == 0, f"{each.text}\n{ended.stdout}\n{ended.stderr}"
    assert len(list((tmp_path / "runs" / "records").glob("*.json"))) >= 4


def _in_small(shown: Shown, place: Path) -> list[str]:
    """The command with few iterations; ID stands for any record."""
    words = [str(Path(sys.executable).with_name("d3s2bench")), *shown.words[1:]]
    if "ID.json" in shown.text:
        record = next((place / "runs" / "records").glob("*.json")).name
        words = [word.replace("ID.json", record) for word in words]
    return words + (SMALL if shown.words[1] == "run" else [])
