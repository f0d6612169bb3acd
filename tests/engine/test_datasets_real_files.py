"""The layouts against real files, where these are beside the project; nothing of them is kept in it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from d3s2bench.datasets.ade20k import Ade20k
from d3s2bench.datasets.class_table import class_table
from d3s2bench.datasets.coco_stuff import RAW_164K, TRAIN_IDS_164K, CocoStuff164k
from d3s2bench.datasets.voc2012 import Voc2012
from d3s2bench.sets.mask_index import build_mask_index

DATA = Path(__file__).parents[3] / "shared" / "data"
SAMPLES = DATA / "format_samples"
pytestmark = pytest.mark.skipif(not SAMPLES.is_dir(), reason=f"no real files in {DATA}")


def test_ade20k_is_read_as_its_object_list_says() -> None:
    dataset = Ade20k(SAMPLES / "ade20k")
    listed = (dataset.home / "objectInfo150.txt").read_text().splitlines()[1:]
    for k, line in enumerate(listed):
        number, *_, names = line.split("\t")
        assert int(number) == dataset.table.ids[k]
        assert dataset.classes[k] in [name.strip() for name in names.split(",")]
    train = dataset.split("train")
    raw = np.array(Pillow.open(train.pairs[0].mask))
    assert (train.mask(0)[raw == 0] == 255).all()
    assert (train.mask(0)[raw > 0] == raw[raw > 0] - 1).all()
    assert len(dataset.split("val")) == 3


def test_coco_stuffs_original_and_derived_masks_say_the_same() -> None:
    dataset = CocoStuff164k(SAMPLES / "coco_stuff")
    seen = set()
    for split in (dataset.split("train"), dataset.split("val")):
        for pair in split.pairs:
            derived = pair.mask.with_name(f"{pair.mask.stem}_labelTrainIds.png")
            mask = RAW_164K.read(pair.mask)
            assert (mask == TRAIN_IDS_164K.read(derived)).all()
            seen |= set(np.unique(mask).tolist())
    assert max(seen - {255}) > 160  # the upper end of the map is met


def test_official_voc_masks_are_indices_with_borders() -> None:
    dataset = Voc2012(SAMPLES / "voc2012")
    assert [len(dataset.split(name)) for name in dataset.splits] == [4, 6]
    for name in dataset.splits:
        split = dataset.split(name)
        for i in range(len(split)):
            assert {0, 255} < set(np.unique(split.mask(i)).tolist())
        assert build_mask_index(split, 21).class_share[0] > 0.3


@pytest.mark.skipif(not (DATA / "voc2012_animals").is_dir(), reason="no VOC2012-animals")
def test_a_converted_voc_tree_with_sbd_masks() -> None:
    described = json.loads((DATA / "voc2012_animals" / "classes.json").read_text())
    dataset = Voc2012(DATA / "voc2012_animals", train_set="trainaug")
    assert list(dataset.classes) == described["classes"]
    assert len(dataset.split("train")) == described["splits"]["trainaug"]
    assert len(Voc2012(DATA / "voc2012_animals").split("train")) == described["splits"]["train"]
    share = build_mask_index(dataset.split("val"), 21).class_share
    assert share.argmax() == 0
    assert share[dataset.classes.index("aeroplane")] == 0


@pytest.mark.skipif(not (DATA / "camvid").is_dir(), reason="no CamVid")
def test_camvids_classes_and_colours() -> None:
    described = json.loads((DATA / "camvid" / "classes.json").read_text())
    assert list(class_table("camvid").names) == described["classes"]
    assert [list(colour) for colour in class_table("camvid").palette] == described["palette"]
