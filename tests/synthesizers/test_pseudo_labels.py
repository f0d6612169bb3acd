"""Photographs under a teacher's labels: what a teacher that reads colours makes of them."""

from __future__ import annotations

import numpy as np
import pytest
from patch_fakes import ColourTeacher, Photographs, coloured
from synthesis_fakes import SmallTeacher, Squares, choose, context

from d3s2bench import ModelError
from d3s2bench_synthesizers.pseudo_labels import PseudoLabels

READ = np.array([[0, 1], [2, 0]], np.uint8)
TRUTH = np.array([[0, 2], [2, 255]], np.uint8)
UNLABELLED = np.full((2, 2), 255, np.uint8)


def photographs() -> Photographs:
    return Photographs([coloured(READ), coloured(READ[::-1])], [TRUTH, UNLABELLED])


def test_each_pixel_gets_the_class_that_the_teacher_reads() -> None:
    first, second = PseudoLabels().synthesize(choose(0, 1), context(photographs(), teacher=ColourTeacher()))  # type: ignore[arg-type]
    assert first.mask.tolist() == READ.tolist(), "the ignored pixel, too, and the one that is annotated otherwise"
    assert second.mask.tolist() == READ[::-1].tolist()
    assert first.mask.dtype == np.uint8
    assert np.array_equal(first.image, coloured(READ)), "the photograph is untouched"
    assert first.provenance["agreement"] == pytest.approx(2 / 3)
    assert second.provenance["agreement"] is None
    assert (first.sources, second.sources) == ((0,), (1,))


def test_of_equally_likely_classes_the_lowest_is_taken() -> None:
    grey = Photographs([np.full((2, 2, 3), 90, np.uint8)], [TRUTH])
    (sample,) = PseudoLabels().synthesize(choose(0), context(grey, teacher=ColourTeacher()))  # type: ignore[arg-type]
    assert sample.mask.tolist() == [[0, 0], [0, 0]]


def test_a_teacher_of_other_classes_is_refused() -> None:
    with pytest.raises(ModelError, match="the teacher knows 5 classes, dataset 'squares' has 3"):
        next(PseudoLabels().synthesize(choose(0), context(Squares(), teacher=SmallTeacher(classes=5))))
