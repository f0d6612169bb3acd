"""The tables of colours, and how classes of other datasets find theirs."""

from __future__ import annotations

import pytest
import torch

from d3s2bench import ModelError
from d3s2bench.datasets.class_table import class_table
from d3s2bench_synthesizers.latent_palettes import BLACK, coloured, entries, look_up

VOC = [
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
]
CITYSCAPES = [
    *("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation"),
    *("terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"),
]
CAMVID = [
    *("Sky", "Building", "Pole", "Road", "Pavement", "Tree", "SignSymbol", "Fence", "Car", "Pedestrian", "Bicyclist"),
]


def colours(names: list[str], palette: str) -> list[tuple[int, int, int]]:
    return [entry.colour for entry in look_up(names, palette, "rename")]


def test_ade20k_has_the_colours_that_controlnet_was_trained_with() -> None:
    """Rows 0, 1, 2, 3, 12 and 149 of ADE20K's colour coding; road and skyscraper share one."""
    known = {
        "wall": (120, 120, 120), "building": (180, 120, 120), "sky": (6, 230, 230), "floor": (80, 50, 50),
        "person": (150, 5, 61), "flag": (92, 0, 255), "road": (140, 140, 140), "skyscraper": (140, 140, 140),
    }  # fmt: skip
    assert colours(list(known), "ade20k") == list(known.values())
    assert len({entry.colour for entry in entries("ade20k").values()} - {BLACK}) == 149


def test_coco_has_the_colours_of_panoptic_segmentation() -> None:
    known = {
        "person": (220, 20, 60), "bicycle": (119, 11, 32), "wall-other-merged": (102, 102, 156),
        "rug-merged": (250, 141, 255), "sky-other-merged": (70, 130, 180),
    }  # fmt: skip
    assert colours(list(known), "coco") == list(known.values())
    assert len({entry.colour for entry in entries("coco").values()} - {BLACK}) == 133


MERGED = {
    "tree-merged": ["branch", "bush", "leaves", "tree"],
    "fence-merged": ["cage", "fence", "railing"],
    "ceiling-merged": ["ceiling-other", "ceiling-tile"],
    "sky-other-merged": ["clouds", "fog", "sky-other"],
    "cabinet-merged": ["cabinet", "cupboard"],
    "table-merged": ["desk-stuff", "table"],
    "floor-other-merged": ["floor-marble", "floor-other", "floor-tile"],
    "pavement-merged": ["floor-stone", "pavement"],
    "mountain-merged": ["hill", "mountain"],
    "grass-merged": ["grass", "moss", "straw"],
    "dirt-merged": ["dirt", "mud"],
    "paper-merged": ["napkin", "paper"],
    "food-other-merged": ["food-other", "salad", "vegetable"],
    "building-other-merged": ["building-other", "skyscraper"],
    "rock-merged": ["rock", "stone"],
    "wall-other-merged": ["wall-concrete", "wall-other", "wall-panel"],
    "rug-merged": ["carpet", "mat", "rug"],
}
"""Kirillov et al., Panoptic Segmentation, CVPR 2019: what COCO's panoptic task made of COCO-Stuff."""
REMOVED = [
    *("furniture-other", "metal", "plastic", "solid-other", "structural-other", "waterdrops"),
    *("textile-other", "cloth", "clothes", "plant-other", "wood", "ground-other"),
]


@pytest.mark.parametrize("merged", MERGED)
def test_merged_classes_of_coco_stuff_have_the_colour_of_what_they_were_merged_into(merged: str) -> None:
    assert set(colours(MERGED[merged], "coco")) == set(colours([merged], "coco"))


def test_every_class_of_a_dataset_has_its_colour() -> None:
    """171 of COCO-Stuff: 80 things, and stuff of its own, merged, or removed; 150 of ADE20K."""
    names = class_table("coco_stuff").names
    own = dict(zip(names, colours(list(names), "coco"), strict=True))
    assert len(own) == 171 and {name for name, colour in own.items() if colour == BLACK} == set(REMOVED)
    into = {name for classes in MERGED.values() for name in classes}
    alone = [colour for name, colour in own.items() if name not in {*into, *REMOVED}]
    assert len(set(alone)) == len(alone) == 133 - len(MERGED)
    assert len(colours(list(class_table("ade20k").names), "ade20k")) == 150


def test_classes_of_coco_stuff_that_were_merged_into_none_are_black() -> None:
    assert set(colours(["cloth", "furniture-other", "metal", "wood", "waterdrops"], "coco")) == {BLACK}
    assert BLACK not in colours(["wall-wood", "floor-wood", "wall-brick", "table"], "coco")


@pytest.mark.parametrize(
    ("names", "palette", "unknown"),
    [
        (VOC, "ade20k", {"train"}),
        (CITYSCAPES, "ade20k", {"train"}),
        (CAMVID, "ade20k", set()),
        (VOC, "coco", set()),
        (CITYSCAPES, "coco", {"pole", "traffic sign"}),
        (CAMVID, "coco", {"Pole", "SignSymbol"}),
    ],
)
def test_other_datasets_find_their_colours(names: list[str], palette: str, unknown: set[str]) -> None:
    colours([name for name in names if name not in unknown], palette)
    for name in unknown:
        with pytest.raises(ModelError, match=f"palette '{palette}' has no colour for {name}"):
            look_up([name], palette, "rename")


def test_names_are_found_whatever_their_spelling() -> None:
    spelled = ["Traffic_Light", "traffic-light", "bed ", "windowpane, window ", "edifice"]
    same = ["traffic light", "traffic light", "bed", "windowpane", "building"]
    assert colours(spelled, "ade20k") == colours(same, "ade20k")


def test_a_mask_is_painted_in_its_colours_and_what_is_ignored_is_black() -> None:
    image = coloured(torch.tensor([[[0, 1], [255, 1]]]), [(255, 0, 51), (0, 102, 0)])
    assert image.shape == (1, 3, 2, 2) and image.dtype == torch.float32
    expected = torch.tensor([[[1.0, 0.0, 0.2], [0.0, 0.4, 0.0]], [[0.0, 0.0, 0.0], [0.0, 0.4, 0.0]]])
    torch.testing.assert_close(image[0].movedim(0, -1), expected)
