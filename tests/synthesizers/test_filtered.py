"""FreeMask's filter: which pixels go, what real images say of a class, and the contract of the synthesizer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from patch_fakes import RIGHT, WRONG, ColourTeacher, Photographs, coloured
from synthesis_fakes import SmallTeacher, Squares, choose, context, small_generator
from torch import Tensor

from d3s2bench import ConfigError, ModelError, Sample
from d3s2bench.interfaces import Synthesizer
from d3s2bench_synthesizers.filtered import Filtered, class_losses, without_noise
from d3s2bench_synthesizers.guided import Guided
from d3s2bench_synthesizers.layout import Layout

CHOSEN = choose(3, 1, 8, 0, 2)
FAST: dict[str, Any] = {"steps": 2, "batch": 2}


def samples(method: Any, start: int = 0, seed: int = 0) -> list[Sample]:
    given = context(seed=seed, teacher=SmallTeacher(), generator=small_generator())
    return list(method.synthesize(CHOSEN, given, start))


def photographs() -> Any:
    """Of class 0 the teacher reads 3 of 4 pixels, of class 1 both, of class 2 there is none; one pixel is ignored."""
    masks = [np.array([[0, 0], [1, 255]], np.uint8), np.array([[0, 0], [1, 255]], np.uint8)]
    return Photographs([coloured([[0, 0], [1, 2]]), coloured([[0, 2], [1, 1]])], masks)


def test_pixels_above_the_limit_of_their_class_are_ignored() -> None:
    mask = np.array([[0, 0, 1], [1, 255, 1]], np.uint8)
    losses = np.array([[0.5, 0.51, 0.51], [2.0, 0.0, 2.1]], np.float32)
    found, share = without_noise(mask, losses, np.array([0.5, 2.0, np.nan]))
    assert found.tolist() == [[0, 255, 1], [1, 255, 255]] and found.dtype == np.uint8
    assert share == 2 / 5


def test_the_mean_loss_of_a_class_is_over_all_its_real_pixels() -> None:
    given = context(photographs(), teacher=ColourTeacher(), generator=SimpleNamespace(size=(2, 2)))
    assert class_losses(given) == pytest.approx([(3 * RIGHT + WRONG) / 4, RIGHT, np.nan], rel=1e-5, nan_ok=True)


def test_real_images_are_read_once_for_a_teacher_and_a_size() -> None:
    teacher = ColourTeacher()
    for size, seen in (((2, 2), 2), ((2, 2), 2), ((4, 2), 4)):
        class_losses(context(photographs(), teacher=teacher, generator=SimpleNamespace(size=size)))
        assert teacher.seen == seen
    class_losses(context(photographs(), teacher=ColourTeacher(), generator=SimpleNamespace(size=(2, 2))))
    assert teacher.seen == 4


@pytest.mark.parametrize("base", [Layout(**FAST), Guided(**FAST, scale=0.5)])
def test_images_are_those_of_the_base_and_masks_lose_the_told_share(base: Any) -> None:
    name = type(base).__name__.lower()
    method = Filtered(name, {**FAST, "scale": 0.5} if name == "guided" else FAST)
    made, painted = samples(method), samples(base)
    assert len(made) == len(painted) == 5
    for new, old in zip(made, painted, strict=True):
        assert np.array_equal(new.image, old.image) and new.sources == old.sources
        gone = new.mask != old.mask
        assert gone.any() and (new.mask[gone] == 255).all()
        share = new.provenance["filtered"]
        assert share == gone.sum() / (old.mask != 255).sum() and new.provenance == {**old.provenance, "filtered": share}


def test_tolerance_spans_from_nothing_to_everything() -> None:
    shares = [
        [sample.provenance["filtered"] for sample in samples(Filtered("layout", FAST, tolerance))]
        for tolerance in (1e-9, 1.0, 1.25, 1e9)
    ]
    assert shares[0] == [1.0] * 5 and shares[3] == [0.0] * 5
    assert all(a >= b for a, b in zip(shares[1], shares[2], strict=True)) and shares[1] != shares[2]


def test_a_run_stopped_and_resumed_gives_the_same_and_another_seed_does_not() -> None:
    method = Filtered(options=FAST)
    made, tail, other = samples(method), samples(method, start=3), samples(method, seed=1)
    assert len(tail) == 2
    for a, b in zip(made[3:], tail, strict=True):
        assert np.array_equal(a.image, b.image) and np.array_equal(a.mask, b.mask) and a.provenance == b.provenance
    assert not any(np.array_equal(a.image, b.image) for a, b in zip(made, other, strict=True))


def test_the_options_of_the_base_are_told_in_full() -> None:
    method = Filtered("guided", {"scale": 2, "window": [0.2, 0.8]})
    assert method.options["scale"] == 2.0 and method.options["steps"] == Guided().steps
    assert method.painter() == Guided(scale=2.0, window=(0.2, 0.8))
    assert Filtered(method.base, method.options) == method and isinstance(method, Synthesizer)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"base": "real"}, r"synth\.filtered\.base is 'real': give one of layout, guided"),
        ({"tolerance": 0.0}, r"synth\.filtered\.tolerance is 0.0: give more than 0"),
        ({"options": {"scale": 1}}, r"synth\.filtered\.options, of 'layout': .*scale"),
        ({"options": {"stepz": 1}}, r"synth\.filtered\.options, of 'layout': .*'stepz': did you mean 'steps'\?"),
        ({"options": {"steps": "many"}}, r"synth\.filtered\.options, of 'layout': .*many"),
        ({"options": {"steps": 0}}, r"steps is 0: give 1 or more"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Filtered(**options)


def test_models_of_another_dataset_are_refused() -> None:
    teacher, generator = SmallTeacher(), small_generator()
    with pytest.raises(ModelError, match="teacher knows 5 classes"):
        next(Filtered().synthesize(CHOSEN, context(teacher=SmallTeacher(classes=5), generator=generator)))
    with pytest.raises(ModelError, match="generator knows 5 classes"):
        next(Filtered().synthesize(CHOSEN, context(Squares(), teacher=teacher, generator=small_generator(classes=5))))


def test_a_teacher_without_numbers_filters_nothing_in_silence() -> None:
    class Broken(SmallTeacher):
        def features(self, images: Tensor, tap: str = "activation") -> Any:
            logits, features = super().features(images, tap)
            return logits * torch.nan, features

    with pytest.raises(ModelError, match="the teacher's logits are no numbers"):
        next(Filtered().synthesize(CHOSEN, context(teacher=Broken(), generator=small_generator())))
