"""The dataset ``scenes``: the same bytes everywhere, independent splits, a long tail, a cache."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from d3s2bench.datasets import scenes
from d3s2bench.datasets.scene_painting import Dice, ellipse, value_noise
from d3s2bench.datasets.scenes import CLASSES, FINGERPRINT, PALETTE, SIZE, SPLITS, Scenes, render_scene
from d3s2bench.errors import DatasetError

GOLDEN_ITEMS = {
    "train": "a0f2ae3b483fafe418d5db247697ce750bd904ee0122123b6070a679c43fe3bf",
    "val": "1848ae6c8aa151911b67383bb2dbe3d1a0f4414d15c8f1cbb3eeaf86f3a29bcd",
    "test": "7d3ddcd6c6eee8d4821f75081db46f63069714f1aacb2551d834fa60f4bdde7b",
}


def digest(arrays: Iterable[np.ndarray]) -> str:
    """sha256 over the bytes of arrays, in order."""
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(array.tobytes())
    return sha.hexdigest()


@pytest.fixture(scope="module")
def masks() -> np.ndarray:
    """The first 1,000 train masks."""
    return np.stack([render_scene("train", i)[1] for i in range(1000)])


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Scenes:
    """The dataset with a validation split of three images."""
    pairs = [render_scene("val", i) for i in range(3)]
    stacks = [np.stack(part) for part in zip(*pairs, strict=True)]
    monkeypatch.setitem(scenes.SPLITS, "val", 3)
    monkeypatch.setitem(scenes._GOLDEN, "val", digest(stacks))
    return Scenes(cache=tmp_path)


@pytest.mark.parametrize("split", SPLITS)
def test_items_have_their_golden_bytes(split: str) -> None:
    assert digest(array for i in (0, 7, 133) for array in render_scene(split, i)) == GOLDEN_ITEMS[split]


@pytest.mark.slow
def test_the_whole_has_its_golden_bytes() -> None:
    arrays = (array for split in SPLITS for array in scenes._render_split(split))
    assert digest(arrays) == FINGERPRINT


@pytest.mark.slow
def test_every_class_is_in_train_and_test(tmp_path: Path) -> None:
    for name in ("train", "test"):
        assert set(range(16)) <= set(np.unique(Scenes(cache=tmp_path).split(name).masks).tolist())


def test_shapes_and_types() -> None:
    image, mask = render_scene("train", 0)
    assert (image.shape, image.dtype) == ((SIZE[1], SIZE[0], 3), np.uint8)
    assert (mask.shape, mask.dtype) == ((SIZE[1], SIZE[0]), np.uint8)
    assert len(CLASSES) == len(set(CLASSES)) == len(PALETTE) == len(set(PALETTE)) == 16


def test_splits_and_seeds_are_independent() -> None:
    images = [render_scene(*key)[0] for key in (("train", 5), ("val", 5), ("test", 5), ("train", 6), ("train", 5, 1))]
    assert len({image.tobytes() for image in images}) == len(images)


def test_an_item_does_not_depend_on_what_was_rendered_before() -> None:
    first = render_scene("test", 3)[0]
    render_scene("test", 4)
    assert np.array_equal(first, render_scene("test", 3)[0])


def test_the_classes_have_a_long_tail(masks: np.ndarray) -> None:
    counts = np.bincount(masks.ravel(), minlength=256)
    pixels = counts[:16] / counts[:16].sum()
    images = np.array([(masks == c).any((1, 2)).mean() for c in range(16)])
    assert (pixels > 0).all()
    assert (pixels < 0.003).sum() >= 3
    assert (images < 0.05).sum() >= 3


def test_few_pixels_are_ignored(masks: np.ndarray) -> None:
    assert 0.005 < (masks == 255).mean() < 0.05
    assert set(np.unique(masks).tolist()) == {*range(16), 255}


def test_a_split_is_rendered_once(small: Scenes, monkeypatch: pytest.MonkeyPatch) -> None:
    first = small.split("val")
    monkeypatch.setattr(scenes, "render_scene", None)
    again = small.split("val")
    assert len(first) == len(again) == 3
    assert np.array_equal(first.image(2), again.image(2))
    assert sorted(path.name for path in small.cache.glob("*/*")) == ["val-images.npy", "val-masks.npy"]


def test_a_split_gives_copies_and_names(small: Scenes) -> None:
    split = small.split("val")
    image, mask = split.image(1), split.mask(1)
    image[:], mask[:] = 0, 0
    assert np.array_equal(split.image(1), render_scene("val", 1)[0])
    assert np.array_equal(split.mask(1), render_scene("val", 1)[1])
    assert split.item_name(1) == "val_00001"


def test_other_bytes_are_refused(small: Scenes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(scenes._GOLDEN, "val", "0" * 64)
    with pytest.raises(DatasetError, match="other bytes"):
        small.split("val")
    assert not list(small.cache.glob("*/*"))


def test_an_unknown_split_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"'trian'.*train, val, test"):
        Scenes(cache=tmp_path).split("trian")


def test_the_dice_are_splitmix64() -> None:
    dice = Dice("word")
    dice._state = 0
    assert dice.below(1 << 32) == 0xE220A8397B1DCDAF >> 32
    dice._state = 0
    assert dice.bytes(1, 2).tolist() == [[0xE2, 0x6E]]


def test_noise_fills_its_range_and_is_smooth() -> None:
    noise = value_noise(Dice("noise"), 8, 8)
    assert noise.min() >= 0
    assert noise.max() <= 255
    assert np.abs(np.diff(noise)).max() < 60


def test_regions_are_cut_at_the_border() -> None:
    whole, cut = ellipse(40, 30, 5, 3), ellipse(0, 30, 5, 3)
    assert whole.inside.shape == (7, 11)
    assert cut.inside.shape == (7, 6)
    assert ellipse(-50, -50, 5, 5).inside.size == 0
