"""The dataset ``hf``: an image and a mask column of a Hugging Face ``datasets`` set, as ``save_to_disk`` leaves it.

Needs the library: ``pip install 'd3s2bench[hf]'``. Pictures are turned as their EXIF orientation says, as the library
does; masks are read as ids (grey of 8 or 16 bits, or the indices of a palette), never as colours.

The fingerprint hashes the stored bytes of each image and mask in row order: they need not be decoded, and it depends
neither on how the rows were cut into files and record batches nor on what the library writes beside them. Like the
hashes of the other datasets it is kept with sizes and times of the files it was made from.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from PIL import ExifTags, ImageOps, UnidentifiedImageError
from PIL import Image as Pillow

from d3s2bench.datasets.class_table import RGB, ClassTable
from d3s2bench.datasets.folder import read_cache
from d3s2bench.datasets.hf_classes import ClassList, class_file, classes_of_column, classes_of_file
from d3s2bench.datasets.label_map import LabelMap
from d3s2bench.datasets.pair_size import of_size
from d3s2bench.errors import ConfigError, DatasetError
from d3s2bench.files import digest, write_json
from d3s2bench.values import Image, Mask

SET = "--set dataset.hf"


@dataclass(frozen=True)
class HuggingFaceSplit:
    """The rows of one split, in their order. A row is called as its image file was, or else by its number."""

    rows: Any
    """A ``datasets.Dataset`` whose two columns are not decoded."""
    image_column: str
    mask_column: str
    labels: LabelMap
    place: str

    def __len__(self) -> int:
        return len(self.rows)

    def item_name(self, i: int) -> str:
        return self.names[i]

    @cached_property
    def names(self) -> tuple[str, ...]:
        paths = [path for images, _ in self.batches() for path in images.field("path").to_pylist()]
        stems = tuple(PurePath(path).stem for path in paths if path)
        return stems if len(set(stems)) == len(paths) else tuple(f"{i:06d}" for i in range(len(paths)))

    def batches(self) -> Iterator[tuple[Any, Any]]:
        """Images and masks as arrow arrays of ``{bytes, path}``, some rows at a time, without a copy."""
        for table in self.rows.with_format("arrow").iter(batch_size=100):
            for batch in table.to_batches():
                yield batch.column(self.image_column), batch.column(self.mask_column)

    def image(self, i: int) -> Image:
        with self._picture(i, self.image_column) as picture:
            upright = ImageOps.exif_transpose(picture)
            if upright.mode.startswith("I"):  # pillow would clip 16 bits to white
                upright = Pillow.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
            return np.asarray(upright.convert("RGB"))

    def mask(self, i: int) -> Mask:
        cell = self._cell(i, self.mask_column)
        with self._picture(i, self.mask_column) as picture:
            mask = _train_ids(picture, self.labels, cell)
        with self._picture(i, self.image_column) as picture:
            return of_size(mask, _upright_size(picture), cell)

    def _cell(self, i: int, column: str) -> str:
        return f"{self.place}, row {i} ({self.names[i]}): {column}"

    @contextmanager
    def _picture(self, i: int, column: str) -> Iterator[Pillow.Image]:
        """Whatever arrow and pillow raise for a bad cell, while it is used too, as one error that names it."""
        try:
            content = (self.rows[i][column] or {}).get("bytes")
            if not content:
                raise DatasetError(f"{self._cell(i, column)} is empty: fill or remove the row")
            with Pillow.open(io.BytesIO(content)) as picture:
                yield picture
        except (OSError, SyntaxError, ValueError, Pillow.DecompressionBombError) as error:
            said = "no image format that is known" if isinstance(error, UnidentifiedImageError) else error
            raise DatasetError(f"{self._cell(i, column)} is corrupt ({said}): replace or remove the row") from error


@dataclass(frozen=True)
class HuggingFace:
    """A ``Dataset`` or ``DatasetDict`` on disk.

    The class names are those of ``class_column`` or of ``class_file``: a list of names, ``{"classes": names}`` with
    what the dataset ``folder`` takes beside it, or ``{"id": "name"}``, which also says which ids there are.
    """

    root: Path
    cache: Path | None = None
    name: str = "hf"
    """What records and tables call it."""
    image_column: str = "image"
    """The column of the photographs."""
    mask_column: str = "annotation"
    """The column of the masks."""
    class_column: str = ""
    """A column of ClassLabel (or of lists of them) that names the classes of the masks."""
    class_file: str = ""
    """Relative to ``root``; '' = ``classes.json`` or ``id2label.json`` there."""
    reduce_zero_label: bool = False
    """Masks hold 0 for no class, which is ignored, and for the others their id in the class list plus 1."""
    ignored: tuple[int, ...] = ()
    """Ids of the masks that are ignored, as 255 always is; a class of such an id is none."""
    split_names: dict[str, str | None] = field(default_factory=lambda: {"validation": "val"})
    """The set's name of a split → ours; one without a name is left out."""
    eval_split: str = "test"
    """The split that is scored."""

    def __post_init__(self) -> None:
        if self.image_column == self.mask_column:
            raise ConfigError(f"image_column and mask_column are both '{self.image_column}': masks need their own")
        _ = self.splits, self.table  # what else is wrong is told at once, too

    @property
    def classes(self) -> tuple[str, ...]:
        return self.table.names

    @property
    def palette(self) -> tuple[RGB, ...]:
        return self.table.palette

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(sorted(self._theirs))

    @property
    def redistributable(self) -> bool:
        return self._class_list.redistributable

    @property
    def assets(self) -> Path | None:
        return None

    def split(self, name: str) -> HuggingFaceSplit:
        """Raises DatasetError for a split that is unknown or empty, or that lacks a column."""
        if name not in self._theirs:
            mend = f"{SET}.split_names.THEIRS=OURS renames one, {SET}.eval_split=NAME says which is scored"
            known = ", ".join(self.splits) or "none"
            raise DatasetError(f"{self.root} has no split '{name}': its splits are {known}; {mend}")
        if name not in self._opened:
            self._opened[name] = self._split(self._theirs[name])
        return self._opened[name]

    @cached_property
    def fingerprint(self) -> str:
        """Hash of classes, names, contents and reading of all rows of all splits; hashes of contents are cached."""
        content = {name: [self.split(name).names, self._content(name), self.labels.key] for name in self.splits}
        return digest({"classes": self.classes, "palette": self.palette, "splits": content})

    @property
    def labels(self) -> LabelMap:
        """How the ids of the masks are read."""
        return LabelMap(self.table.ids, self._ignored)

    @cached_property
    def table(self) -> ClassTable:
        """The classes with the ids that masks hold."""
        return self._class_list.table(self._ignored, shift=int(self.reduce_zero_label))

    @property
    def _ignored(self) -> tuple[int, ...]:
        return (*self.ignored, *self._class_list.ignored, *((0,) if self.reduce_zero_label else ()))

    @cached_property
    def _class_list(self) -> ClassList:
        if not self.class_column:
            return classes_of_file(class_file(self.root, self.class_file))
        first = next(iter(self._folders.values()))
        return classes_of_column(_loaded(first), self.class_column, first)

    @cached_property
    def _folders(self) -> dict[str, Path]:
        """The set's own name of each split → where it lies."""
        listed = self.root / "dataset_dict.json"
        if not listed.is_file():
            return {str(_loaded(self.root).split or "train"): self.root}
        try:
            return {str(name): self.root / name for name in json.loads(listed.read_text(encoding="utf-8"))["splits"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DatasetError(f"{listed} is no list of splits: save the set again with save_to_disk") from error

    @cached_property
    def _theirs(self) -> dict[str, str]:
        """Our name of each split → the set's own."""
        for theirs in self.split_names.keys() - self._folders.keys() - {"validation"}:
            raise DatasetError(f"{self.root} has no split '{theirs}' to rename: it has {', '.join(self._folders)}")
        found: dict[str, str] = {}
        for theirs in self._folders:
            ours = self.split_names.get(theirs, theirs)
            if ours and found.setdefault(ours, theirs) != theirs:
                raise DatasetError(f"{self.root}: splits {found[ours]} and {theirs} would both be '{ours}'")
        return found

    @cached_property
    def _opened(self) -> dict[str, HuggingFaceSplit]:
        return {}

    def _split(self, theirs: str) -> HuggingFaceSplit:
        from datasets import Image as Picture

        rows, place = _loaded(self._folders[theirs]), f"{self.root}, split {theirs}"
        for option in ("image_column", "mask_column"):
            column = getattr(self, option)
            if not isinstance(rows.features.get(column), Picture):
                raise DatasetError(f"{place} {_lacking(rows, column)}; {SET}.{option}=NAME names another")
            rows = rows.cast_column(column, Picture(decode=False))
        rows = rows.select_columns([self.image_column, self.mask_column])
        return HuggingFaceSplit(rows, self.image_column, self.mask_column, self.labels, place)

    def _content(self, name: str) -> str:
        """The hash of a split's contents; made anew only when one of its files has another size or time."""
        folder = self._folders[self._theirs[name]]
        files = sorted(file for file in folder.iterdir() if file.is_file())
        stamp = [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]
        key = json.dumps([str(folder.resolve()), self.image_column, self.mask_column])
        cache = self.cache / "hf-hashes.json" if self.cache else None
        known = read_cache(cache)
        if known.get(key, [None])[0] != stamp:
            known[key] = [stamp, content_hash(self.split(name))]
            if cache:
                write_json(cache, known)
        return str(known[key][1])


def content_hash(split: HuggingFaceSplit) -> str:
    """64 hex digits of the stored bytes of all images and masks, row by row, each after its length."""
    state = hashlib.sha256()
    for images, masks in split.batches():
        for row in zip(images.field("bytes"), masks.field("bytes"), strict=True):
            for cell in row:
                content = cell.as_buffer() or b""
                state.update(len(content).to_bytes(8))
                state.update(content)
    return state.hexdigest()


def _loaded(folder: Path) -> Any:
    """A ``datasets.Dataset``, whose files are mapped, not read."""
    from datasets import load_from_disk

    try:
        return load_from_disk(str(folder))
    except IndexError as error:  # the library saves a split without rows, but cannot load it
        raise DatasetError(f"{folder} is empty: {SET}.split_names.NAME= leaves a split out") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        said = " ".join(str(error).split())
        raise DatasetError(f"{folder} is no folder of datasets' save_to_disk ({said})") from error


def _lacking(rows: Any, column: str) -> str:
    if column not in rows.features:
        return f"has no column '{column}': its columns are {', '.join(rows.features)}"
    return f"has no pictures in column '{column}' but {rows.features[column]}: cast it to datasets.Image()"


def _upright_size(picture: Pillow.Image) -> tuple[int, int]:
    """Width and height from the header alone, after turning."""
    turned = "exif" in picture.info and picture.getexif().get(ExifTags.Base.Orientation, 1) >= 5
    return (picture.height, picture.width) if turned else picture.size


def _train_ids(picture: Pillow.Image, labels: LabelMap, cell: str) -> Mask:
    if picture.format in ("JPEG", "MPO"):
        raise DatasetError(f"{cell} is a JPEG, which blurs ids at borders: save masks as PNG")
    ids = np.asarray(ImageOps.exif_transpose(picture))
    if ids.ndim != 2 or ids.dtype.kind not in "bui":
        raise DatasetError(f"{cell} is a picture of mode {picture.mode}: a mask must hold one class id per pixel")
    return labels.map(ids, cell, "the class list, or see the options ignored and reduce_zero_label")
