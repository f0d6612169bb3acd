"""RDED: which crop is kept, where it goes, and the contract of a synthesizer that tiles."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from patch_fakes import RIGHT, WRONG, ColourTeacher, coloured
from synthesis_fakes import SmallTeacher, Squares, choose, context

from d3s2bench import ConfigError, ModelError, Sample
from d3s2bench.interfaces import Synthesizer
from d3s2bench_synthesizers.patches import Patch, RandomCrops, grid, patchwork
from d3s2bench_synthesizers.rded import Rded, most_realistic
from d3s2bench_synthesizers.resize import crop_image, crop_mask

CHOSEN = choose(3, 1, 8, 5, 0, 2, 9, 7, 4, 6)


def samples(method: Any, start: int = 0, seed: int = 0, dataset: Squares | None = None) -> list[Sample]:
    return list(method.synthesize(CHOSEN, context(dataset, seed, teacher=SmallTeacher()), start))


def same(a: Sample, b: Sample) -> bool:
    return np.array_equal(a.image, b.image) and np.array_equal(a.mask, b.mask) and a.provenance == b.provenance


def test_the_crop_of_the_lowest_mean_loss_is_kept() -> None:
    read = coloured([[0, 1], [2, 0]])
    masks = [[[0, 1], [1, 1]], [[0, 1], [2, 1]], [[255, 255], [255, 1]], [[255, 255], [255, 255]]]
    patches = [Patch(read, np.array(mask, np.uint8), {"number": n}) for n, mask in enumerate(masks)]
    best = most_realistic(patches, context(teacher=ColourTeacher()))
    assert best.note["number"] == 1 and best.mask is patches[1].mask
    assert best.note["loss"] == pytest.approx((3 * RIGHT + WRONG) / 4)
    one = most_realistic(patches[2:], context(teacher=ColourTeacher()))
    assert one.note["number"] == 2 and one.note["loss"] == pytest.approx(WRONG)
    assert most_realistic(patches[3:], context(teacher=ColourTeacher())).note["loss"] is None


def test_patches_fill_the_image_row_by_row() -> None:
    assert grid((5, 4), 2) == [(0, 0, 3, 2), (3, 0, 5, 2), (0, 2, 3, 4), (3, 2, 5, 4)]

    def cut(i: int, size: tuple[int, int], rng: np.random.Generator) -> Patch:
        return Patch(np.full((size[1], size[0], 3), i, np.uint8), np.full((size[1], size[0]), i, np.uint8), {})

    wide = context(Squares(size=(6, 4)))
    (plain,) = patchwork(choose(1, 2, 3, 4), wide, 0, 2, False, cut)
    assert plain.mask.tolist() == [[1, 1, 1, 2, 2, 2]] * 2 + [[3, 3, 3, 4, 4, 4]] * 2
    assert np.array_equal(plain.image[:, :, 0], plain.mask) and plain.sources == (1, 2, 3, 4)
    (seamed,) = patchwork(choose(1, 2, 3, 4), wide, 0, 2, True, cut)
    line = [3, 3, 3, 255, 4, 4]
    assert seamed.mask.tolist() == [[1, 1, 1, 255, 2, 2]] * 2 + [[255] * 6, line]
    assert np.array_equal(seamed.image, plain.image)


@given(
    whole=st.tuples(st.integers(8, 300), st.integers(8, 300)),
    aspect=st.floats(0.3, 3),
    scale=st.tuples(st.floats(0.05, 1), st.floats(0.05, 1)).map(sorted),
    seed=st.integers(0, 2**32),
)
def test_a_crop_lies_inside_and_keeps_area_and_aspect(
    whole: tuple[int, int], aspect: float, scale: list[float], seed: int
) -> None:
    crops = RandomCrops(1, (scale[0], scale[1]), (1.0, 1.0))
    left, top, right, bottom = crops.box(whole, aspect, np.random.default_rng(seed))
    assert 0 <= left < right <= whole[0] and 0 <= top < bottom <= whole[1]
    w, h, most = right - left, bottom - top, min(whole[0], whole[1] * aspect)
    assert most * scale[0] ** 0.5 - 1 <= w <= max(most * scale[1] ** 0.5 + 1, 1)
    assert abs(w - h * aspect) <= (1 + aspect) / 2 + 1e-6 or 1 in (w, h)


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_one_image_of_the_dataset_s_size_for_as_many_sources_as_tiles(factor: int) -> None:
    method = Rded(factor=factor, candidates=2)
    made = samples(method)
    assert method.sources_per_image == factor**2 and len(made) == 10 // factor**2
    assert [i for sample in made for i in sample.sources] == CHOSEN.indices[: len(made) * factor**2].tolist()
    assert all(sample.image.shape == (16, 24, 3) and sample.mask.shape == (16, 24) for sample in made)
    assert isinstance(method, Synthesizer)


@pytest.mark.parametrize("size", [(24, 16), (30, 44)])
def test_each_tile_is_the_told_crop_of_its_source_and_its_mask_alike(size: tuple[int, int]) -> None:
    train = Squares(size=size)
    for sample in samples(Rded(ratio=(0.8, 1.25)), dataset=train):
        for i, (left, top, right, bottom), note in zip(
            sample.sources, grid(size, 2), sample.provenance["patches"], strict=True
        ):
            cell = (right - left, bottom - top)
            assert np.array_equal(sample.mask[top:bottom, left:right], crop_mask(train.mask(i), note["box"], cell))
            assert np.array_equal(sample.image[top:bottom, left:right], crop_image(train.image(i), note["box"], cell))


def test_more_candidates_never_raise_the_loss() -> None:
    losses = []
    for candidates in (1, 3, 9):  # factor 1: each image has a generator of its own, so candidates are nested
        made = samples(Rded(factor=1, candidates=candidates))
        losses.append([sample.provenance["patches"][0]["loss"] for sample in made])
    for few, many in pairwise(losses):
        assert all(b <= a + 1e-6 for a, b in zip(few, many, strict=True))
    assert np.mean(losses[2]) < np.mean(losses[0])


def test_a_run_stopped_and_resumed_gives_the_same_and_another_seed_does_not() -> None:
    made = samples(Rded())
    assert all(map(same, made, samples(Rded())))
    assert len(samples(Rded(), start=1)) == 1 and same(samples(Rded(), start=1)[0], made[1])
    assert not any(map(same, made, samples(Rded(), seed=1)))


def test_what_cannot_be_done_is_said() -> None:
    wrong: list[dict[str, Any]] = [{"factor": 0}, {"candidates": 0}, {"scale": (0.0, 1.0)}, {"ratio": (1.0, 0.5)}]
    for options in wrong:
        with pytest.raises(ConfigError, match=rf"synth\.rded\.{next(iter(options))} is "):
            Rded(**options)
    with pytest.raises(ModelError, match="teacher knows 5 classes, dataset 'squares' has 3"):
        next(Rded().synthesize(CHOSEN, context(teacher=SmallTeacher(classes=5))))
    with pytest.raises(ConfigError, match="images of 2×4 pixels do not hold 3×3 tiles"):
        grid((2, 4), 3)
