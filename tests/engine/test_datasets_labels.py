"""Label maps and class tables: ids, names and colours known from their sources; kinds of mask files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from d3s2bench import DatasetError
from d3s2bench.datasets.class_table import class_table
from d3s2bench.datasets.coco_stuff import RAW_10K, RAW_164K
from d3s2bench.datasets.folder import default_colour
from d3s2bench.datasets.label_map import UNKNOWN, LabelMap, ranges, read_labels

SIZES = {
    "ade20k": 150,
    "coco_stuff": 171,
    "cityscapes": 19,
    "voc2012": 21,
    "camvid": 11,
    "nyuv2_13": 13,
    "nyuv2_40": 40,
}
KNOWN = {  # (table, train id): id in the file, name, colour
    ("ade20k", 0): (1, "wall", (120, 120, 120)),
    ("ade20k", 12): (13, "person", (150, 5, 61)),
    ("ade20k", 149): (150, "flag", (92, 0, 255)),
    ("coco_stuff", 0): (0, "person", (0, 192, 64)),
    ("coco_stuff", 11): (12, "stop sign", (0, 0, 224)),
    ("coco_stuff", 79): (89, "toothbrush", (192, 160, 0)),
    ("coco_stuff", 80): (91, "banner", (0, 192, 0)),
    ("coco_stuff", 170): (181, "wood", (64, 64, 0)),
    ("cityscapes", 0): (7, "road", (128, 64, 128)),
    ("cityscapes", 10): (23, "sky", (70, 130, 180)),
    ("cityscapes", 16): (31, "train", (0, 80, 100)),
    ("cityscapes", 18): (33, "bicycle", (119, 11, 32)),
    ("voc2012", 0): (0, "background", (0, 0, 0)),
    ("voc2012", 15): (15, "person", (192, 128, 128)),
    ("camvid", 3): (3, "Road", (128, 64, 128)),
    ("nyuv2_13", 0): (1, "bed", (0, 0, 255)),
    ("nyuv2_13", 12): (13, "window", (225, 229, 194)),
    ("nyuv2_40", 0): (1, "wall", (174, 199, 232)),
    ("nyuv2_40", 39): (40, "otherprop", (100, 85, 144)),
}


@pytest.mark.parametrize("name", SIZES)
def test_tables_are_whole(name: str) -> None:
    table = class_table(name)
    assert len(table.ids) == len(table.names) == len(table.palette) == SIZES[name]
    assert table.ids == tuple(sorted(set(table.ids)))
    assert len(set(table.names)) == len(table.names)
    assert all(name == name.strip() and name for name in table.names)
    assert all(0 <= value <= 255 for colour in table.palette for value in colour)


@pytest.mark.parametrize(("place", "expected"), KNOWN.items(), ids=str)
def test_known_rows(place: tuple[str, int], expected: tuple[int, str, tuple[int, int, int]]) -> None:
    table, k = class_table(place[0]), place[1]
    assert (table.ids[k], table.names[k], table.palette[k]) == expected


@pytest.mark.parametrize(
    ("name", "theirs"),
    [("ade20k", "ade"), ("coco_stuff", "cocostuff"), ("cityscapes", "cityscapes"), ("voc2012", "voc")],
)
def test_every_name_and_colour_is_mmsegs(name: str, theirs: str, mmseg_folder: Path) -> None:
    file = mmseg_folder / "utils" / "class_names.py"
    lists: dict[str, Any] = {}
    exec(file.read_text().replace("from mmengine.utils import is_str", ""), lists)
    table = class_table(name)
    assert list(table.names) == [word.strip() for word in lists[f"{theirs}_classes"]()]  # one of ADE20K's is "bed "
    assert list(table.palette) == [tuple(colour) for colour in lists[f"{theirs}_palette"]()]


def test_vocs_colours_are_its_colour_map() -> None:
    assert class_table("voc2012").palette == tuple(default_colour(i) for i in range(21))


def test_cocos_unused_ids_are_the_things_that_nobody_segmented() -> None:
    """cocostuff's labels.txt, less 1: street sign, hat, shoe, eye glasses, plate, mirror, window, desk, door, …"""
    unused = set(range(182)) - set(class_table("coco_stuff").ids)
    assert unused == {11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90}
    assert (RAW_10K.table[1:183] == RAW_164K.table[:182]).all()
    assert (RAW_10K.table[0], RAW_164K.table[255]) == (255, 255)


def test_only_cocos_palette_repeats_colours() -> None:
    """And ADE20K's once: its authors gave two classes the same grey."""
    repeated = {name: sum(n > 1 for n in Counter(class_table(name).palette).values()) for name in SIZES}
    assert {name for name, count in repeated.items() if count} == {"coco_stuff", "ade20k"}
    assert repeated["ade20k"] == 1


@given(st.lists(st.integers(0, 65534).filter(lambda i: i != 255), min_size=1, max_size=171, unique=True), st.data())
def test_a_map_takes_ids_to_their_places(ids: list[int], data: st.DataObject) -> None:
    ignored = data.draw(st.integers(0, 65534).filter(lambda i: i not in ids))
    table = LabelMap(tuple(ids), (ignored,)).table
    assert table[ids].tolist() == list(range(len(ids)))
    assert table[ignored] == table[255] == 255
    assert (table == UNKNOWN).sum() == 65536 - len(ids) - len({ignored, 255})


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_pngs_of_8_and_16_bits(tmp_path: Path, dtype: type) -> None:
    Pillow.fromarray(np.array([[0, 1], [150, 255]], dtype)).save(tmp_path / "m.png")
    assert LabelMap(tuple(range(1, 151)), (0,)).read(tmp_path / "m.png").tolist() == [[255, 0], [149, 255]]


def test_16_bit_ids_beyond_a_byte_are_no_small_ones(tmp_path: Path) -> None:
    """257 must not be taken for 1."""
    Pillow.fromarray(np.array([[257]], np.uint16)).save(tmp_path / "m.png")
    assert LabelMap((1, 257)).read(tmp_path / "m.png").tolist() == [[1]]
    with pytest.raises(DatasetError, match=r"m\.png holds label 257, but its classes are 1 and it ignores 255"):
        LabelMap((1,)).read(tmp_path / "m.png")


def test_palette_pngs_give_indices(tmp_path: Path) -> None:
    picture = Pillow.fromarray(np.array([[0, 20]], np.uint8))
    picture.putpalette([7] * 768)
    picture.save(tmp_path / "m.png")
    assert read_labels(tmp_path / "m.png").tolist() == [[0, 20]]


def test_pngs_of_one_bit_are_ids_not_choices(tmp_path: Path) -> None:
    Pillow.fromarray(np.array([[False, True]])).save(tmp_path / "m.png")
    assert LabelMap((0, 1)).read(tmp_path / "m.png").tolist() == [[0, 1]]


def test_ranges() -> None:
    assert ranges([3, 1, 2, 5, 7, 8]) == "1 to 3, 5, 7 to 8"
