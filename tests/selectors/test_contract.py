"""What every selector that is registered here promises."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selector_fakes import ColourTeacher, batchnorm_of, context

import d3s2bench_selectors
from d3s2bench import Budget, BudgetError, Component, MaskIndex, Selection
from d3s2bench.interfaces import Selector

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
ALL = pytest.mark.parametrize(
    ("component", "options"), VARIANTS, ids=["-".join([c.name, *map(str, o.values())]) for c, o in VARIANTS]
)
ON_MASKS = ["random", "balanced", "label-complexity", "class-balance", "shape-complexity", "foreground"]


def make(component: Component, options: dict[str, Any]) -> Any:
    module, name = component.target.split(":")
    return getattr(import_module(module), name)(**options)


@dataclass
class Pairs:
    """Pictures of a few sizes with masks of three classes in patches, some ignored; and their index."""

    seed: int
    images: int

    def __post_init__(self) -> None:
        draw = np.random.default_rng(self.seed)
        patches = [draw.choice([0, 0, 0, 1, 1, 2, 255], (2 + draw.integers(2), 3)) for _ in range(self.images)]
        self.masks = [np.kron(patch, np.ones((4, 4))).astype(np.uint8) for patch in patches]
        self.pictures = [draw.integers(0, 256, (*mask.shape, 3), dtype=np.uint8) for mask in self.masks]
        counts = np.array([np.bincount(mask.ravel(), minlength=256)[:3] for mask in self.masks])
        self.index = MaskIndex(counts, np.array([mask.size for mask in self.masks]))

    def select(self, selector: Any, kept: int, seed: int) -> Selection:
        given = context(self.pictures, ColourTeacher(batchnorm_of(0)), seed, self.masks)
        chosen: Selection = selector.select(self.index, Budget(kept, self.images, kept / self.images), given)
        return chosen


def test_all_are_registered() -> None:
    assert [component.kind for component in COMPONENTS] == ["selector"] * len(COMPONENTS)
    assert [*ON_MASKS, "k-center", "herding", "dfss", "entropy", "margin", "el2n"] == NAMES


@ALL
def test_is_a_selector_with_a_summary(component: Component, options: dict[str, Any]) -> None:
    assert isinstance(make(component, options), Selector)
    assert 0 < len(component.summary) <= 80


@ALL
@settings(max_examples=25)
@given(data=st.data())
def test_budget_range_and_seed(component: Component, options: dict[str, Any], data: st.DataObject) -> None:
    images = data.draw(st.integers(1, 30))
    kept = data.draw(st.integers(1, images))
    seed = data.draw(st.integers(0, 2**63 - 1))
    pairs, selector = Pairs(seed, images), make(component, options)
    first, second, other = (pairs.select(selector, kept, s) for s in (seed, seed, seed // 2))
    assert first.indices.dtype == np.int64 and first.indices.shape == (kept,)
    assert len(set(first.indices)) == kept
    assert first.indices.min() >= 0 and first.indices.max() < images
    assert first.indices.tolist() == second.indices.tolist()
    if first.scores is not None:
        assert first.scores.dtype == np.float64 and first.scores.shape == (kept,)
        assert np.isfinite(first.scores).all()
    if selector.deterministic:
        assert first.indices.tolist() == other.indices.tolist()


@ALL
def test_the_seed_matters_unless_declared_otherwise(component: Component, options: dict[str, Any]) -> None:
    pairs, selector = Pairs(0, 40), make(component, options)
    chosen = {tuple(pairs.select(selector, 3, seed).indices) for seed in range(8)}
    assert (len(chosen) == 1) == selector.deterministic


@ALL
def test_a_class_that_no_mask_shows_changes_nothing(component: Component, options: dict[str, Any]) -> None:
    pairs, selector = Pairs(1, 30), make(component, options)
    before = pairs.select(selector, 8, 0).indices.tolist()
    pairs.index = MaskIndex(np.insert(pairs.index.counts, 3, 0, axis=1), pairs.index.pixels)
    assert pairs.select(selector, 8, 0).indices.tolist() == before


@ALL
def test_all_images_are_a_budget_too(component: Component, options: dict[str, Any]) -> None:
    assert sorted(Pairs(2, 12).select(make(component, options), 12, 0).indices) == list(range(12))


@pytest.mark.parametrize("name", NAMES)
def test_more_images_than_there_are(name: str) -> None:
    with pytest.raises(BudgetError, match="a budget of 6 images, but the split has 5: give a smaller budget"):
        Pairs(0, 5).select(make(COMPONENTS[NAMES.index(name)], {}), 6, 0)


def test_planning_imports_nothing_heavy() -> None:
    modules = ", ".join(component.target.split(":")[0] for component in COMPONENTS)
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules or 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
