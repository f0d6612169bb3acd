"""The dataset ``hf``: sets that the library ``datasets`` itself saved; every bad row in one line that names it."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from d3s2bench import ConfigError, DatasetError
from d3s2bench.config import parse_assignments
from d3s2bench.datasets.held_out import HeldOut
from d3s2bench.plugins import configure
from d3s2bench.sets.mask_index import build_mask_index

datasets = pytest.importorskip("datasets")

from d3s2bench.datasets import hf  # noqa: E402
from d3s2bench.datasets.hf import HuggingFace  # noqa: E402

NAMES = ["sky", "ground", "box"]
COLUMNS = np.tile(np.array([0, 1, 2, 255, 1, 0], np.uint8), (4, 1))
"""Ids of a mask of 6×4 pixels."""
Rows = list[dict[str, Any]]


@pytest.fixture(autouse=True)
def quiet() -> None:
    datasets.disable_progress_bars()


def encoded(array: Any, form: str = "PNG", **how: Any) -> bytes:
    picture = array if isinstance(array, Pillow.Image) else Pillow.fromarray(array)
    buffer = io.BytesIO()
    picture.save(buffer, form, **how)
    return buffer.getvalue()


def cell(content: bytes | None, path: str | None = None) -> dict[str, Any]:
    return {"bytes": content, "path": path}


def row(i: int, mask: Any = COLUMNS) -> dict[str, Any]:
    """An image of grey ``i`` with a mask."""
    image = encoded(np.full((4, 6, 3), i, np.uint8))
    return {"image": cell(image), "annotation": cell(mask if isinstance(mask, bytes) else encoded(mask))}


def table(rows: Rows, **more: Any) -> Any:
    known = {"image": datasets.Image(), "annotation": datasets.Image(), "noise": datasets.Value("int64")} | more
    names = rows[0] if rows else {"image", "annotation"}
    content = {name: [r[name] for r in rows] for name in names}
    return datasets.Dataset.from_dict(content, features=datasets.Features({n: known[n] for n in names}))


def save(root: Path, splits: dict[str, Any], classes: Any = NAMES, how: Any = None, file: str = "classes.json") -> Path:
    made = {name: table(rows) if isinstance(rows, list) else rows for name, rows in splits.items()}
    datasets.DatasetDict(made).save_to_disk(str(root), **(how or {}))
    if classes is not None:
        (root / file).write_text(json.dumps(classes))
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    splits = {"train": [row(i) for i in range(5)], "validation": [row(9)], "test": [row(7), row(8)]}
    return save(tmp_path / "set", splits)


def one(tmp_path: Path, rows: Rows, **options: Any) -> HuggingFace:
    """A set whose train split has these rows."""
    return HuggingFace(save(tmp_path / "set", {"train": rows}), **options)


# --- what is read ----------------------------------------------------------------------------------------------------


def test_a_good_one(root: Path) -> None:
    dataset = HuggingFace(root)
    assert dataset.classes == tuple(NAMES)
    assert dataset.palette == ((0, 0, 0), (128, 0, 0), (0, 128, 0))
    assert dataset.splits == ("test", "train", "val")
    assert (dataset.name, dataset.eval_split, dataset.redistributable) == ("hf", "test", False)
    train = dataset.split("train")
    assert [train.image(i)[0, 0, 0] for i in range(len(train))] == [0, 1, 2, 3, 4]
    assert train.image(0).shape == (4, 6, 3)
    assert train.mask(0).dtype == np.uint8
    assert (train.mask(0) == COLUMNS).all()
    assert [train.item_name(i) for i in (0, 4)] == ["000000", "000004"]
    assert build_mask_index(train, 3).counts.tolist() == [[8, 8, 4]] * 5
    assert dataset.split("val").image(0)[0, 0, 0] == 9


def test_pictures_that_the_library_encodes_itself(tmp_path: Path) -> None:
    """As a user makes a set: from files and from PIL images; item names are those of the files, for ``--holdout``."""
    for i in range(3):
        Pillow.fromarray(np.full((4, 6, 3), i, np.uint8)).save(tmp_path / f"0006R0_{i}.png")
    rows = [{"image": str(tmp_path / f"0006R0_{i}.png"), "annotation": Pillow.fromarray(COLUMNS)} for i in (2, 0, 1)]
    dataset = one(tmp_path, rows)
    shutil.rmtree(tmp_path / "0006R0_0.png", ignore_errors=True)
    train = dataset.split("train")
    assert [train.item_name(i) for i in range(3)] == ["0006R0_2", "0006R0_0", "0006R0_1"]
    assert [train.image(i)[0, 0, 0] for i in range(3)] == [2, 0, 1]
    carved = HeldOut(dataset, "*_2")
    assert (len(carved.split("train")), len(carved.split("dev"))) == (2, 1)


def palette_png(ids: Any) -> bytes:
    picture = Pillow.fromarray(ids)
    picture.putpalette([255 - i // 3 for i in range(768)])
    return encoded(picture)


@pytest.mark.parametrize(
    "mask",
    [COLUMNS, COLUMNS.astype(np.uint16), COLUMNS.astype(np.int32), palette_png(COLUMNS), encoded(COLUMNS, "TIFF")],
    ids=["grey", "16 bits", "32 bits", "palette", "tiff"],
)
def test_every_way_to_write_ids_is_read_as_ids(tmp_path: Path, mask: Any) -> None:
    if isinstance(mask, np.ndarray) and mask.dtype == np.int32:
        mask = encoded(mask, "TIFF")
    assert (one(tmp_path, [row(0, mask)]).split("train").mask(0) == COLUMNS).all()


def test_black_and_white_masks_are_classes_0_and_1(tmp_path: Path) -> None:
    mask = one(tmp_path, [row(0, encoded(Pillow.fromarray(COLUMNS == 1)))]).split("train").mask(0)
    assert (mask == (COLUMNS == 1)).all()


def test_pictures_are_turned_as_the_library_turns_them(tmp_path: Path) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6  # a phone held upright
    ramp = np.tile(np.arange(0, 240, 40, dtype=np.uint8)[None, :, None], (4, 1, 3))
    turned = row(0, np.tile(np.array([0, 1, 2, 1], np.uint8), (6, 1))) | {"image": cell(encoded(ramp, exif=exif))}
    split = one(tmp_path, [turned]).split("train")
    library = datasets.load_from_disk(str(tmp_path / "set"))["train"][0]["image"]
    assert split.image(0).shape == (6, 4, 3)
    assert (split.image(0) == np.asarray(library)).all()
    assert split.mask(0).shape == (6, 4)


def test_16_bit_images_keep_their_high_byte(tmp_path: Path) -> None:
    deep = row(0) | {"image": cell(encoded(np.full((4, 6), 0x1234, np.uint16)))}
    assert (one(tmp_path, [deep]).split("train").image(0) == 0x12).all()


def test_a_lone_dataset_is_its_split(tmp_path: Path) -> None:
    table([row(3)]).save_to_disk(str(tmp_path / "set"))
    (tmp_path / "set" / "id2label.json").write_text('{"0": "a", "1": "b", "2": "c"}')
    dataset = HuggingFace(tmp_path / "set", cache=tmp_path / "cache")
    assert dataset.splits == ("train",)
    assert len(dataset.fingerprint) == 64


# --- ids and class names ---------------------------------------------------------------------------------------------

SIX = np.tile(np.array([0, 1, 2, 3, 255, 0], np.uint8), (4, 1))


def read(tmp_path: Path, classes: Any, file: str = "classes.json", **options: Any) -> tuple[tuple[str, ...], list[int]]:
    """Class names, and the train ids that the columns 0, 1, 2, 3, 255, 0 become."""
    dataset = HuggingFace(save(tmp_path / "set", {"train": [row(0, SIX)]}, classes, file=file), **options)
    return dataset.classes, dataset.split("train").mask(0)[0].tolist()


def test_zero_may_mean_no_class(tmp_path: Path) -> None:
    found = read(tmp_path, NAMES, reduce_zero_label=True)
    assert found == (tuple(NAMES), [255, 0, 1, 2, 255, 255])


def test_an_ignored_id_is_no_class(tmp_path: Path) -> None:
    found = read(tmp_path, ["void", *NAMES], ignored=(0,))
    assert found == (tuple(NAMES), [255, 0, 1, 2, 255, 255])


def test_the_class_file_may_state_what_is_ignored_and_colours(tmp_path: Path) -> None:
    about = {"classes": NAMES, "ignore_index": 3, "palette": [[1, 2, 3], [4, 5, 6], [7, 8, 9]], "redistributable": True}
    assert read(tmp_path, about) == (tuple(NAMES), [0, 1, 2, 255, 255, 0])
    dataset = HuggingFace(tmp_path / "set")
    assert dataset.palette[1] == (4, 5, 6)
    assert dataset.redistributable


def test_id2label_maps_ids(tmp_path: Path) -> None:
    assert read(tmp_path, {"3": "c", "0": "a", "2": "b"}, "id2label.json", ignored=(1,)) == (
        ("a", "b", "c"),
        [0, 255, 1, 2, 255, 0],
    )


def test_id2label_of_a_set_that_calls_no_class_zero(tmp_path: Path) -> None:
    """As that of ADE20K does: 0 is wall, which masks call 1."""
    found = read(tmp_path, {"0": "a", "1": "b", "2": "c"}, "id2label.json", reduce_zero_label=True)
    assert found == (("a", "b", "c"), [255, 0, 1, 2, 255, 255])


def test_a_class_file_may_lie_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text('["a", "b", "c", "d"]')
    assert read(tmp_path, None, class_file="../mine.json")[0] == ("a", "b", "c", "d")


@pytest.mark.parametrize("listed", [False, True])
def test_a_column_of_class_labels_names_the_classes(tmp_path: Path, listed: bool) -> None:
    label = datasets.ClassLabel(names=NAMES)
    rows = [row(0) | {"classes": [0, 2] if listed else 1}]
    made = table(rows, classes=datasets.Sequence(label) if listed else label)
    assert HuggingFace(save(tmp_path / "set", {"train": made}, None), class_column="classes").classes == tuple(NAMES)


def test_splits_are_renamed_and_left_out(root: Path) -> None:
    dataset = HuggingFace(root, split_names={"validation": "test", "test": None}, eval_split="test")
    assert dataset.splits == ("test", "train")
    assert dataset.split("test").image(0)[0, 0, 0] == 9


def test_options_come_through_the_engine(root: Path) -> None:
    options = parse_assignments(["split_names.test=", "ignored=[2]", "name=mine", "eval_split=val"])
    dataset = configure(HuggingFace, "dataset 'hf'", options, root=root, cache=None)
    assert dataset.splits == ("train", "val")
    assert (dataset.classes, dataset.name, dataset.eval_split) == (("sky", "ground"), "mine", "val")


# --- bad input -------------------------------------------------------------------------------------------------------


def picture(content: bytes | None) -> dict[str, Any]:
    return row(1) | {"image": cell(content)}


WHOLE = encoded(np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8))
BAD_ROWS: dict[str, tuple[dict[str, Any], str]] = {
    "image is no image": (picture(b"hello"), "image is corrupt (no image format that is known)"),
    "image is truncated": (picture(WHOLE[:2000]), "image is corrupt ("),
    "image is empty": (picture(b""), "image is empty: fill or remove the row"),
    "image is null": (row(1) | {"image": None}, "image is empty"),
    "mask is null": (row(1) | {"annotation": None}, "annotation is empty"),
    "mask is no image": (row(1, b"hello"), "annotation is corrupt"),
    "mask has another size": (row(1, np.zeros((4, 5), np.uint8)), "annotation is 5×4, but its image is 6×4"),
    "mask has a label too high": (row(1, COLUMNS + 2), "annotation holds label 3, but its classes are 0 to 2 and"),
    "mask has a 16-bit label": (row(1, np.full((4, 6), 300, np.uint16)), "annotation holds label 300"),
    "mask has a negative label": (row(1, encoded(np.full((4, 6), -1, np.int32), "TIFF")), "holds label -1"),
    "mask is coloured": (row(1, np.zeros((4, 6, 3), np.uint8)), "annotation is a picture of mode RGB: a mask must"),
    "mask is of fractions": (row(1, encoded(np.zeros((4, 6), np.float32), "TIFF")), "is a picture of mode F"),
    "mask is a JPEG": (row(1, encoded(COLUMNS * 0, "JPEG")), "annotation is a JPEG, which blurs ids"),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_a_bad_row_is_one_line_that_names_it(tmp_path: Path, case: str) -> None:
    bad, message = BAD_ROWS[case]
    dataset = one(tmp_path, [row(0), bad])
    assert len(dataset.fingerprint) == 64  # a hash of what is there
    split = dataset.split("train")
    split.mask(0)
    with pytest.raises(DatasetError) as caught:
        split.image(1)
        split.mask(1)
    assert str(caught.value).startswith(f"{tmp_path / 'set'}, split train, row 1 (000001): ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


Damage = Callable[[Path], Any]
BAD_SETS: dict[str, tuple[Damage, dict[str, Any], str]] = {
    "nowhere": (shutil.rmtree, {}, "is no folder of datasets' save_to_disk"),
    "no set": (lambda r: (r / "dataset_dict.json").unlink(), {}, "is no folder of datasets' save_to_disk"),
    "torn list of splits": (lambda r: (r / "dataset_dict.json").write_text("{"), {}, "is no list of splits: save"),
    "missing arrow file": (
        lambda r: next((r / "train").glob("*.arrow")).unlink(),
        {},
        "is no folder of datasets' save_to_disk",
    ),
    "torn arrow file": (lambda r: _cut(next((r / "train").glob("*.arrow"))), {}, "is no folder of datasets'"),
    "no class list": (lambda r: (r / "classes.json").unlink(), {}, "classes.json (No such file or directory): it must"),
    "torn class list": (lambda r: (r / "classes.json").write_text("["), {}, "classes.json is no valid JSON"),
    "class list is a number": (lambda r: (r / "classes.json").write_text("3"), {}, "classes.json must hold a list"),
    "ids are words": (lambda r: (r / "classes.json").write_text('{"a": "b"}'), {}, "classes.json must hold a list"),
    "two of one id": (lambda r: (r / "classes.json").write_text('{"1": "a", "01": "b"}'), {}, "must hold a list"),
    "ids are negative": (lambda r: (r / "classes.json").write_text('{"-1": "b"}'), {}, "with ids from 0 to 65534"),
    "no class is left": (lambda r: None, {"ignored": (0, 1, 2)}, "gives 0 classes"),
    "too many classes": (lambda r: (r / "classes.json").write_text(json.dumps(["c"] * 254)), {}, "gives 254 classes"),
    "short palette": (
        lambda r: (
            (r / "classes.json").write_text('{"classes": ["a"], "palette": []}')
            and (r / "classes.json").write_text('{"classes": ["a"], "palette": [[1, 2]]}')
        ),
        {},
        "palette must be a list of 1 colours",
    ),
    "ignores a negative id": (lambda r: None, {"ignored": (-1,)}, "with ids from 0 to 65534, and such ids to ignore"),
    "no image column": (lambda r: None, {"image_column": "pixels"}, "train has no column 'pixels': its columns are"),
    "no mask column": (
        lambda r: None,
        {"mask_column": "label"},
        "has no column 'label': its columns are image, annotation; --set dataset.hf.mask_column=NAME names another",
    ),
    "no column of classes": (lambda r: None, {"class_column": "image"}, "has no column 'image' of ClassLabel"),
    "unknown split": (lambda r: None, {"split_names": {"train": "x"}}, "has no split 'train': its splits are test"),
    "unknown split to rename": (lambda r: None, {"split_names": {"trian": "x"}}, "has no split 'trian' to rename"),
    "two splits of one name": (lambda r: None, {"split_names": {"test": "train"}}, "would both be 'train'"),
}


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:300])


@pytest.mark.parametrize("case", BAD_SETS)
def test_a_bad_set_is_one_line_that_names_it(root: Path, case: str) -> None:
    damage, options, message = BAD_SETS[case]
    damage(root)
    with pytest.raises(DatasetError) as caught:
        HuggingFace(root, **options).split("train")
    assert message in str(caught.value)
    assert str(root) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_split_is_told_and_left_out(tmp_path: Path) -> None:
    root = save(tmp_path / "set", {"train": [row(0)], "test": table([])})
    with pytest.raises(DatasetError, match=r"set/test is empty: --set dataset\.hf\.split_names\.NAME= leaves"):
        HuggingFace(root).split("test")
    assert len(HuggingFace(root, split_names={"test": None}).fingerprint) == 64


def test_an_image_is_not_its_own_mask(root: Path) -> None:
    with pytest.raises(ConfigError, match="image_column and mask_column are both 'image'"):
        HuggingFace(root, mask_column="image")


def test_a_column_of_numbers_is_no_mask(tmp_path: Path) -> None:
    dataset = one(tmp_path, [row(0) | {"noise": 1}], mask_column="noise")
    with pytest.raises(DatasetError, match=r"has no pictures in column 'noise' but Value.*cast it to datasets\.Image"):
        dataset.split("train")


# --- fingerprint -----------------------------------------------------------------------------------------------------

ROWS = [row(i) for i in range(250)]


def test_the_fingerprint_depends_neither_on_place_nor_on_how_rows_are_cut(tmp_path: Path) -> None:
    one_file = HuggingFace(save(tmp_path / "a", {"train": ROWS})).fingerprint
    several = save(tmp_path / "b" / "c", {"train": ROWS}, how={"num_shards": {"train": 3}})
    assert len(list((several / "train").glob("*.arrow"))) == 3
    assert HuggingFace(several).fingerprint == one_file
    with_more = table([r | {"noise": i} for i, r in enumerate(ROWS)])
    assert HuggingFace(save(tmp_path / "d", {"train": with_more})).fingerprint == one_file
    picked = table([row(99), *ROWS]).select(range(1, 251))  # rows behind indices
    assert HuggingFace(save(tmp_path / "e", {"train": picked})).fingerprint == one_file


CHANGES: dict[str, dict[str, Any]] = {
    "an image": {"rows": [*ROWS[:4], row(99)]},
    "a mask": {"rows": [*ROWS[:4], row(4, COLUMNS * 0)]},
    "the order": {"rows": ROWS[:5][::-1]},
    "a row less": {"rows": ROWS[:4]},
    "a name": {"rows": [*ROWS[:4], ROWS[4]], "classes": ["sky", "ground", "boxes"]},
    "how ids are read": {"options": {"ignored": (7,)}},
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_fingerprint_depends_on(tmp_path: Path, change: str) -> None:
    changed = {"rows": ROWS[:5], "classes": NAMES, "options": {}} | CHANGES[change]
    before = HuggingFace(save(tmp_path / "a", {"train": ROWS[:5]})).fingerprint
    after = HuggingFace(save(tmp_path / "b", {"train": changed["rows"]}, changed["classes"]), **changed["options"])
    assert after.fingerprint != before


def test_known_rows_are_not_hashed_again(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    real = hf.content_hash
    monkeypatch.setattr(hf, "content_hash", lambda split: (hashed.append(split.place[-5:]), real(split))[1])
    cache = tmp_path / "cache"
    first = HuggingFace(root, cache=cache).fingerprint
    assert len(hashed) == 3
    assert HuggingFace(root, cache=cache).fingerprint == first
    assert len(hashed) == 3
    save(root, {"train": [row(i) for i in range(6)]}, how={"max_shard_size": "1MB"})
    (root / "dataset_dict.json").write_text('{"splits": ["train", "validation", "test"]}')
    assert HuggingFace(root, cache=cache).fingerprint != first
    assert hashed[3:] == ["train"]


def test_other_columns_are_hashed_by_themselves(tmp_path: Path) -> None:
    made = table([row(0) | {"other": row(0, COLUMNS * 0)["annotation"]}], other=datasets.Image())
    root, cache = save(tmp_path / "set", {"train": made}), tmp_path / "cache"
    first = HuggingFace(root, cache=cache).fingerprint
    assert HuggingFace(root, cache=cache, mask_column="other").fingerprint != first
