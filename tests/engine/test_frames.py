"""Which line of a component an error came through."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from d3s2bench.frames import home_of, last_frame

CALLS = "{0}class Mine:\n    def reads(self, text):\n        return {1}(text)\n"
HELPER = "import json\n\n\ndef read(text):\n    return json.loads(text)\n"


@pytest.mark.parametrize(
    ("files", "module", "line"),
    [
        ({"framed_alone.py": CALLS.format("import json\n", "json.loads")}, "framed_alone", "framed_alone.py:4"),
        (
            {
                "framed/__init__.py": "",
                "framed/helper.py": HELPER,
                "framed/mine.py": CALLS.format("from framed.helper import read\n", "read"),
            },
            "framed.mine",
            "helper.py:5",
        ),
    ],
)
def test_the_last_line_of_a_file_or_its_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], module: str, line: str
) -> None:
    for name, source in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    mine = importlib.import_module(module).Mine
    with pytest.raises(json.JSONDecodeError) as caught:
        mine().reads("{")
    assert last_frame(caught.value, home_of(mine)) == line
    assert last_frame(caught.value, tmp_path / "elsewhere") is None
    assert last_frame(caught.value, home_of(dict)) is None
