"""The contract of observers."""

from __future__ import annotations

import copy
from pathlib import Path

from d3s2bench.interfaces import Folders, Observer
from d3s2bench.plugins import configure, options_of
from d3s2bench.testing.base import Contract
from d3s2bench.testing.records import tiny_records


class ObserverContract(Contract):
    """What an observer keeps to; three lines try yours:

    >>> class TestMine(ObserverContract):  # doctest: +SKIP
    ...     component = Mine()
    """

    interface = Observer

    def observer(self) -> Observer:
        """A new one with the same options, as each run has its own."""
        made: Observer = configure(type(self.component), "it", options_of(self.component))
        return made

    def test_it_takes_records_and_leaves_them_as_they_are(self, tmp_path: Path) -> None:
        records = [record for record in tiny_records(tmp_path) if record["status"] == "ok"]
        before, observer = copy.deepcopy(records), self.observer()
        for record in records:
            observer.on_record(record, Folders(tmp_path))
        observer.finish()
        assert records == before, "it changes the records that it is told of"

    def test_it_may_be_told_twice(self, tmp_path: Path) -> None:
        record = tiny_records(tmp_path)[0]
        for _ in range(2):
            observer = self.observer()
            observer.on_record(record, Folders(tmp_path))
            observer.finish()

    def test_a_run_may_end_without_a_record(self) -> None:
        self.observer().finish()

    def test_it_leaves_the_files_of_the_run_alone(self, tmp_path: Path) -> None:
        record = tiny_records(tmp_path)[0]
        before = {file: file.read_bytes() for file in (tmp_path / "records").iterdir()}
        observer = self.observer()
        observer.on_record(record, Folders(tmp_path))
        observer.finish()
        assert {file: file.read_bytes() for file in (tmp_path / "records").iterdir()} == before
