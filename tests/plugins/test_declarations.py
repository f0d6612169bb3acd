"""What a component declares is looked at before anything is planned, and told in words."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from d3s2bench import PluginError
from d3s2bench.config import make_config
from d3s2bench.planning.configured import Configured
from d3s2bench.plugins import registry
from d3s2bench.workspace import Workspace

SYNTHESIZER = """\
from d3s2bench import Component, hookimpl
class Mine:
    deterministic, preserves_mask, generative, sources_per_image = True, True, False, 1
    needs = ()
    def synthesize(self, selection, context, start=0): ...
@hookimpl
def register_synthesizers():
    return [Component("synthesizer", "mine", "declaring:Mine", "Declares")]
"""


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Files of other tests may have the same name."""
    registry.cache_clear()
    yield
    registry.cache_clear()


@pytest.mark.parametrize(
    ("written", "instead", "said"),
    [
        ("needs = ()", 'needs = ("techer",)', r"its needs are \('techer',\): give some of generator, teacher, torch"),
        ("needs = ()", 'needs = ("teacher")', r'its needs must be a tuple, as \("teacher",\), not \'teacher\''),
        ("needs = ()", "", "it does not declare needs: see Synthesizer in d3s2bench/interfaces.py"),
        (", sources_per_image = True, True, False, 1", " = True, True, False", "it does not declare sources_per_image"),
    ],
)
def test_a_wrong_declaration_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, instead: str, said: str
) -> None:
    assert written in SYNTHESIZER
    file = tmp_path / "declaring.py"
    file.write_text(SYNTHESIZER.replace(written, instead))
    monkeypatch.delitem(sys.modules, "declaring", raising=False)
    config = make_config({"plugin": [str(file)], "out": str(tmp_path)})
    with pytest.raises(PluginError, match=rf"^synthesizer 'mine' of declaring\.py: {said}"):
        Configured(config, Workspace.of(config)).component("synthesizer", "mine")


def test_a_right_one_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "declaring.py"
    file.write_text(SYNTHESIZER)
    monkeypatch.delitem(sys.modules, "declaring", raising=False)
    config = make_config({"plugin": [str(file)], "out": str(tmp_path)})
    assert Configured(config, Workspace.of(config)).described("synthesizer", "mine")["name"] == "mine"
