"""The memorisation check finds planted copies."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from d3s2bench.datasets.folder import Folder
from d3s2bench.sets.nearest import THUMBNAIL, nearest_train_images


def test_a_copy_is_found_exactly(tiny: Path) -> None:
    train = Folder(tiny).split("train")
    found = nearest_train_images([train.image(i) for i in (7, 0, 19)], train)
    assert [near["index"] for near in found] == [7, 0, 19]
    assert [near["name"] for near in found] == ["007", "000", "019"]
    assert [near["rmse"] for near in found] == [0, 0, 0]


def test_a_noisy_resized_copy_is_found(tiny: Path) -> None:
    from PIL import Image as Pillow

    train = Folder(tiny).split("train")
    noise = np.random.default_rng(0).normal(0, 10, train.image(7).shape)
    copy = Pillow.fromarray(np.clip(train.image(7) + noise, 0, 255).astype(np.uint8)).resize((96, 72))
    (near,) = nearest_train_images([np.asarray(copy)], train)
    assert near["index"] == 7
    assert 0 < near["rmse"] < 15


def test_the_distance_is_in_grey_levels(tiny: Path) -> None:
    """Uniform images: the root mean square difference is the difference."""

    class Uniform:
        def __len__(self) -> int:
            return 2

        def image(self, i: int) -> np.ndarray:  # type: ignore[type-arg]
            return np.full((*THUMBNAIL[::-1], 3), (100, 200)[i], np.uint8)

        def item_name(self, i: int) -> str:
            return "ab"[i]

    query = np.full((*THUMBNAIL[::-1], 3), 130, np.uint8)
    assert nearest_train_images([query], Uniform()) == [{"index": 0, "name": "a", "rmse": 30.0}]  # type: ignore[arg-type]


def test_of_equally_near_ones_the_first_is_named(tiny: Path) -> None:
    image = tiny / "images/train/012.png"
    image.write_bytes((tiny / "images/train/003.png").read_bytes())
    train = Folder(tiny).split("train")
    assert nearest_train_images([train.image(12)], train)[0]["index"] == 3


class Watched:
    """A train split that counts what is read of it."""

    def __init__(self, images: list[np.ndarray]) -> None:  # type: ignore[type-arg]
        self.images, self.read = images, 0

    def __len__(self) -> int:
        return len(self.images)

    def image(self, i: int) -> np.ndarray:  # type: ignore[type-arg]
        self.read += 1
        return self.images[i]

    def item_name(self, i: int) -> str:
        return str(i)


def test_train_is_read_once_for_all_sets_of_a_dataset_and_one_image_of_a_set_is_held(tiny: Path) -> None:
    real = Folder(tiny).split("train")
    train, told = Watched([real.image(i) for i in range(len(real))]), list[tuple[int, int, str]]()
    held: list[weakref.ref[np.ndarray]] = []  # type: ignore[type-arg]

    def images() -> Iterator[np.ndarray]:  # type: ignore[type-arg]
        for i in (7, 0, 19):
            assert sum(image() is not None for image in held) <= 1
            held.append(weakref.ref(copy := train.images[i].copy()))
            yield copy
            del copy

    expected = nearest_train_images([train.images[i] for i in (7, 0, 19)], train)  # type: ignore[arg-type]
    for fingerprint, read in (("a", 40), ("a", 40), ("b", 60), ("a", 80)):
        found = nearest_train_images(images(), train, fingerprint, lambda *step: told.append(step))  # type: ignore[arg-type]
        assert found == expected
        assert train.read == read
    assert {(20, 20, "photographs read"), (20, 20, "photographs compared")} <= set(told)
