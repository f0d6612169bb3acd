"""The component is registered, fits the engine's interface, and plans without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module

import pytest

from d3s2bench.interfaces import Evaluator
from d3s2bench_evaluators import register_evaluators
from d3s2bench_evaluators.torch_evaluator import Torch


def test_registered_under_its_target() -> None:
    component = next(component for component in register_evaluators() if component.name == "torch")
    module, _, name = component.target.partition(":")
    assert (component.kind, component.name) == ("evaluator", "torch")
    assert getattr(import_module(module), name) is Torch
    evaluator: Evaluator = Torch()
    assert isinstance(evaluator, Evaluator)


@pytest.mark.parametrize("arch", Torch().architectures())
def test_protocol_is_json_and_complete(arch: str) -> None:
    protocol = Torch().protocol(arch, (96, 64))
    assert json.loads(json.dumps(protocol)) == protocol and protocol["size"] == [96, 64]
    assert {"iterations", "converged_iterations", "precision", "batch_size"} <= set(protocol)
    next(value for value in protocol.values() if isinstance(value, list)).append(1)
    assert Torch().protocol(arch, (96, 64)) != protocol, "a caller's change must not reach the defaults"


def test_planning_does_not_import_torch() -> None:
    code = (
        "import sys; from d3s2bench_evaluators.torch_evaluator import Torch; e = Torch();"
        "[e.protocol(a, (96, 64)) for a in e.architectures()]; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
