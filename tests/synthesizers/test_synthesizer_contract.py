"""What every registered synthesizer keeps to: budget, order, seeds, resuming, masks. None reads another split."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest
from synthesis_fakes import CLASSES, Squares, choose, context, small_models

from d3s2bench import IGNORE, Component, Sample
from d3s2bench.interfaces import Synthesizer
from d3s2bench_synthesizers import register_synthesizers
from d3s2bench_synthesizers.resize import resize_mask

QUICK = {"steps": 2}
COMPONENTS = register_synthesizers()
ALL = pytest.mark.parametrize("component", COMPONENTS, ids=[c.name for c in COMPONENTS])
CHOSEN = choose(3, 1, 8, 5, 0, 2, 9, 4)


def make(component: Component) -> Any:
    module, name = component.target.split(":")
    cls = getattr(import_module(module), name)
    return cls(**(QUICK if "steps" in cls.__dataclass_fields__ else {}))


def samples(synthesizer: Any, start: int = 0, seed: int = 0) -> list[Sample]:
    return list(synthesizer.synthesize(CHOSEN, context(seed=seed, **small_models()), start))


def content(made: list[Sample]) -> list[tuple[bytes, bytes, tuple[int, ...]]]:
    return [(sample.image.tobytes(), sample.mask.tobytes(), sample.sources) for sample in made]


@ALL
def test_it_declares_what_it_is(component: Component) -> None:
    synthesizer = make(component)
    assert isinstance(synthesizer, Synthesizer)
    assert set(synthesizer.needs) <= {"teacher", "generator", "torch"}


@ALL
def test_the_budget_is_exact_and_the_order_kept(component: Component) -> None:
    synthesizer = make(component)
    made, each = samples(synthesizer), synthesizer.sources_per_image
    assert len(made) == 8 // each
    assert [i for sample in made for i in sample.sources] == CHOSEN.indices.tolist()


@ALL
def test_a_stopped_run_goes_on_with_the_same_bytes(component: Component) -> None:
    synthesizer = make(component)
    whole = content(samples(synthesizer))
    for start in range(len(whole) + 1):
        assert content(samples(synthesizer, start)) == whole[start:]


@ALL
def test_the_seed_matters_as_declared(component: Component) -> None:
    synthesizer = make(component)
    same = content(samples(synthesizer)) == content(samples(synthesizer, seed=1))
    assert same == synthesizer.deterministic


@ALL
def test_masks_are_labels_and_kept_where_declared(component: Component) -> None:
    synthesizer = make(component)
    for sample in samples(synthesizer):
        assert sample.image.dtype == sample.mask.dtype == np.uint8
        assert sample.image.shape == (*sample.mask.shape, 3)
        assert set(np.unique(sample.mask)) <= {*range(CLASSES), IGNORE}
        if synthesizer.preserves_mask:
            source = resize_mask(Squares().mask(sample.sources[0]), sample.mask.shape[::-1])
            np.testing.assert_array_equal(sample.mask, source)
