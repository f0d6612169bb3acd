"""The benchmark at full size: it can be imported anywhere, and runs on a GPU alone."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "full_size_generator.py"


def test_it_says_so_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_from_file_location(SCRIPT.stem, SCRIPT)
    assert spec and spec.loader
    benchmark = module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("sys.argv", [str(SCRIPT), "--family", "freestyle"])
    with pytest.raises(SystemExit, match="this measures a GPU, and torch sees none here"):
        benchmark.main()
