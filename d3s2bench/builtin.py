"""The engine's own plugin: the datasets that need no library of their own."""

from __future__ import annotations

from d3s2bench.component import Component
from d3s2bench.hookspecs import hookimpl


@hookimpl
def register_datasets() -> list[Component]:
    """``scenes`` needs no download; ``folder`` reads what you have."""
    return [
        Component("dataset", "scenes", "d3s2bench.datasets.scenes:Scenes", "Procedural street scenes, 16 classes"),
        Component("dataset", "folder", "d3s2bench.datasets.folder:Folder", "images/, annotations/ and classes.json"),
    ]
