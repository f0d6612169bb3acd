"""Small trees in the official layouts: in each split every image is 6×4, and every mask has one id per column."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

SIZE = (6, 4)


def write_image(file: Path, value: int = 100) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Pillow.new("RGB", SIZE, (value, value, value)).save(file)


def columns(ids: list[int], dtype: type = np.uint8) -> NDArray[np.generic]:
    """``(4, 6)``: the ids from left to right, the last one up to the edge."""
    row = ids + [ids[-1]] * (SIZE[0] - len(ids))
    return np.tile(np.array(row, dtype), (SIZE[1], 1))


def write_mask(file: Path, ids: list[int], palette: bool = False) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    picture = Pillow.fromarray(columns(ids))
    if palette:
        picture.putpalette([255 - i // 3 for i in range(768)])
    picture.save(file)


def write_ade20k(root: Path) -> None:
    tree = root / "ADEChallengeData2016"
    for folder, names in {
        "training": ["ADE_train_00000001", "ADE_train_00000002"],
        "validation": ["ADE_val_1"],
    }.items():
        for name in names:
            write_image(tree / "images" / folder / f"{name}.jpg")
            write_mask(tree / "annotations" / folder / f"{name}.png", [0, 1, 2, 150])


def write_coco_stuff_164k(root: Path, derived: bool = False) -> None:
    for folder, names in {"train2017": ["000000000009", "000000000025"], "val2017": ["000000000139"]}.items():
        for name in names:
            masks = root / "annotations" / folder
            write_image(root / "images" / folder / f"{name}.jpg")
            if derived:
                write_mask(masks / f"{name}_labelTrainIds.png", [0, 10, 11, 170, 255])
            else:
                write_mask(masks / f"{name}.png", [0, 10, 12, 181, 255])


def write_matlab(file: Path, ids: list[int], dtype: type = np.uint16) -> None:
    from scipy.io import savemat

    file.parent.mkdir(parents=True, exist_ok=True)
    savemat(str(file), {"S": columns(ids, dtype), "captions": np.array(["a cat"], dtype=object)})


def write_coco_stuff_10k(root: Path) -> None:
    for split, names in {"train": ["COCO_train2014_2", "COCO_train2014_1"], "test": ["COCO_train2014_3"]}.items():
        for name in names:
            write_image(root / "images" / f"{name}.jpg")
            write_matlab(root / "annotations" / f"{name}.mat", [0, 1, 13, 182])
        write_list(root / "imageLists" / f"{split}.txt", names)


def write_coco_stuff_10k_converted(root: Path) -> None:
    for split, names in {"train": ["COCO_train2014_1", "COCO_train2014_2"], "test": ["COCO_train2014_3"]}.items():
        for name in names:
            write_image(root / "images" / f"{split}2014" / f"{name}.jpg")
            write_mask(root / "annotations" / f"{split}2014" / f"{name}_labelTrainIds.png", [0, 1, 12, 171])


def write_cityscapes(root: Path, derived: bool = False) -> None:
    frames = {"train": ["aachen/aachen_000000_000019", "ulm/ulm_000000_000019"], "val": ["lindau/lindau_000000_000019"]}
    for split, names in frames.items():
        for name in names:
            stem = root / "gtFine" / split / f"{name}_gtFine"
            write_image(root / "leftImg8bit" / split / f"{name}_leftImg8bit.png")
            if derived:
                write_mask(stem.with_name(f"{stem.name}_labelTrainIds.png"), [255, 0, 1, 18, 255])
            else:
                write_mask(stem.with_name(f"{stem.name}_labelIds.png"), [0, 7, 8, 33, 9])
            write_mask(stem.with_name(f"{stem.name}_instanceIds.png"), [77])  # what else the archive holds
    write_image(root / "leftImg8bit" / "test" / "bonn" / "bonn_000000_000019_leftImg8bit.png")


def write_list(file: Path, names: list[str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{name}\n" for name in names))


def write_voc2012(root: Path) -> None:
    tree = root / "VOCdevkit" / "VOC2012"
    lists = {"train": ["2007_000032"], "trainaug": ["2008_000005", "2007_000032"], "val": ["2007_000033"]}
    for name in ("2007_000032", "2007_000033", "2008_000005", "2009_999999"):  # the last is for detection only
        write_image(tree / "JPEGImages" / f"{name}.jpg")
    for name in ("2007_000032", "2007_000033"):
        write_mask(tree / "SegmentationClass" / f"{name}.png", [0, 1, 20, 255], palette=True)
    for name in ("2007_000032", "2008_000005"):
        write_mask(tree / "SegmentationClassAug" / f"{name}.png", [0, 1, 20, 20])
    for split, names in lists.items():
        write_list(tree / "ImageSets" / "Segmentation" / f"{split}.txt", names)


def write_camvid(root: Path) -> None:
    for split, names in {"train": ["0006R0_1", "0016E5_1"], "val": ["0016E5_2"], "test": ["Seq05VD_1"]}.items():
        for name in names:
            write_image(root / "CamVid" / split / f"{name}.png")
            write_mask(root / "CamVid" / f"{split}annot" / f"{name}.png", [0, 10, 11])
        lines = [f"/SegNet/CamVid/{split}/{name}.png /SegNet/CamVid/{split}annot/{name}.png" for name in names]
        write_list(root / "CamVid" / f"{split}.txt", lines)


def write_nyuv2(root: Path) -> None:
    for split, frames in {"train": [3, 4], "test": [1]}.items():
        for frame in frames:
            write_image(root / "image" / split / f"nyu_rgb_{frame:04d}.png")
            for classes in (13, 40):
                file = root / f"seg{classes}" / split / f"new_nyu_class{classes}_{frame:04d}.png"
                write_mask(file, [0, 1, classes])
