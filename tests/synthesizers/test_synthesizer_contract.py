"""What every registered synthesizer keeps to: the shared contract."""

from __future__ import annotations

from importlib import import_module

from d3s2bench.testing import contract
from d3s2bench_synthesizers import register_synthesizers


def quick(target: str) -> dict[str, int]:
    """Two steps of sampling, for those that sample."""
    module, name = target.split(":")
    return {"steps": 2} if "steps" in getattr(import_module(module), name).__dataclass_fields__ else {}


for component in register_synthesizers():
    name = f"Test_{component.name.replace('-', '_')}"
    globals()[name] = contract("synthesizer", component.name, **quick(component.target))
