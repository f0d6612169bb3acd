"""What every selector that is registered here promises: the shared contract, and what we ask of our own beside it."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from typing import Any

import numpy as np
import pytest

import d3s2bench_selectors
from d3s2bench import Budget, BudgetError, Component, MaskIndex
from d3s2bench.testing import TinyDataset, TinySplit, contract, tiny_context

COMPONENTS: list[Component] = d3s2bench_selectors.register_selectors()
NAMES = [component.name for component in COMPONENTS]
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "random": [{"stratify": "presence"}],
    "balanced": [{"rule": "submodular"}],
    "dfss": [{"diversity": 1.0}],
    "entropy": [{"order": "low"}],
}
"""Beside the defaults: options that choose by another rule."""
VARIANTS = [(component, options) for component in COMPONENTS for options in [{}, *OPTIONS.get(component.name, [])]]
IDS = ["-".join([component.name, *map(str, options.values())]) for component, options in VARIANTS]
ALL = pytest.mark.parametrize(("component", "options"), VARIANTS, ids=IDS)
ON_MASKS = ["random", "balanced", "label-complexity", "class-balance", "shape-complexity", "foreground"]
BY_ORDER = ["random", "balanced", "k-center"]
"""Draw or start by the number of an image; ``balanced`` takes the first of many that are equal."""
SIZES = ((12, 8), (12, 12), (16, 12))


def make(component: Component, options: dict[str, Any]) -> Any:
    module, name = component.target.split(":")
    return getattr(import_module(module), name)(**options)


for (component, options), name in zip(VARIANTS, IDS, strict=True):
    tried = contract("selector", component.name, **options)
    tried.permutation_equivariant = component.name not in BY_ORDER  # type: ignore[attr-defined]
    globals()[f"Test_{name.replace('-', '_')}"] = tried
del tried


def test_all_are_registered() -> None:
    assert [component.kind for component in COMPONENTS] == ["selector"] * len(COMPONENTS)
    assert [*ON_MASKS, "k-center", "herding", "dfss", "entropy", "margin", "el2n"] == NAMES
    assert all(0 < len(component.summary) <= 80 for component in COMPONENTS)


@ALL
def test_a_class_that_no_mask_shows_changes_nothing(component: Component, options: dict[str, Any]) -> None:
    split, selector = TinySplit(30, 1, SIZES), make(component, options)
    index, budget = split.index(), Budget(8, 30, 8 / 30)
    wider = MaskIndex(np.insert(index.counts, 3, 0, axis=1), index.pixels)
    before, after = (
        selector.select(each, budget, tiny_context(selector, TinyDataset(split))).indices for each in (index, wider)
    )
    assert before.tolist() == after.tolist()


@pytest.mark.parametrize("name", NAMES)
def test_more_images_than_there_are(name: str) -> None:
    selector, split = make(COMPONENTS[NAMES.index(name)], {}), TinySplit(5)
    with pytest.raises(BudgetError, match="a budget of 6 images, but the split has 5: give a smaller budget"):
        selector.select(split.index(), Budget(6, 5, 1.2), tiny_context(selector, TinyDataset(split)))


def test_planning_imports_nothing_heavy() -> None:
    modules = ", ".join(component.target.split(":")[0] for component in COMPONENTS)
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules or 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
