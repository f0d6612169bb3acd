"""What every selector that is registered here promises."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selector_fakes import ColourTeacher, batchnorm_of, context, index_of, random_images

import d3s2bench_selectors
from d3s2bench import Budget, Component
from d3s2bench.interfaces import Selector

COMPONENTS: list[Component] = d3s2bench_selectors.register_selectors()
ALL = pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.name)


def make(component: Component) -> Any:
    module, name = component.target.split(":")
    return getattr(import_module(module), name)()


def test_the_four_are_registered() -> None:
    assert [(component.kind, component.name) for component in COMPONENTS] == [
        ("selector", name) for name in ("random", "balanced", "k-center", "dfss")
    ]


@ALL
def test_is_a_selector_with_a_summary(component: Component) -> None:
    assert isinstance(make(component), Selector)
    assert 0 < len(component.summary) <= 80


@ALL
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_budget_range_and_seed(component: Component, data: st.DataObject) -> None:
    images = data.draw(st.integers(1, 30))
    kept = data.draw(st.integers(1, images))
    seed = data.draw(st.integers(0, 2**63 - 1))
    counts = np.random.default_rng(seed).integers(0, 40, (images, 5))
    index, pictures = index_of(counts, ignored=1), random_images(seed, images)

    def select(seed: int) -> Any:
        given = context(pictures, ColourTeacher(batchnorm_of(0)), seed)
        return make(component).select(index, Budget(kept, images, kept / images), given)

    first, second, other = select(seed), select(seed), select(seed // 2)
    assert first.indices.dtype == np.int64 and first.indices.shape == (kept,)
    assert len(set(first.indices)) == kept
    assert first.indices.min() >= 0 and first.indices.max() < images
    assert first.indices.tolist() == second.indices.tolist()
    if first.scores is not None:
        assert first.scores.dtype == np.float64 and first.scores.shape == (kept,)
        assert np.isfinite(first.scores).all()
    if make(component).deterministic:
        assert first.indices.tolist() == other.indices.tolist()


@ALL
def test_the_seed_matters_unless_declared_otherwise(component: Component) -> None:
    index, pictures = index_of(np.ones((40, 2)) * 50), random_images(0, 40)
    chosen = {
        tuple(
            make(component)
            .select(index, Budget(3, 40, 0.075), context(pictures, ColourTeacher(batchnorm_of(0)), s))
            .indices
        )
        for s in range(8)
    }
    assert (len(chosen) == 1) == make(component).deterministic


def test_random_is_uniform() -> None:
    select = make(COMPONENTS[0]).select
    index = index_of(np.ones((10, 1)))
    hits = np.zeros(10)
    for seed in range(2000):
        hits[select(index, Budget(3, 10, 0.3), context([], seed=seed)).indices] += 1
    assert abs(hits - 600).max() < 5 * np.sqrt(2000 * 0.3 * 0.7)


def test_planning_imports_no_torch() -> None:
    modules = ", ".join(component.target.split(":")[0] for component in COMPONENTS)
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
