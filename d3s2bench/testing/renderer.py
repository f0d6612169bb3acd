"""The contract of renderers."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from d3s2bench.interfaces import Renderer
from d3s2bench.plugins import field_names
from d3s2bench.testing.base import Contract
from d3s2bench.testing.records import tiny_records


class RendererContract(Contract):
    """What a renderer keeps to; three lines try yours:

    >>> class TestMine(RendererContract):  # doctest: +SKIP
    ...     component = Mine()
    """

    interface = Renderer

    @pytest.fixture
    def records(self, tmp_path: Path) -> list[dict[str, Any]]:
        return tiny_records(tmp_path)

    def render(self, records: Iterable[Any], folder: Path) -> str | Mapping[str, bytes]:
        """As the engine does it: one with a field ``folder`` is given the records' folder."""
        takes = "folder" in field_names(type(self.component))
        renderer = dataclasses.replace(self.component, folder=folder) if takes else self.component
        made: str | Mapping[str, bytes] = renderer.render(records)
        return made

    def test_it_makes_a_text_or_files(self, records: list[dict[str, Any]], tmp_path: Path) -> None:
        made = self.render(records, tmp_path)
        assert isinstance(made, str | Mapping) and made, "it must give a text, or files by name"
        if isinstance(made, Mapping):
            assert all(isinstance(content, bytes) for content in made.values()), "files are bytes"

    def test_it_reads_records_one_by_one(self, records: list[dict[str, Any]], tmp_path: Path) -> None:
        assert self.render(iter(records), tmp_path) == self.render(records, tmp_path), "an iterator gives another text"

    def test_the_order_of_the_records_does_not_matter(self, records: list[dict[str, Any]], tmp_path: Path) -> None:
        assert self.render(records[::-1], tmp_path) == self.render(records, tmp_path), "it depends on their order"

    def test_one_record_is_enough(self, records: list[dict[str, Any]], tmp_path: Path) -> None:
        assert self.render(records[:1], tmp_path)

    def test_records_stay_as_they_are(self, records: list[dict[str, Any]], tmp_path: Path) -> None:
        before = copy.deepcopy(records)
        self.render(records, tmp_path)
        assert records == before, "it changes the records that it is given"
