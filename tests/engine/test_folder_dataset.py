"""The dataset ``folder``: every kind of bad input in one line that names the file; fingerprints and their cache."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from d3s2bench import DatasetError
from d3s2bench.datasets import folder
from d3s2bench.datasets.folder import Folder
from d3s2bench.sets.mask_index import build_mask_index

IMAGE, MASK = "images/train/003.png", "annotations/train/003.png"


def read_everything(root: Path) -> None:
    """What a run reads: the fingerprint, all masks, all images."""
    dataset = Folder(root)
    assert len(dataset.fingerprint) == 64
    assert dataset.palette
    for split in ("train", "val", "test"):
        pairs = dataset.split(split)
        build_mask_index(pairs, len(dataset.classes))
        for i in range(len(pairs)):
            pairs.image(i)


def test_a_good_one(tiny: Path) -> None:
    dataset = Folder(tiny)
    assert dataset.name == "tiny"
    assert dataset.classes == ("sky", "ground", "box", "dot")
    assert dataset.splits == ("test", "train", "val")
    assert dataset.redistributable
    assert len(dataset.split("train")) == 20
    assert dataset.split("train").image(0).shape == (24, 32, 3)
    assert dataset.split("train").mask(0)[0, 0] == 255
    assert [dataset.split("val").item_name(i) for i in range(4)] == ["000", "001", "002", "003"]
    read_everything(tiny)


def overwrite(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda root: (root / name).write_bytes(content) and None


def cut(name: str, share: float) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        whole = (root / name).read_bytes()
        (root / name).write_bytes(whole[: int(len(whole) * share)])

    return damage


def jpeg_cut(root: Path) -> None:
    picture = Pillow.open(root / IMAGE)
    (root / IMAGE).unlink()
    picture.save(root / "images/train/003.jpg")
    cut("images/train/003.jpg", 0.7)(root)


def labels(array: np.ndarray) -> Callable[[Path], None]:  # type: ignore[type-arg]
    return lambda root: Pillow.fromarray(array).save(root / MASK)


def remove(name: str) -> Callable[[Path], None]:
    return lambda root: (root / name).unlink() if (root / name).is_file() else shutil.rmtree(root / name)


def empty(name: str) -> Callable[[Path], None]:
    return lambda root: [f.unlink() for f in (root / name).iterdir()] and None


def describe(text: str) -> Callable[[Path], None]:
    return overwrite("classes.json", text.encode())


BAD: dict[str, tuple[Callable[[Path], None], str]] = {
    "image is no image": (overwrite(IMAGE, b"hello"), f"{IMAGE} is corrupt or no image"),
    "image is empty": (overwrite(IMAGE, b""), f"{IMAGE} is corrupt or no image"),
    "PNG is truncated": (cut(IMAGE, 0.7), f"{IMAGE} is corrupt or no image"),
    "JPEG is truncated": (jpeg_cut, "images/train/003.jpg is corrupt or no image"),
    "mask is truncated": (cut(MASK, 0.7), f"{MASK} is corrupt or no image"),
    "mask is no image": (overwrite(MASK, b"hello"), f"{MASK} is corrupt or no image"),
    "mask has another size": (labels(np.zeros((24, 30), np.uint8)), f"{MASK} is 30×24, but its image is 32×24"),
    "mask has a label too high": (labels(np.full((24, 32), 4, np.uint8)), f"{MASK} holds label 4, but there are 4"),
    "mask has a 16-bit label too high": (labels(np.full((24, 32), 300, np.uint16)), f"{MASK} holds label 300"),
    "mask is a colour picture": (labels(np.zeros((24, 32, 3), np.uint8)), f"{MASK} is a colour picture"),
    "image without mask": (remove(MASK), f"{IMAGE} has no mask: expected"),
    "mask without image": (remove(IMAGE), f"{MASK} has no image: expected"),
    "empty split": (empty("images/test"), "images/test is an empty split: put images there"),
    "split without masks": (remove("annotations/test"), "images/test/000.png has no mask"),
    "missing split": (remove("images/test"), "has no split 'test': its splits are train, val"),
    "no images": (remove("images"), "is no dataset folder: expected images/<split>"),
    "no annotations": (remove("annotations"), "is no dataset folder: expected images/<split>"),
    "no class list": (remove("classes.json"), "classes.json"),
    "torn class list": (describe('{"classes": ["a"'), "classes.json is no valid JSON"),
    "binary class list": (overwrite("classes.json", b"\xff\xfe"), "classes.json is no valid JSON"),
    "class list is a number": (describe("4"), "classes.json must hold"),
    "class list without classes": (describe("{}"), "classes.json must hold"),
    "no classes": (describe('{"classes": []}'), "classes.json must hold"),
    "too many classes": (describe(json.dumps(["c"] * 256)), r'classes.json must hold {"classes": [1 to 255 names]}'),
    "class names are numbers": (describe('{"classes": [1, 2, 3, 4]}'), "classes.json must hold"),
    "short palette": (describe('{"classes": ["a","b","c","d"], "palette": [[1,2,3]]}'), "palette must be a list of 4"),
    "palette is too bright": (
        describe('{"classes": ["a","b","c","d"], "palette": [[1,2,3],[1,2,3],[1,2,3],[1,2,300]]}'),
        "palette must be a list of 4 colours",
    ),
    "palette of names": (describe('{"classes": ["a","b","c","d"], "palette": ["red",1,2,3]}'), "palette must be"),
    "ignore is a word": (describe('{"classes": ["a","b","c","d"], "ignore_index": "x"}'), "ignore_index is 'x'"),
    "two images of one name": (
        lambda root: shutil.copy(root / IMAGE, root / "images/train/003.jpg") and None,
        "have the same name: keep one of them",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_that_names_the_file(tiny: Path, case: str) -> None:
    damage, message = BAD[case]
    damage(tiny)
    with pytest.raises(DatasetError) as caught:
        read_everything(tiny)
    assert message in str(caught.value)
    assert str(tiny) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nowhere is no dataset folder"):
        Folder(tmp_path / "nowhere")


# --- legal varieties -------------------------------------------------------------------------------------------------


def test_the_class_list_may_be_a_bare_list(tiny: Path) -> None:
    describe('["a", "b", "c", "d"]')(tiny)
    dataset = Folder(tiny)
    assert dataset.classes == ("a", "b", "c", "d")
    assert not dataset.redistributable  # nothing is uploaded unless someone says that it may be


def test_16_bit_masks_are_legal(tiny: Path) -> None:
    labels(np.full((24, 32), 3, np.uint16))(tiny)
    assert (Folder(tiny).split("train").mask(3) == 3).all()


def test_palette_masks_give_indices(tiny: Path) -> None:
    picture = Pillow.fromarray(np.full((24, 32), 2, np.uint8))
    picture.putpalette([250] * 768)
    picture.save(tiny / MASK)
    assert (Folder(tiny).split("train").mask(3) == 2).all()


def test_ignore_index_is_remapped(tiny: Path) -> None:
    describe('{"classes": ["a", "b", "c", "d"], "ignore_index": 0}')(tiny)
    labels(np.pad(np.full((24, 31), 1, np.uint8), ((0, 0), (1, 0))))(tiny)
    mask = Folder(tiny).split("train").mask(3)
    assert (mask[:, 0] == 255).all()
    assert (mask[:, 1:] == 1).all()


def test_other_files_and_hidden_ones_are_no_pairs(tiny: Path) -> None:
    for name in (".hidden.png", "notes.txt"):
        (tiny / "images/train" / name).write_bytes(b"x")
    assert len(Folder(tiny).split("train")) == 20


def test_the_default_palette_is_that_of_voc(tiny: Path) -> None:
    assert Folder(tiny).palette == ((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0))


def test_the_given_palette_is_kept(tiny: Path) -> None:
    describe('{"classes": ["a","b","c","d"], "palette": [[1,2,3],[4,5,6],[7,8,9],[0,0,255]]}')(tiny)
    assert Folder(tiny).palette[3] == (0, 0, 255)


# --- fingerprint -----------------------------------------------------------------------------------------------------


def test_the_fingerprint_does_not_depend_on_the_path(tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path / "elsewhere" / "other")
    assert Folder(tmp_path / "elsewhere" / "other").fingerprint == Folder(tiny).fingerprint


@pytest.mark.parametrize(
    "change",
    [
        overwrite(IMAGE, b"other"),
        overwrite(MASK, b"other"),
        describe('{"classes": ["a", "b", "c", "d"]}'),
        lambda root: (root / IMAGE).rename(root / "images/train/999.png") and None,
        remove("images/val/000.png"),
    ],
)
def test_the_fingerprint_depends_on_content(tiny: Path, change: Callable[[Path], None]) -> None:
    before = Folder(tiny).fingerprint
    change(tiny)
    assert Folder(tiny).fingerprint != before


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were read for their hash."""
    seen: list[str] = []
    real = folder.file_sha256
    monkeypatch.setattr(folder, "file_sha256", lambda file: (seen.append(file.name), real(file))[1])
    return seen


def test_known_files_are_not_read_again(tiny: Path, tmp_path: Path, hashed: list[str]) -> None:
    first = Folder(tiny, cache=tmp_path / "cache").fingerprint
    assert len(hashed) == 61
    hashed.clear()
    assert Folder(tiny, cache=tmp_path / "cache").fingerprint == first
    assert hashed == []


def test_a_changed_time_or_size_makes_a_file_be_read_again(tiny: Path, tmp_path: Path, hashed: list[str]) -> None:
    first = Folder(tiny, cache=tmp_path / "cache").fingerprint
    hashed.clear()
    os.utime(tiny / IMAGE, ns=(0, 0))
    assert Folder(tiny, cache=tmp_path / "cache").fingerprint == first
    assert hashed == ["003.png"]
    stamp = (tiny / IMAGE).stat().st_mtime_ns
    overwrite(IMAGE, b"shorter")(tiny)
    os.utime(tiny / IMAGE, ns=(stamp, stamp))
    assert Folder(tiny, cache=tmp_path / "cache").fingerprint != first
    assert hashed == ["003.png", "003.png"]


def test_a_torn_cache_is_made_anew(tiny: Path, tmp_path: Path, hashed: list[str]) -> None:
    first = Folder(tiny, cache=tmp_path / "cache").fingerprint
    (tmp_path / "cache" / "file-hashes.json").write_text("{torn")
    hashed.clear()
    assert Folder(tiny, cache=tmp_path / "cache").fingerprint == first
    assert len(hashed) == 61
