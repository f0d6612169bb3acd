"""What a component must keep to, as pytest classes, and the tiny things that it is tried on.

    from d3s2bench.testing import SelectorContract
    from my_package import Mine

    class TestMine(SelectorContract):
        component = Mine()

Needs ``pip install 'd3s2bench[testing]'`` (pytest and hypothesis).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from d3s2bench.errors import ConfigError, unknown_name
from d3s2bench.plugins import field_names, registry
from d3s2bench.testing.base import Contract
from d3s2bench.testing.dataset import DatasetContract
from d3s2bench.testing.evaluator import EvaluatorContract
from d3s2bench.testing.generator import GeneratorContract
from d3s2bench.testing.models import TinyGenerator, TinyTeacher, tiny_context
from d3s2bench.testing.observer import ObserverContract
from d3s2bench.testing.records import tiny_records
from d3s2bench.testing.renderer import RendererContract
from d3s2bench.testing.selector import SelectorContract
from d3s2bench.testing.synthesizer import SynthesizerContract
from d3s2bench.testing.tiny import TinyDataset, TinySplit

__all__ = [
    "CONTRACTS",
    "Contract",
    "DatasetContract",
    "EvaluatorContract",
    "GeneratorContract",
    "ObserverContract",
    "RendererContract",
    "SelectorContract",
    "SynthesizerContract",
    "TinyDataset",
    "TinyGenerator",
    "TinySplit",
    "TinyTeacher",
    "contract",
    "tiny_context",
    "tiny_records",
]

CONTRACTS: dict[str, type[Contract]] = {
    "selector": SelectorContract,
    "synthesizer": SynthesizerContract,
    "evaluator": EvaluatorContract,
    "dataset": DatasetContract,
    "generator": GeneratorContract,
    "renderer": RendererContract,
    "observer": ObserverContract,
}


def contract(
    kind: str, name: str, plugins: Iterable[str] = (), root: str | None = None, **options: Any
) -> type[Contract]:
    """The contract of a registered component, with these options; in a test module it is a test class when its name
    there begins with ``Test``. ``root`` is where a dataset lies that reads files.

    Raises:
        UnknownNameError, PluginError, ConfigError: nothing of that name, or not with these options.
    """
    if kind not in CONTRACTS:
        raise unknown_name("kind with a contract", kind, CONTRACTS)
    place = {"root": Path(root), "name": name} if root else {}
    offered = place | {"cache": Path(gettempdir()) / "d3s2bench-testing"} if kind == "dataset" else {}
    found = registry(tuple(plugins))
    if kind == "dataset" and not root and "root" in field_names(found.load(kind, name)):
        raise ConfigError(f"dataset '{name}' reads files: say where they lie, with --data-root DIR or root=DIR")
    component = found.create(kind, name, options, offered)
    return type(f"Test{kind.title()}", (CONTRACTS[kind],), {"component": component})
