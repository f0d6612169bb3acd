"""The datasets with official layouts: which pairs they find, how they read ids, what they say of a damaged tree."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dataset_trees import (
    columns,
    write_ade20k,
    write_camvid,
    write_cityscapes,
    write_coco_stuff_10k,
    write_coco_stuff_10k_converted,
    write_coco_stuff_164k,
    write_image,
    write_list,
    write_mask,
    write_matlab,
    write_nyuv2,
    write_voc2012,
)
from PIL import Image as Pillow

from d3s2bench import ConfigError, D3S2Error, DatasetError
from d3s2bench.datasets import folder
from d3s2bench.datasets.ade20k import Ade20k
from d3s2bench.datasets.camvid import CamVid
from d3s2bench.datasets.catalogue import CATALOGUE, entry
from d3s2bench.datasets.cityscapes import Cityscapes
from d3s2bench.datasets.coco_stuff import CocoStuff10k, CocoStuff164k
from d3s2bench.datasets.nyuv2 import NyuV2
from d3s2bench.datasets.paired import PairedDataset
from d3s2bench.datasets.voc2012 import Voc2012
from d3s2bench.sets.mask_index import build_mask_index
from d3s2bench.workspace import Workspace

Writer = Callable[[Path], None]
LAYOUTS: dict[str, tuple[Writer, type[PairedDataset], list[int]]] = {
    # raw 0 is "ignore" here …
    "ade20k": (write_ade20k, Ade20k, [255, 0, 1, 149]),
    "coco-stuff-164k": (write_coco_stuff_164k, CocoStuff164k, [0, 10, 11, 170, 255]),
    "coco-stuff-164k, derived": (lambda root: write_coco_stuff_164k(root, True), CocoStuff164k, [0, 10, 11, 170, 255]),
    "coco-stuff-10k": (write_coco_stuff_10k, CocoStuff10k, [255, 0, 11, 170]),
    "coco-stuff-10k, converted": (write_coco_stuff_10k_converted, CocoStuff10k, [255, 0, 11, 170]),
    "cityscapes": (write_cityscapes, Cityscapes, [255, 0, 1, 18, 255]),
    "cityscapes, derived": (lambda root: write_cityscapes(root, True), Cityscapes, [255, 0, 1, 18, 255]),
    # … and a class here
    "voc2012": (write_voc2012, Voc2012, [0, 1, 20, 255]),
    "camvid": (write_camvid, CamVid, [0, 10, 255]),
    "nyuv2": (write_nyuv2, NyuV2, [255, 0, 12]),
}


@pytest.fixture(params=LAYOUTS)
def layout(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[PairedDataset, list[int]]:
    write, cls, expected = LAYOUTS[request.param]
    write(tmp_path / "data")
    return cls(tmp_path / "data"), expected


def test_every_layout_is_read(layout: tuple[PairedDataset, list[int]]) -> None:
    dataset, expected = layout
    for name in dataset.splits:
        split = dataset.split(name)
        index = build_mask_index(split, len(dataset.classes))
        assert len(index) == len(split) > 0
        for i in range(len(split)):
            assert split.image(i).shape == (4, 6, 3)
            assert (split.mask(i) == columns(expected)).all()
            assert split.mask(i).dtype == np.uint8
    assert dataset.eval_split in dataset.splits
    assert not dataset.redistributable
    assert len(dataset.palette) == len(dataset.classes)


def test_names_are_those_of_the_images_in_sorted_order(tmp_path: Path) -> None:
    write_coco_stuff_10k(tmp_path)  # whose list is not sorted
    split = CocoStuff10k(tmp_path).split("train")
    assert [split.item_name(i) for i in range(2)] == ["COCO_train2014_1", "COCO_train2014_2"]


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.name)
def test_the_catalogue_agrees_with_the_datasets(entry: object, tmp_path: Path) -> None:
    write, cls, _ = LAYOUTS[entry.name]  # type: ignore[attr-defined]
    write(tmp_path)
    dataset = cls(tmp_path)
    assert len(dataset.classes) == entry.classes  # type: ignore[attr-defined]
    assert set(dataset.official_images) == set(dataset.splits)
    assert dataset.name == entry.name  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", [known.name for known in CATALOGUE])
def test_the_engine_opens_them_by_name(name: str, tmp_path: Path) -> None:
    write, cls, _ = LAYOUTS[name]
    write(tmp_path / "data")
    opened = Workspace(tmp_path / "runs", {name: str(tmp_path / "data")}).dataset(name)
    assert isinstance(opened, cls)
    assert opened.cache == tmp_path / "runs" / "cache"


def test_what_a_protocol_scores() -> None:
    scored = {cls.name: cls.eval_split for _, cls, _ in LAYOUTS.values()}
    on_val = {"ade20k", "coco-stuff-164k", "cityscapes", "voc2012"}
    assert {name for name, split in scored.items() if split == "val"} == on_val
    assert {name for name, split in scored.items() if split == "test"} == scored.keys() - on_val


def test_the_root_may_be_the_tree_itself_or_the_folder_around_it(tmp_path: Path) -> None:
    write_voc2012(tmp_path)
    for root in (tmp_path, tmp_path / "VOCdevkit", tmp_path / "VOCdevkit" / "VOC2012"):
        assert len(Voc2012(root).split("val")) == 1


# --- what is particular to one ---------------------------------------------------------------------------------------


def test_voc_reads_the_official_mask_where_there_is_one(tmp_path: Path) -> None:
    write_voc2012(tmp_path)
    train = Voc2012(tmp_path, train_set="trainaug").split("train")
    assert [train.item_name(i) for i in range(len(train))] == ["2007_000032", "2008_000005"]
    assert (train.mask(0)[:, 3:] == 255).all()  # a border, which SBD's mask of the same image has not
    assert (train.mask(1)[:, 3:] == 20).all()
    assert len(Voc2012(tmp_path).split("train")) == 1


def test_options_come_through_the_engine(tmp_path: Path) -> None:
    write_voc2012(tmp_path / "voc")
    write_nyuv2(tmp_path / "nyu")
    roots = {"voc2012": str(tmp_path / "voc"), "nyuv2": str(tmp_path / "nyu")}
    options = {"voc2012": {"train_set": "trainaug"}, "nyuv2": {"num_classes": 40}}
    workspace = Workspace(tmp_path / "runs", roots, options)
    assert len(workspace.dataset("voc2012").split("train")) == 2
    assert workspace.dataset("voc2012").official_images == {"train": 10582, "val": 1449}  # type: ignore[attr-defined]
    nyu = workspace.dataset("nyuv2")
    assert len(nyu.classes) == 40
    assert nyu.split("test").mask(0)[0].tolist() == [255, 0, 39, 39, 39, 39]


def test_camvid_without_lists_takes_all_images(tmp_path: Path) -> None:
    write_camvid(tmp_path)
    for split in ("train", "val", "test"):
        (tmp_path / "CamVid" / f"{split}.txt").unlink()
    assert len(CamVid(tmp_path).split("train")) == 2


def test_camvids_note_warns_of_val() -> None:
    assert "report on test" in entry("camvid").notes  # type: ignore[union-attr]
    assert CamVid.eval_split == "test"


def test_the_original_is_read_where_the_derived_file_is_there_too(tmp_path: Path) -> None:
    write_cityscapes(tmp_path)
    before = Cityscapes(tmp_path).fingerprint
    write_cityscapes(tmp_path, derived=True)
    assert Cityscapes(tmp_path).fingerprint == before


# --- damage ----------------------------------------------------------------------------------------------------------


def read_everything(dataset: PairedDataset) -> None:
    assert len(dataset.fingerprint) == 64
    for name in dataset.splits:
        split = dataset.split(name)
        for i in range(len(split)):
            split.image(i)
            split.mask(i)


def mask(ids: list[int]) -> Callable[[Path], None]:
    return lambda file: write_mask(file, ids)


def array(labels: np.ndarray) -> Callable[[Path], None]:  # type: ignore[type-arg]
    return lambda file: Pillow.fromarray(labels).save(file)


def content(text: bytes) -> Callable[[Path], None]:
    return lambda file: file.write_bytes(text) and None


def without_s(file: Path) -> None:
    from scipy.io import savemat

    savemat(str(file), {"T": np.zeros((4, 6))})


ADE = "ADEChallengeData2016/annotations/training/ADE_train_00000001.png"
ADE_IMAGE = "ADEChallengeData2016/images/training/ADE_train_00000001.jpg"
COCO = "annotations/train2017/000000000009.png"
CITY = "gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png"
VOC = "VOCdevkit/VOC2012/SegmentationClass/2007_000032.png"
CAMVID = "CamVid/testannot/Seq05VD_1.png"
MAT = "annotations/COCO_train2014_1.mat"
DAMAGE: dict[str, tuple[str, str, Callable[[Path], None], str]] = {
    "ade20k: one class too many": ("ade20k", ADE, mask([151]), "holds label 151, but its classes are 1 to 150"),
    "ade20k: 16 bits": ("ade20k", ADE, array(columns([300], np.uint16)), "holds label 300"),
    "ade20k: colours": ("ade20k", ADE, array(np.zeros((4, 6, 3), np.uint8)), "is a colour picture"),
    "ade20k: size": ("ade20k", ADE, array(np.ones((4, 5), np.uint8)), "is 5×4, but its image is 6×4"),
    "ade20k: no mask": ("ade20k", ADE, Path.unlink, "has no mask: expected"),
    "ade20k: torn mask": ("ade20k", ADE, content(b"\x89PNG"), "is corrupt or no image"),
    "ade20k: torn image": ("ade20k", ADE_IMAGE, content(b""), "is corrupt or no image"),
    "coco: an id without class": (
        "coco-stuff-164k",
        COCO,
        mask([11]),
        "holds label 11, but its classes are 0 to 10, 12",
    ),
    "coco: one id too many": ("coco-stuff-164k", COCO, mask([182]), "holds label 182"),
    "coco 10k: torn": ("coco-stuff-10k", MAT, content(b"MATLAB"), "is corrupt or no MATLAB file"),
    "coco 10k: no label map": ("coco-stuff-10k", MAT, without_s, "has no label map 'S'"),
    "coco 10k: id": ("coco-stuff-10k", MAT, lambda f: write_matlab(f, [183]), "holds label 183"),
    "coco 10k: 32 bits": ("coco-stuff-10k", MAT, lambda f: write_matlab(f, [65537], np.int32), "holds label 65537"),
    "coco 10k: below 0": ("coco-stuff-10k", MAT, lambda f: write_matlab(f, [-1], np.int16), "holds label -1"),
    "coco 10k: no list": ("coco-stuff-10k", "imageLists/train.txt", Path.unlink, "it lists the images of the split"),
    "cityscapes: id": ("cityscapes", CITY, mask([34]), "holds label 34"),
    "cityscapes: no mask": ("cityscapes", CITY, Path.unlink, "_gtFine_labelIds.png or "),
    "cityscapes: no city": ("cityscapes", "leftImg8bit/val", shutil.rmtree, "put a folder for each city there"),
    "voc: id": ("voc2012", VOC, mask([21]), "holds label 21, but its classes are 0 to 20 and it ignores 255"),
    "voc: no image": ("voc2012", "VOCdevkit/VOC2012/JPEGImages/2007_000033.jpg", Path.unlink, "does not exist, but"),
    "voc: empty list": (
        "voc2012",
        "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt",
        content(b"\n"),
        "is empty: it lists the images",
    ),
    "camvid: id": ("camvid", CAMVID, mask([12]), "its classes are 0 to 10 and it ignores 11, 255"),
    "nyuv2: no mask": ("nyuv2", "seg13/train/new_nyu_class13_0003.png", Path.unlink, "whose name ends in 0003"),
    "nyuv2: no masks": ("nyuv2", "seg13/test", shutil.rmtree, "seg13/test is missing or empty"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_one_line_that_names_the_file(case: str, tmp_path: Path) -> None:
    name, file, damage, message = DAMAGE[case]
    write, cls, _ = LAYOUTS[name]
    write(tmp_path)
    damage(tmp_path / file)
    with pytest.raises(DatasetError) as caught:
        read_everything(cls(tmp_path))
    assert message in str(caught.value)
    assert Path(file).stem.removesuffix("_labelIds").removeprefix("new_nyu_class13_") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_frames_are_told_apart(tmp_path: Path) -> None:
    write_nyuv2(tmp_path)
    write_image(tmp_path / "image/train/copy_0003.png")
    with pytest.raises(DatasetError, match=r"nyu_rgb_0003\.png and .*copy_0003\.png|are of the same frame"):
        NyuV2(tmp_path).split("train")
    (tmp_path / "image/train/copy_0003.png").rename(tmp_path / "image/train/last.png")
    with pytest.raises(DatasetError, match=r"last\.png does not end in the number of its frame"):
        NyuV2(tmp_path).split("train")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda root: Ade20k(root / "nowhere"), "nowhere is no ade20k: expected images/, annotations/ there"),
        (lambda root: CocoStuff164k(root / "nowhere"), "is no coco-stuff-164k"),
        (lambda root: Ade20k(root).split("test"), "ade20k has no split 'test': its splits are train, val"),
        (lambda root: Voc2012(root, train_set="all"), "voc2012.train_set is 'all': choose one of train, trainaug"),
        (lambda root: NyuV2(root, num_classes=21), "nyuv2.num_classes is 21: choose 13 or 40"),
    ],
)
def test_wrong_places_splits_and_options(wrong: Callable[[Path], object], message: str, tmp_path: Path) -> None:
    write_ade20k(tmp_path)
    with pytest.raises(D3S2Error, match=message) as caught:
        wrong(tmp_path)
    assert isinstance(caught.value, DatasetError | ConfigError)


# --- fingerprint -----------------------------------------------------------------------------------------------------


def test_the_fingerprint_depends_on_content_not_on_the_path(tmp_path: Path) -> None:
    write_ade20k(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    before = Ade20k(tmp_path / "a").fingerprint
    assert Ade20k(tmp_path / "b").fingerprint == before
    write_mask(tmp_path / "b" / ADE, [3])
    assert Ade20k(tmp_path / "b").fingerprint != before


def test_the_fingerprint_depends_on_options_and_on_how_ids_are_read(tmp_path: Path) -> None:
    write_voc2012(tmp_path / "voc")
    assert Voc2012(tmp_path / "voc").fingerprint != Voc2012(tmp_path / "voc", train_set="trainaug").fingerprint
    for name in ("raw", "derived"):
        write_coco_stuff_164k(tmp_path / name)
    derived = tmp_path / "derived" / COCO
    derived.rename(derived.with_name("000000000009_labelTrainIds.png"))  # the same bytes, to be read otherwise
    assert CocoStuff164k(tmp_path / "raw").fingerprint != CocoStuff164k(tmp_path / "derived").fingerprint


def test_the_order_of_a_list_is_nothing(tmp_path: Path) -> None:
    write_coco_stuff_10k(tmp_path)
    before = CocoStuff10k(tmp_path).fingerprint
    write_list(tmp_path / "imageLists/train.txt", ["COCO_train2014_1", "COCO_train2014_2", "COCO_train2014_1"])
    assert CocoStuff10k(tmp_path).fingerprint == before


def test_known_files_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_ade20k(tmp_path / "data")
    first = Ade20k(tmp_path / "data", cache=tmp_path / "cache").fingerprint
    monkeypatch.setattr(folder, "file_sha256", lambda file: pytest.fail(f"{file} is read again"))
    assert Ade20k(tmp_path / "data", cache=tmp_path / "cache").fingerprint == first
