"""What the pretrained families of generators keep to: the shared contract, on tiny models of the same classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from latent_fakes import families, write_models

from d3s2bench.testing import GeneratorContract


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.mark.parametrize("given", ["controlnet", "t2i-adapter", "freestyle"], scope="class")
class TestPretrained(GeneratorContract):
    @pytest.fixture(autouse=True)
    def family(self, given: str, models: Path) -> None:
        self.component: Any = next(family for family in families(models) if family.name == given)
