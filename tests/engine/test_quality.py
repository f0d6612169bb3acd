"""The quality of a set under a judge whose features are the image itself, against numbers worked out by hand."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from d3s2bench import DatasetError, ModelError
from d3s2bench.interfaces import Tap
from d3s2bench.sets import quality
from d3s2bench.sets.quality import measure

CLASSES = 3
TRAIN = 12


@dataclass(frozen=True)
class Pairs:
    """A split in memory."""

    images: Sequence[np.ndarray] | np.ndarray
    masks: Sequence[np.ndarray] | np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def image(self, i: int) -> np.ndarray:
        return self.images[i]

    def mask(self, i: int) -> np.ndarray:
        return self.masks[i]

    def item_name(self, i: int) -> str:
        return str(i)


@dataclass
class Mirror:
    """A judge that sees what is there: the class of a pixel is its strongest channel, its features are its channels.

    The layer ``half`` has every other pixel, the one that nearest neighbour takes, and doubles it.
    """

    class_features: Mapping[str, tuple[Tensor, Tensor]]
    layers: tuple[str, ...] = ("full", "half")
    pooled_layer: str = "half"
    batchnorm: Mapping[str, Any] = field(default_factory=dict)

    def features(self, images: Tensor, tap: Tap = "activation") -> tuple[Tensor, Mapping[str, Tensor]]:
        return images, {"full": images, "half": 2 * images[:, :, 1::2, 1::2]}


def statistics(pairs: Pairs, step: int, factor: float, start: int) -> tuple[Tensor, Tensor]:
    """Mean and std ``(C, 3)`` of each class over the pixels of a split, NaN for absent ones, by plain numpy."""
    pixels = np.concatenate([image[start::step, start::step].reshape(-1, 3) for image in pairs.images]) * factor / 255
    labels = np.concatenate([mask[start::step, start::step].ravel() for mask in pairs.masks])
    chosen = [pixels[labels == c] if (labels == c).any() else np.full((1, 3), np.nan) for c in range(CLASSES)]
    mean, std = (np.stack([function(rows, axis=0) for rows in chosen]) for function in (np.mean, np.std))
    return torch.from_numpy(mean), torch.from_numpy(std)


def mirror(train: Pairs) -> Mirror:
    return Mirror({"full": statistics(train, 1, 1.0, 0), "half": statistics(train, 2, 2.0, 1)})


def photographs(classes: int = CLASSES) -> Pairs:
    """Twelve noisy pictures, 8×6, of ``classes`` classes, a corner of each ignored."""
    rng = np.random.default_rng(0)
    images = rng.integers(60, 190, (TRAIN, 6, 8, 3), dtype=np.uint8)
    masks = rng.integers(0, classes, (TRAIN, 6, 8)).astype(np.uint8)
    masks[:, :2, :2] = 255
    return Pairs(images, masks)


def grey(levels: Sequence[int], side: int = 4) -> Pairs:
    """Square pictures of class 0, uniform but for the first row, which no pooled feature sees: it is full of noise."""
    images = [np.full((side, side, 3), level, np.uint8) for level in levels]
    for image in images:
        image[0] = np.random.default_rng(image[1, 0, 0]).integers(0, 255, (side, 3))
    return Pairs(images, [np.zeros((side, side), np.uint8)] * len(levels))


def measured(pairs: Pairs, train: Pairs, sources: Sequence[int] | None = None) -> dict[str, float | None]:
    chosen = range(len(pairs)) if sources is None else sources
    return measure(pairs, train, chosen, mirror(train), CLASSES)


def test_the_train_split_has_the_quality_of_photographs() -> None:
    train = photographs()
    found = measured(train, train)
    assert found["feature_distance"] == pytest.approx(0, abs=1e-9)
    assert found["diversity"] == 1
    assert found["within_class_diversity"] == pytest.approx(1)


def test_agreement_with_the_masks_is_counted_by_hand() -> None:
    """Channels say 0 0 1 2, the masks 0 1 1 ignore and 0 1 1 1: 2 of 4 and 2 of 5 in the unions of classes 0 and 1."""
    image = np.array([[[9, 0, 0], [9, 0, 0]], [[0, 9, 0], [0, 0, 9]]], np.uint8)
    masks = [np.array([[0, 1], [1, 255]], np.uint8), np.array([[0, 1], [1, 1]], np.uint8)]
    found = measured(Pairs([image, image], masks), photographs())
    assert found["judge_accuracy"] == pytest.approx(100 * 4 / 7)
    assert found["judge_miou"] == pytest.approx(100 * (2 / 4 + 2 / 5) / 2)


def test_a_wrong_mask_lowers_agreement_by_its_pixels() -> None:
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 200
    mask = np.zeros((4, 4), np.uint8)
    wrong = mask.copy()
    wrong[0, :3] = 1
    train = photographs()
    assert measured(Pairs([red], [mask]), train)["judge_accuracy"] == 100
    assert measured(Pairs([red], [wrong]), train)["judge_accuracy"] == 100 * 13 / 16


def test_a_shift_of_all_colours_is_the_distance_of_the_means() -> None:
    """δ in every channel: δ² / v in the first layer, (2δ)² / v' in the second, whatever the classes."""
    train = photographs()
    shifted = Pairs(np.asarray(train.images) + np.uint8(25), train.masks)
    delta, stds = 25 / 255, [std.square().mean().item() for _, std in mirror(train).class_features.values()]
    found = measured(shifted, train)
    assert found["feature_distance"] == pytest.approx((delta**2 / stds[0] + (2 * delta) ** 2 / stds[1]) / 2, rel=1e-5)
    assert found["within_class_diversity"] == pytest.approx(1, rel=1e-5)
    assert found["diversity"] == pytest.approx(1, rel=1e-5)


def test_half_the_contrast_is_the_distance_of_the_stds() -> None:
    """Of one class with mean m and std s, pixels at m ± s/2: (s/2)² / s² = 1/4 in both layers, half as varied."""
    board = np.zeros((4, 4, 1), bool)
    board[::4] = board[1::4] = True  # rows 0 and 1: as many pixels of each kind at either resolution
    train = Pairs([np.where(board, 80, 160).astype(np.uint8).repeat(3, axis=2)], [np.zeros((4, 4), np.uint8)])
    flat = Pairs([np.where(board, 100, 140).astype(np.uint8).repeat(3, axis=2)], train.masks)
    found = measured(flat, train)
    assert found["feature_distance"] == pytest.approx(1 / 4, rel=1e-5)
    assert found["within_class_diversity"] == pytest.approx(1 / 2, rel=1e-5)


def test_few_photographs_against_plain_numpy() -> None:
    train = photographs()
    few = Pairs(train.images[:3], train.masks[:3])
    judge, found = mirror(train), measured(few, train)
    layers = []
    for (mean, std), made in zip(judge.class_features.values(), mirror(few).class_features.values(), strict=True):
        distance = (made[0] - mean).square() + (made[1] - std).square()
        layers.append(distance.mean().item() / std.square().mean().item())
    assert found["feature_distance"] == pytest.approx(np.mean(layers), rel=1e-5)
    ratio = mirror(few).class_features["full"][1].mean(dim=1) / judge.class_features["full"][1].mean(dim=1)
    assert found["within_class_diversity"] == pytest.approx(ratio.mean().item(), rel=1e-5)


def test_classes_that_the_photographs_lack_or_that_have_few_pixels_are_left_out() -> None:
    train = photographs(classes=2)
    images, masks = np.array(train.images[:6]), np.array(train.masks[:6])
    expected = measured(Pairs(images, masks), train)
    ignored = masks == 255
    images[ignored] = 0
    masks[ignored] = 2
    unknown = measured(Pairs(images, masks), train)
    assert unknown["feature_distance"] == pytest.approx(expected["feature_distance"])
    assert unknown["within_class_diversity"] == pytest.approx(expected["within_class_diversity"])
    lonely = np.full((6, 8), 255, np.uint8)
    lonely[0, : quality.MIN_PIXELS - 1] = 0
    found = measured(Pairs(images[:1], [lonely]), train)
    assert (found["feature_distance"], found["within_class_diversity"]) == (None, None)


def test_diversity_compares_with_the_photographs_that_the_masks_came_from() -> None:
    """Distances of pairs 20, 40 and 60, against 60, 60 and 120 of the photographs 3, 1 and 2, which are larger.

    Two masks of one photograph count it twice: 60, 60 and 0.
    """
    train = grey([180, 60, 120, 0, 0, 0], side=8)
    found = measured(grey([100, 120, 160]), train, [3, 1, 2])
    assert found["diversity"] == pytest.approx(1 / 2)
    assert measured(grey([100, 120, 160]), train, [2, 1, 1])["diversity"] == pytest.approx(1)


def test_equal_images_have_no_diversity_and_a_single_one_has_no_number() -> None:
    train = grey([180, 60, 120])
    assert measured(grey([90, 90, 90]), train)["diversity"] == 0
    assert measured(grey([90]), train, [1])["diversity"] is None
    assert measured(grey([90, 120]), train, [1, 1])["diversity"] is None


def test_images_of_several_sizes_in_batches_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    train = photographs()
    cut = [slice(None), slice(None), slice(4), slice(None)]
    mixed = Pairs(
        [train.images[i][rows] for i, rows in enumerate(cut)], [train.masks[i][rows] for i, rows in enumerate(cut)]
    )
    seen: list[tuple[int, int, str]] = []
    together = measure(mixed, train, range(4), mirror(train), CLASSES, "cpu", lambda *said: seen.append(said))
    assert seen == [(2, 4, "images"), (3, 4, "images"), (4, 4, "images"), (4, 4, "photographs")]
    monkeypatch.setattr(quality, "LOGITS_PER_BATCH", 1)
    assert measured(mixed, train) == pytest.approx(together)
    assert measured(train, train)["feature_distance"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda train: {"pairs": Pairs([], []), "sources": []}, DatasetError, "the distilled set has no image"),
        (lambda train: {"sources": [0, TRAIN]}, DatasetError, "2 sources of 2 images are not among the 12 train"),
        (lambda train: {"sources": [0]}, DatasetError, "1 sources of 2 images"),
        (lambda train: {"num_classes": 4}, ModelError, "the judge knows 3 classes, not the dataset's 4"),
        (lambda train: {"judge": Mirror({})}, ModelError, "the judge knows no classes"),
        (
            lambda train: {"pairs": Pairs(train.images[:2], np.full((2, 6, 8), 255, np.uint8))},
            DatasetError,
            "every pixel of the split is ignored",
        ),
    ],
)
def test_bad_input_is_refused(change: Callable[[Pairs], Any], error: type[Exception], message: str) -> None:
    train = photographs()
    good = {"pairs": Pairs(train.images[:2], train.masks[:2]), "photographs": train, "sources": [0, 1]}
    good |= {"judge": mirror(train), "num_classes": CLASSES}
    with pytest.raises(error, match=message):
        measure(**(good | change(train)))


def test_torch_is_imported_when_something_is_measured() -> None:
    code = "import sys, d3s2bench.sets.quality; print('torch' in sys.modules)"
    made = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert made.stdout.strip() == "False"
