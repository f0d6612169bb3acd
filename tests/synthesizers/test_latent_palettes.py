"""The tables of colours, and how classes of other datasets find theirs."""

from __future__ import annotations

import pytest
import torch

from d3s2bench import ModelError
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


@pytest.mark.parametrize(
    ("merged", "classes"),
    [
        ("tree-merged", ["branch", "bush", "leaves", "tree"]),
        ("floor-other-merged", ["floor-marble", "floor-other", "floor-tile"]),
        ("pavement-merged", ["floor-stone", "pavement"]),
        ("wall-other-merged", ["wall-concrete", "wall-other", "wall-panel"]),
        ("sky-other-merged", ["clouds", "fog", "sky-other"]),
    ],
)
def test_merged_classes_of_coco_stuff_have_the_colour_of_what_they_were_merged_into(
    merged: str, classes: list[str]
) -> None:
    assert set(colours(classes, "coco")) == set(colours([merged], "coco"))


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
