"""Image and mask are changed together, masks with nearest neighbour alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from d3s2bench import IGNORE
from d3s2bench_evaluators.augment import GREY, augment
from d3s2bench_evaluators.batches import batch_items, resize_mask

PLAIN = {"scale": [1, 1], "flip": 0.0, "photometric": 0.0}
GEOMETRY = {"scale": [0.6, 1.8], "flip": 0.5, "photometric": 0.0}


def draws(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def halves(count: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    """Masks of a 0 left and a 1 right half with a 2 in the lower right corner; the image's grey value is class / 2."""
    masks = torch.zeros(count, 24, 36, dtype=torch.long)
    masks[:, :, 18:] = 1
    masks[:, 12:, 27:] = 2
    return masks[:, None].expand(-1, 3, -1, -1) / 2, masks


def test_nothing_to_draw_changes_nothing() -> None:
    images, masks = halves()
    masks[:, 3, 4] = IGNORE
    warped, warped_masks = augment(images, masks, PLAIN, draws())
    torch.testing.assert_close(warped, images, atol=1e-5, rtol=0)
    assert torch.equal(warped_masks, masks)


def test_certain_flip_mirrors_both() -> None:
    images, masks = halves()
    warped, warped_masks = augment(images, masks, PLAIN | {"flip": 1.0}, draws())
    torch.testing.assert_close(warped, images.flip(-1), atol=1e-5, rtol=0)
    assert torch.equal(warped_masks, masks.flip(-1))


def test_image_and_mask_stay_aligned() -> None:
    images, masks = halves()
    warped, warped_masks = augment(images, masks, GEOMETRY, draws())
    inside = warped_masks != IGNORE
    off = (warped[:, 0] * 2 - warped_masks).abs()[inside]
    assert len({tuple(m.flatten().tolist()) for m in warped_masks}) > 10  # they did move
    assert (off < 0.5).float().mean() > 0.98  # all but interpolated borders
    assert (off.median() < 1e-5) and warped_masks.unique().tolist() == [0, 1, 2, IGNORE]


def test_outside_is_grey_and_ignored() -> None:
    images, masks = torch.ones(4, 3, 20, 20), torch.zeros(4, 20, 20, dtype=torch.long)
    warped, warped_masks = augment(images, masks, PLAIN | {"scale": [0.5, 0.5]}, draws())
    share = (warped_masks == IGNORE).float().mean()
    assert share == pytest.approx(0.75, abs=0.06)  # half the width, half the height
    assert warped[:, :, 0, 0].unique().tolist() in ([GREY], [GREY, 1.0]) and warped.min() == GREY


def test_photometric_leaves_masks_and_greys_alone() -> None:
    images, masks = torch.rand(8, 3, 12, 12, generator=torch.Generator().manual_seed(0)), torch.zeros(8, 12, 12).long()
    warped, warped_masks = augment(images, masks, PLAIN | {"photometric": 0.4}, draws())
    assert torch.equal(warped_masks, masks) and warped.min() >= 0 and warped.max() <= 1
    assert ((warped - images).abs().amax((1, 2, 3)) > 0.01).all()
    grey, _ = augment(images[:, :1].expand(-1, 3, -1, -1), masks, PLAIN | {"photometric": 0.4}, draws())
    torch.testing.assert_close(grey[:, 0], grey[:, 2])


def test_masks_are_resized_to_classes_that_were_there() -> None:
    mask = np.array([[0, 9], [255, 4]], np.uint8).repeat(15, 0).repeat(11, 1)
    assert set(np.unique(resize_mask(mask, (7, 5)))) == {0, 4, 9, 255}


@settings(max_examples=30)
@given(total=st.integers(1, 30), batch_size=st.integers(1, 12), seed=st.integers(0, 5))
def test_each_epoch_sees_every_pair_once(total: int, batch_size: int, seed: int) -> None:
    iterations = 3 * total  # a whole number of epochs: 3 · batch_size
    seen = [item for k in range(iterations) for item in batch_items(seed, k, batch_size, total)]
    for epoch in range(3 * batch_size):
        assert sorted(seen[epoch * total : (epoch + 1) * total]) == list(range(total))
