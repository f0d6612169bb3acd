"""The hash of a component's code changes with what it imports, and with nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from d3s2bench.code_identity import code_hash, file_hash

FILES = {
    "__init__.py": "from coded.listing import names\n",
    "listing.py": "names = ['mine', 'other']\n",
    "mine.py": "from coded import shared\n\ndef late():\n    from .deep import inner\n",
    "other.py": "import coded.shared\n",
    "shared.py": "import json\nimport numpy\n",
    "deep/__init__.py": "",
    "deep/inner.py": "from ..base import Base\n",
    "base.py": "Base = object\n",
    "unused.py": "x = 1\n",
}


@pytest.fixture
def changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """Which of the two components has another hash once a file has changed."""
    for name, text in FILES.items():
        (tmp_path / "coded" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "coded" / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))

    def hashes() -> dict[str, str]:
        code_hash.cache_clear()
        return {name: code_hash(f"coded.{name}:Class") for name in ("mine", "other")}

    def change(file: str) -> list[str]:
        before = hashes()
        with (tmp_path / "coded" / file).open("a") as stream:
            stream.write("# changed\n")
        return [name for name, value in hashes().items() if value != before[name]]

    return change


@pytest.mark.parametrize(
    ("file", "whose"),
    [
        ("mine.py", ["mine"]),
        ("other.py", ["other"]),
        ("shared.py", ["mine", "other"]),
        ("deep/inner.py", ["mine"]),
        ("base.py", ["mine"]),
        ("unused.py", []),
    ],
)
def test_a_change_is_seen_by_those_who_import_it(
    changed: Callable[[str], list[str]], file: str, whose: list[str]
) -> None:
    assert changed(file) == whose


def test_a_module_of_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "alone_in_a_file.py").write_text("class Mine: ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert len(code_hash("alone_in_a_file:Mine")) == 12
    assert code_hash("alone_in_a_file:Mine") == file_hash(tmp_path / "alone_in_a_file.py")


def test_the_methods_of_this_project_are_told_apart() -> None:
    assert code_hash("d3s2bench_synthesizers.guided:Guided") != code_hash("d3s2bench_synthesizers.layout:Layout")
