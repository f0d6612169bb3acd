"""The mask index: one histogram per mask, by hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from d3s2bench import DatasetError
from d3s2bench.datasets.folder import Folder
from d3s2bench.sets.mask_index import build_mask_index, load_mask_index, save_mask_index


@dataclass
class Masks:
    """A split that has masks and refuses to give images."""

    masks: list[np.ndarray]  # type: ignore[type-arg]

    def __len__(self) -> int:
        return len(self.masks)

    def image(self, i: int) -> np.ndarray:  # type: ignore[type-arg]
        raise AssertionError("selection on masks reads no image")

    def mask(self, i: int) -> np.ndarray:  # type: ignore[type-arg]
        return self.masks[i]

    def item_name(self, i: int) -> str:
        return f"item{i}"


def test_known_answer() -> None:
    masks = [np.array([[0, 0, 1], [255, 2, 2]], np.uint8), np.full((1, 2), 255, np.uint8)]
    index = build_mask_index(Masks(masks), 4)
    assert index.counts.tolist() == [[2, 1, 2, 0], [0, 0, 0, 0]]
    assert index.pixels.tolist() == [6, 2]
    assert index.counts.dtype == index.pixels.dtype == np.int64


@given(st.lists(st.lists(st.sampled_from([0, 1, 2, 255]), min_size=1), min_size=1, max_size=5))
@settings(max_examples=25)
def test_labelled_and_ignored_pixels_make_all(rows: list[list[int]]) -> None:
    index = build_mask_index(Masks([np.array([row], np.uint8) for row in rows]), 3)
    for row, counts, pixels in zip(rows, index.counts, index.pixels, strict=True):
        assert counts.tolist() == [row.count(c) for c in range(3)]
        assert counts.sum() + row.count(255) == pixels == len(row)


def test_all_255_classes_may_occur() -> None:
    index = build_mask_index(Masks([np.arange(256, dtype=np.uint8)[None]]), 255)
    assert index.counts.tolist() == [[1] * 255]


def test_a_label_out_of_range_names_the_mask() -> None:
    masks = [np.zeros((1, 1), np.uint8), np.array([[3, 9]], np.uint8)]
    with pytest.raises(DatasetError, match="mask item1 holds label 3, but there are 3 classes: mend the mask"):
        build_mask_index(Masks(masks), 3)


def test_the_first_bad_mask_is_reported_whatever_the_threads_do(tiny: Path) -> None:
    for name in ("007", "003", "015"):
        (tiny / "annotations/train" / f"{name}.png").write_bytes(b"")
    for _ in range(5):
        with pytest.raises(DatasetError, match=r"003\.png is corrupt"):
            build_mask_index(Folder(tiny).split("train"), 4)


def test_progress_reaches_the_end(tiny: Path) -> None:
    seen: list[tuple[int, int]] = []
    build_mask_index(Folder(tiny).split("train"), 4, lambda done, total, note: seen.append((done, total)))
    assert seen == [(i, 20) for i in range(1, 21)]


def test_it_comes_back_from_disk(tiny: Path, tmp_path: Path) -> None:
    index = build_mask_index(Folder(tiny).split("train"), 4)
    save_mask_index(index, tmp_path)
    again = load_mask_index(tmp_path)
    assert np.array_equal(index.counts, again.counts)
    assert np.array_equal(index.pixels, again.pixels)
