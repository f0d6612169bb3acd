"""Our own components of the kinds that have few keep the shared contracts, too; the others are tried in their rooms."""

from __future__ import annotations

from pathlib import Path

import pytest

from d3s2bench.datasets.folder import Folder
from d3s2bench.testing import DatasetContract, contract


class TestTorch(contract("evaluator", "torch")):  # type: ignore[misc]
    pass


class TestSoftLabels(contract("evaluator", "torch", labels="soft")):  # type: ignore[misc]
    pass


class TestWdpd(contract("evaluator", "torch", labels="wdpd")):  # type: ignore[misc]
    pass


class TestAttnfd(contract("evaluator", "torch", labels="attnfd")):  # type: ignore[misc]
    pass


class TestPixel(contract("generator", "pixel", iterations=2, channels=[16, 16], long_side=32)):  # type: ignore[misc]
    pass


class TestFolder(DatasetContract):
    @pytest.fixture(autouse=True)
    def opened(self, tiny: Path) -> None:
        self.component = Folder(tiny, "tiny")


class TestMarkdown(contract("renderer", "markdown")):  # type: ignore[misc]
    pass


class TestCsv(contract("renderer", "csv")):  # type: ignore[misc]
    pass


class TestLatex(contract("renderer", "latex")):  # type: ignore[misc]
    pass
