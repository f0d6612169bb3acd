"""What one stage leaves of torch's global state is nothing to the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from d3s2bench.execution.torch_state import reset_torch

LEFT: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "threads": (lambda: torch.set_num_threads(2), torch.get_num_threads),
    "gradients": (lambda: torch.set_grad_enabled(False), torch.is_grad_enabled),
    "dtype": (lambda: torch.set_default_dtype(torch.float64), torch.get_default_dtype),
    "device": (lambda: torch.set_default_device("meta"), torch.get_default_device),
    "matrix products": (lambda: torch.set_float32_matmul_precision("medium"), torch.get_float32_matmul_precision),
    "oneDNN": (lambda: torch.backends.mkldnn.set_flags(False), lambda: torch._C._get_mkldnn_enabled()),
    "deterministic": (
        lambda: torch.use_deterministic_algorithms(True),
        torch.are_deterministic_algorithms_enabled,
    ),
    "autocast": (lambda: torch.set_autocast_enabled("cpu", True), lambda: torch.is_autocast_enabled("cpu")),
    "anomalies": (lambda: torch.autograd.set_detect_anomaly(True), torch.is_anomaly_enabled),
}


@pytest.fixture(autouse=True)
def afterwards() -> Any:
    yield
    reset_torch(1, "cpu")


@pytest.mark.parametrize("what", LEFT)
def test_it_is_reset(what: str) -> None:
    leave, state = LEFT[what]
    reset_torch(1, "cpu")
    before = state()
    leave()
    assert state() != before
    reset_torch(1, "cpu")
    assert state() == before


def test_what_is_set_is_what_torch_begins_with() -> None:
    """But for the threads: so that nobody who trains elsewhere gets other numbers."""
    import subprocess
    import sys

    code = "from test_torch_state import LEFT, reset_torch; before = [str(s()) for _, s in LEFT.values()]; "
    code += "reset_torch(1, 'cpu'); print(before[1:] == [str(s()) for _, s in LEFT.values()][1:])"
    run = subprocess.run([sys.executable, "-c", code], cwd=__file__.rpartition("/")[0], capture_output=True, text=True)
    assert run.stdout == "True\n", run.stderr
