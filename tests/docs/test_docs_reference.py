"""Nothing is undocumented: commands, flags, keys, hooks, components, options, fields and public names have a text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from d3s2bench.component import Component
from d3s2bench.discovery import Registered
from d3s2bench_docs import command_line, components, configuration, hooks, python_api, schemas, site
from d3s2bench_docs.text import attribute_docs, described, markdown, signature


@pytest.mark.parametrize("module", [command_line, configuration, hooks, components, schemas, python_api])
def test_everything_has_a_text(module: object) -> None:
    found = list(module.items())  # type: ignore[attr-defined]
    assert len(found) > 5
    assert [f"{item.where}: {item.name}" for item in found if not item.text.strip()] == []


def test_everything_stands_on_a_page() -> None:
    shown = "\n".join(text for _, text in site.pages().values())
    missing = [f"{item.where}: {item.name}" for item in site.items() if item.name.rpartition(".")[2] not in shown]
    assert missing == []


def test_every_page_is_one() -> None:
    for address, (title, text) in site.pages().items():
        assert address.startswith("reference/") and title and text.startswith("# ")
        assert " object at 0x" not in text and "None | None | None" not in text, address


def test_the_commands_are_those_of_the_command_line() -> None:
    from d3s2bench.cli.app import COMMANDS

    titles = [command.title for command in command_line.commands()]
    assert {title.split()[1] for title in titles[1:]} == set(COMMANDS)
    assert "d3s2bench store gc" in titles and "d3s2bench train teacher" in titles


def test_a_table_says_what_the_code_says() -> None:
    row = "`--rate` | `FLOAT` | 0.01 | Compression rate. Repeatable."
    assert row in command_line.page()
    assert "`min_pixels` | `int` | `16`" in components.pages()["selectors.md"][1]
    assert "`metrics.miou`" not in schemas.pages()["record.md"][1], "a part that has a section of its own is linked"
    assert "`miou` | number | Mean IoU over the classes with ground truth" in schemas.pages()["record.md"][1]


# --- the finding of texts, by hand -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """Something.

    Attributes:
        first: how long it is,
            in words.

    - ``second``: how wide
      it is.
    """

    first: int = 1
    second: int = 2
    third: int = 3
    """How high."""
    silent: int = 4

    def area(self, *, scale: float = 2.0, unit: str = "px") -> float:
        return scale


def test_texts_are_found_in_three_places() -> None:
    assert described(Told.__doc__) == {"first": "how long it is, in words.", "second": "how wide it is."}
    assert attribute_docs(Told) == {"third": "How high."}
    texts = {name: components.option_text(Told, name) for name in ("first", "second", "third", "silent")}
    assert texts == {
        "first": "how long it is, in words.",
        "second": "how wide it is.",
        "third": "How high.",
        "silent": "",
    }


def test_a_component_whose_library_is_missing_is_named_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = Component("executor", "far", "nowhere:Far", "Far away", ("no_such_library",))
    row = Registered(absent, "d3s2bench", "0", "missing: no_such_library; install it")
    monkeypatch.setattr(components, "of_kind", lambda kind: [row] if kind == "executor" else [])
    assert (
        "## far\n\nFar away. Its options are not shown: missing: no_such_library"
        in components.pages()["executors.md"][1]
    )
    assert list(components.items()) == []


def test_a_signature_is_that_of_the_source() -> None:
    assert signature(Told.area) == "(self, *, scale: float=2.0, unit: str='px') -> float"


def test_docstrings_become_markdown() -> None:
    made = markdown("""One ``*.png`` of :func:`~a.b`, a < b* and *this*.

        code = 1

        more = 2

    >>> 1 + 1
    2

    Raises:
        StageError: it
            failed.
    """)
    assert "One `*.png` of `a.b`, a &lt; b\\* and *this*." in made
    assert "```python\ncode = 1\n\nmore = 2\n```" in made
    assert "```pycon\n>>> 1 + 1\n2\n```" in made
    assert "**Raises**\n\n- `StageError`: it failed." in made


# --- the page that is written by hand --------------------------------------------------------------------------------


def test_the_files_of_a_run_are_described(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import json

    import numpy as np
    from small_run import by_stage, record_of, small_run
    from written_pages import ROOT

    page = (ROOT / "docs/reference/files.md").read_text(encoding="utf-8")
    plan = small_run(monkeypatch, tiny, tmp_path / "runs")
    file, _ = record_of(plan, tmp_path / "runs")
    (made,) = by_stage(tmp_path / "runs")["distilled"]
    manifest = json.loads((made.folder / "manifest.json").read_text())
    keys = {*manifest, *manifest["samples"][0], *manifest["budget"], *manifest["seeds"]}
    keys |= {*np.load(file.with_suffix(".npz"))}
    assert {key for key in keys if f"`{key}`" not in page and f"`{key} (" not in page} == set()
    for entry in (tmp_path / "runs").iterdir():
        assert f"`{entry.name}" in page
