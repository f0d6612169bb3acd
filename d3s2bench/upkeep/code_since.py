"""Whether the code of a record's components is still what it was when the record was made."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from d3s2bench.code_identity import file_hash
from d3s2bench.discovery import FILE
from d3s2bench.errors import D3S2Error
from d3s2bench.plugins import registry
from d3s2bench.results.records import COMPONENTS
from d3s2bench.values import Json


@dataclass(frozen=True)
class Code:
    """A component of a record: its version then, and whether it has that version now."""

    kind: str
    name: str
    version: str
    here: bool
    """Whether there is such a component at all."""
    same: bool

    @property
    def since(self) -> str:
        """What has become of it; empty when it is as it was."""
        if self.same:
            return ""
        now = "has changed since" if self.here else "is not to be found here"
        return f"the code of {self.kind} '{self.name}' {now}"


def code_since(record: Json) -> Iterator[Code]:
    """Of each component with a version, in the order of their work; without running a file that the record names."""
    for part, kind in COMPONENTS.items():
        component = record["spec"][part]
        if version := component["version"]:
            now = _of_files(record) if version.startswith(f"{FILE}+") else _installed(kind, component["name"])
            yield Code(kind, component["name"], version, bool(now), version in now)


def _installed(kind: str, name: str) -> set[str]:
    try:
        return {registry().find(kind, name).identity}
    except D3S2Error:
        return set()


def _of_files(record: Json) -> set[str]:
    """The versions of all files that the command names: which of them brings a component is known by running it."""
    words = pairwise(shlex.split(record["provenance"]["command"] or ""))
    files = (Path(value) for option, value in words if option == "--plugin")
    return {f"{FILE}+{file_hash(file)}" for file in files if file.is_file()}
