"""Tells observers of finished records: one that fails never loses a result."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from d3s2bench.config import RunConfig
from d3s2bench.interfaces import Folders
from d3s2bench.storage.store import Store
from d3s2bench.values import Json
from d3s2bench.workspace import Workspace


class Observers:
    """Those that a run was asked for, by name.

    Raises:
        UnknownNameError, PluginError, ConfigError: one that is not there, or options that it does not take.
    """

    def __init__(self, config: RunConfig, workspace: Workspace) -> None:
        options = config.options.get("observer", {})
        make = workspace.registry.create
        self.workspace = workspace
        self.told: dict[str, Any] = {
            name: make("observer", name, options.get(name, {})) for name in dict.fromkeys(config.observer)
        }

    def record(self, record: Json, dataset: str) -> None:
        """Tells all of a record of the dataset that the workspace opens under that name."""
        if self.told:
            folders = self._folders(record, dataset)
            for name, observer in list(self.told.items()):
                self._try(name, observer.on_record, record, folders)

    def finish(self) -> None:
        for name, observer in list(self.told.items()):
            self._try(name, observer.finish)

    def _try(self, name: str, call: Any, *given: Any) -> None:
        try:
            call(*given)
        except (Exception, SystemExit) as error:  # whatever it raises, the local record stands
            del self.told[name]
            what = " ".join(f"{type(error).__name__}: {error}".split())
            print(f"observer '{name}' failed ({what}); all results are in {self.workspace.out}", file=sys.stderr)

    def _folders(self, record: Json, dataset: str) -> Folders:
        folder = set_folder(record, self.workspace.store)
        return Folders(self.workspace.out, folder, self.workspace.dataset(dataset).redistributable)


def set_folder(record: Json, store: Store) -> Path | None:
    """Where the record's distilled set lies in the store; None when it was made elsewhere or there is none."""
    key = record["provenance"]["distilled"]
    folder = store.path("distilled", key) if key else None
    return folder if folder and (folder / "images").is_dir() else None
