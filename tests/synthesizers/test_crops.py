"""Random zoomed crops: where they lie, that image and mask stay together, that none is enlarged."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from d3s2bench_synthesizers.crops import Crops
from d3s2bench_synthesizers.pixel_training import draw


def ramps(count: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Images whose red is x and whose green is y, and masks that are x."""
    y, x = np.mgrid[: size[1], : size[0]].astype(np.uint8)
    return np.stack([np.stack([x, y, 0 * x], axis=-1)] * count), np.stack([x] * count)


@given(width=st.integers(8, 96), height=st.integers(8, 96), least=st.floats(0.1, 1), seed=st.integers(0, 99))
def test_boxes_lie_inside_and_are_no_smaller_than_what_comes_out(
    width: int, height: int, least: float, seed: int
) -> None:
    crops = Crops((width, height), least)
    whole = np.array(crops.whole_size)
    boxes = np.array(crops.boxes(20, np.random.default_rng(seed)))
    corners, sides = boxes[:, :2], boxes[:, 2:] - boxes[:, :2]
    assert (corners >= 0).all() and (boxes[:, 2:] <= whole).all()
    assert (sides > np.array(crops.size) - 1e-9).all()
    np.testing.assert_allclose(*(sides / whole).T, atol=1e-12)


def test_scales_and_places_are_uniform() -> None:
    crops = Crops((50, 20), 0.5)
    boxes = np.array(crops.boxes(4000, np.random.default_rng(0))) / (100, 40, 100, 40)
    scales = boxes[:, 2:] - boxes[:, :2]
    places = boxes[:, :2] / (1 - scales)
    quarters = np.array([0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(np.quantile(scales[:, 0], quarters), 0.5 + 0.5 * quarters, atol=0.02)
    np.testing.assert_allclose(np.quantile(places, quarters, axis=0).T, [quarters, quarters], atol=0.03)
    assert abs(np.corrcoef(places.T)[0, 1]) < 0.05


def test_image_and_mask_show_the_same_part() -> None:
    crops = Crops((48, 36), 0.4)
    images, masks = ramps(30, crops.whole_size)
    cut, named = crops(images, masks, np.random.default_rng(3))
    boxes = np.array(crops.boxes(30, np.random.default_rng(3)))
    assert cut.shape == (30, 36, 48, 3) and named.shape == (30, 36, 48)
    assert np.abs(cut[..., 0].astype(int) - named).max() <= 1
    for axis, size in ((0, 48), (1, 36)):  # a pixel of the crop is the place of its centre in the whole
        left, right = boxes[:, axis, None], boxes[:, 2 + axis, None]
        expected = left + (np.arange(size) + 0.5) * (right - left) / size - 0.5
        shown = cut[:, 0, :, 0] if axis == 0 else cut[:, :, 0, 1]
        assert np.abs(shown - expected).max() <= 1


def test_without_crops_nothing_is_drawn_or_copied() -> None:
    crops, rng = Crops((24, 16), 1.0), np.random.default_rng(3)
    images, masks = ramps(2, crops.whole_size)
    cut = crops(images, masks, rng)
    assert cut[0] is images and cut[1] is masks and crops.whole_size == (24, 16)
    assert rng.bit_generator.state == np.random.default_rng(3).bit_generator.state


def test_batches_are_cropped_by_the_seed_alone() -> None:
    crops = Crops((24, 16), 0.5)
    images, masks = ramps(4, crops.whole_size)
    batch, again, other = (draw(images, masks, 8, seed, crops) for seed in (1, 1, 2))
    assert all(bool((a == b).all()) for a, b in zip(batch, again, strict=True))
    assert batch[0].shape == (8, 3, 16, 24) and batch[2].shape == (8, 3, 16, 24)
    assert not bool((batch[1] == other[1]).all())
    spans = batch[1].amax(dim=(1, 2)) - batch[1].amin(dim=(1, 2))  # of 48 pixels, those that a crop shows
    assert len(set(spans.tolist())) > 3 and int(spans.min()) >= 22 and int(spans.max()) <= 47
