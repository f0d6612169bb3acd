"""Counts that a dataset knows from its files are those of its masks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from dataset_trees import write_ade20k
from PIL import Image as Pillow

from d3s2bench import DatasetError
from d3s2bench.datasets.ade20k import Ade20k
from d3s2bench.datasets.folder import Folder
from d3s2bench.datasets.held_out import HeldOut
from d3s2bench.datasets.label_counts import label_counts
from d3s2bench.interfaces import Split
from d3s2bench.sets.mask_index import BLOCK, build_mask_index


def by_mask(split: Split, i: int) -> list[int]:
    return np.bincount(split.mask(i).ravel(), minlength=256).tolist()


def test_a_folder_counts_without_a_pixel_in_python(tiny: Path) -> None:
    split = Folder(tiny).split("train")
    known = split.label_counts(3)
    assert known is not None
    assert known.dtype == np.int64
    assert known.tolist() == by_mask(split, 3)
    assert known[255] == 4  # the ignored corner


def test_the_ignored_id_of_a_folder_may_be_a_class_id(tiny: Path) -> None:
    described = json.loads((tiny / "classes.json").read_text())
    (tiny / "classes.json").write_text(json.dumps(described | {"ignore_index": 0}))
    split = Folder(tiny).split("train")
    assert label_counts(split, 0).tolist() == by_mask(split, 0)
    assert label_counts(split, 0)[0] == 0


def test_ids_of_official_layouts_are_mapped(tmp_path: Path) -> None:
    """ADE20K's file holds 0, which is ignored, and 1, which is class 0."""
    write_ade20k(tmp_path)
    split = Ade20k(tmp_path).split("train")
    known = split.label_counts(0)
    assert known is not None
    assert known.tolist() == by_mask(split, 0)
    assert known[255] and known[0]


@pytest.mark.parametrize(
    ("dtype", "known"), [(np.uint16, False), (np.bool_, False), (np.uint8, True)], ids=["16 bits", "1 bit", "8 bits"]
)
def test_files_that_hold_no_bytes_are_counted_by_their_masks(tiny: Path, dtype: type, known: bool) -> None:
    split = Folder(tiny).split("train")
    Pillow.fromarray((split.mask(0) == 1).astype(dtype)).save(tiny / "annotations/train/000.png")
    assert (split.label_counts(0) is not None) == known
    assert label_counts(split, 0).tolist() == by_mask(split, 0)


def test_a_part_hands_the_counts_on(tiny: Path) -> None:
    part, whole = HeldOut(Folder(tiny), "00*").split("dev"), Folder(tiny).split("train")
    assert label_counts(part, 7).tolist() == by_mask(whole, 7)


@pytest.mark.parametrize(
    ("mask", "says"),
    [
        (np.full((24, 32), 9, np.uint8), "000.png holds label 9, but there are 4 classes"),
        (np.zeros((24, 30), np.uint8), "000.png is 30×24, but its image is 32×24"),
        (np.zeros((24, 32, 3), np.uint8), "000.png is a colour picture"),
    ],
    ids=["label", "size", "colours"],
)
def test_the_index_says_of_a_bad_mask_what_reading_it_says(tiny: Path, mask: np.ndarray, says: str) -> None:  # type: ignore[type-arg]
    Pillow.fromarray(mask).save(tiny / "annotations/train/000.png")
    split = Folder(tiny).split("train")
    for read in (lambda: split.mask(0), lambda: build_mask_index(split, 4)):
        with pytest.raises(DatasetError, match=says):
            read()


def test_more_masks_than_a_thread_takes_at_once(tiny: Path) -> None:
    split = Folder(tiny).split("train")
    assert len(split) > BLOCK
    index = build_mask_index(split, 4)
    assert index.counts.tolist() == [by_mask(split, i)[:4] for i in range(len(split))]
    assert set(index.pixels.tolist()) == {24 * 32}
