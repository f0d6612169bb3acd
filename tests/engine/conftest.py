"""The fixture that tests with real workers share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_fakes import install_fakes

from d3s2bench.plugins import registry


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The fakes are installed, for this process and for its workers."""
    install_fakes(monkeypatch, tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    registry.cache_clear()
    yield
    registry.cache_clear()
