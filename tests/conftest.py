"""Threads first: what must be set before torch is imported anywhere. Then the fixtures that all rooms share."""

from __future__ import annotations

import os

os.environ.update({"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "WANDB_MODE": "disabled"})

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings
from tiny_dataset import write_tiny_dataset

settings.register_profile("busy", deadline=None)  # a busy machine is no failure
settings.load_profile("busy")


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A fresh folder dataset named ``tiny``: 20 train, 4 val, 6 test images, 4 classes."""
    return write_tiny_dataset(tmp_path / "tiny")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The GPU that is here, or one that is pretended."""
    import torch
    from pretend_gpu import pretend_gpu

    if torch.cuda.is_available():
        yield
    else:
        with pretend_gpu(monkeypatch):
            yield


@pytest.fixture(autouse=True)
def gpu_for_contracts(request: pytest.FixtureRequest) -> None:
    """Contract tests skip on ``cuda`` where there is none: ours never do."""
    call = getattr(request.node, "callspec", None)
    if call and call.params.get("device") == "cuda":
        request.getfixturevalue("gpu")


@pytest.fixture
def mmseg_folder() -> Path:
    """Where mmsegmentation's files lie; to be read, since importing it wants a compiled mmcv. Skips where it is not."""
    found = find_spec("mmseg")
    if found is None or not found.submodule_search_locations:
        pytest.skip("no mmsegmentation here")
    return Path(found.submodule_search_locations[0])
