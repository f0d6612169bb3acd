"""The dataset ``folder``: any ``images/<split>``, ``annotations/<split>``, ``classes.json`` tree."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from d3s2bench.datasets.label_counts import Counts, counts_in_file
from d3s2bench.datasets.pair_size import of_size
from d3s2bench.errors import DatasetError
from d3s2bench.files import digest, file_sha256, image_size, read_image, read_mask, train_ids, write_json
from d3s2bench.values import IGNORE, Image, Mask

LAYOUT = "images/<split>/*.jpg|png, annotations/<split>/*.png, classes.json"
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")


@dataclass(frozen=True)
class FolderSplit:
    """The pairs of one split, matched by file name without suffix, in sorted order."""

    pairs: tuple[tuple[Path, Path], ...]
    num_classes: int
    ignore: int

    def __len__(self) -> int:
        return len(self.pairs)

    def item_name(self, i: int) -> str:
        return self.pairs[i][0].stem

    def image(self, i: int) -> Image:
        return read_image(self.pairs[i][0])

    def mask(self, i: int) -> Mask:
        image, annotation = self.pairs[i]
        return of_size(read_mask(annotation, self.num_classes, self.ignore), image_size(image), annotation)

    def label_counts(self, i: int) -> Counts | None:
        image, annotation = self.pairs[i]
        return counts_in_file(
            annotation, image_size(image), lambda ids: train_ids(ids, self.num_classes, self.ignore, annotation)
        )


@dataclass(frozen=True)
class Folder:
    """A dataset on disk. ``classes.json`` holds ``classes`` (names), and may hold ``palette`` (RGB per class),
    ``ignore_index`` (255) and ``redistributable`` (false: its images are never uploaded)."""

    root: Path
    name: str = ""
    cache: Path | None = None

    def __post_init__(self) -> None:
        if not (self.root / "images").is_dir() or not (self.root / "annotations").is_dir():
            raise DatasetError(f"{self.root} is no dataset folder: expected {LAYOUT}")
        if not self.name:
            object.__setattr__(self, "name", self.root.resolve().name)

    @cached_property
    def _description(self) -> dict[str, Any]:
        file = self.root / "classes.json"
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise DatasetError(f"cannot read {file} ({error.strerror}): it must list the class names") from error
        except ValueError as error:
            raise DatasetError(f"{file} is no valid JSON: {error}") from error
        described = {"classes": found} if isinstance(found, list) else found
        if not isinstance(described, dict) or not is_class_list(described.get("classes")):
            raise DatasetError(f'{file} must hold {{"classes": [1 to 255 names]}}')
        return described

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self._description["classes"])

    @property
    def palette(self) -> tuple[tuple[int, int, int], ...]:
        return palette_of(self._description.get("palette"), len(self.classes), self.root / "classes.json")

    @property
    def ignore_index(self) -> int:
        value = self._description.get("ignore_index", IGNORE)
        if not isinstance(value, int):
            raise DatasetError(f"{self.root / 'classes.json'}: ignore_index is {value!r}: it must be a whole number")
        return value

    @property
    def redistributable(self) -> bool:
        return bool(self._description.get("redistributable", False))

    @property
    def assets(self) -> Path | None:
        return None

    @cached_property
    def splits(self) -> tuple[str, ...]:
        return tuple(sorted(folder.name for folder in (self.root / "images").iterdir() if folder.is_dir()))

    @cached_property
    def fingerprint(self) -> str:
        """Hash of names and contents of all images, annotations and the class list; file hashes are cached."""
        files = [self.root / "classes.json"]
        files += [f for part in ("images", "annotations") for f in sorted((self.root / part).rglob("*")) if f.is_file()]
        hashes = cached_hashes(files, self.cache / "file-hashes.json" if self.cache else None)
        return digest([[f.relative_to(self.root).as_posix(), h] for f, h in zip(files, hashes, strict=True)])

    def split(self, name: str) -> FolderSplit:
        if name not in self.splits:
            raise DatasetError(f"{self.root} has no split '{name}': its splits are {', '.join(self.splits) or 'none'}")
        pairs = _pairs(self.root / "images" / name, self.root / "annotations" / name)
        return FolderSplit(pairs, len(self.classes), self.ignore_index)


def is_class_list(value: Any) -> bool:
    return isinstance(value, list) and 1 <= len(value) <= IGNORE and all(isinstance(name, str) for name in value)


def palette_of(given: Any, count: int, file: Path) -> tuple[tuple[int, int, int], ...]:
    """The colours that ``file`` gives for so many classes, or ours where it gives none. Raises DatasetError."""
    if not given:
        return tuple(default_colour(i) for i in range(count))
    if not (isinstance(given, list) and len(given) == count and all(map(_is_colour, given))):
        wanted = f"a list of {count} colours [r, g, b], one per class, each 0 to 255"
        raise DatasetError(f"{file}: palette must be {wanted}")
    return tuple((r, g, b) for r, g, b in given)


def _is_colour(row: Any) -> bool:
    return isinstance(row, list | tuple) and len(row) == 3 and all(isinstance(c, int) and 0 <= c <= 255 for c in row)


def _pairs(images: Path, annotations: Path) -> tuple[tuple[Path, Path], ...]:
    photos = _by_stem(images, IMAGE_SUFFIXES)
    masks = _by_stem(annotations, (".png",)) if annotations.is_dir() else {}
    if not photos:
        raise DatasetError(f"{images} is an empty split: put images there")
    for stem, photo in photos.items():
        if stem not in masks:
            raise DatasetError(f"{photo} has no mask: expected {annotations / (stem + '.png')}")
    for stem, mask in masks.items():
        if stem not in photos:
            raise DatasetError(f"{mask} has no image: expected {images / stem} with one of {', '.join(IMAGE_SUFFIXES)}")
    return tuple((photos[stem], masks[stem]) for stem in sorted(photos))


def _by_stem(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() not in suffixes or file.name.startswith("."):
            continue
        if file.stem in found:
            raise DatasetError(f"{file} and {found[file.stem]} have the same name: keep one of them")
        found[file.stem] = file
    return found


def cached_hashes(files: list[Path], cache: Path | None) -> list[str]:
    known: dict[str, list[Any]] = read_cache(cache)

    def hashed(file: Path) -> tuple[str, list[Any]]:
        found = file.stat()
        key, stamp = str(file.resolve()), [found.st_size, found.st_mtime_ns]
        old = known.get(key)
        return key, old if old and old[:2] == stamp else [*stamp, file_sha256(file)]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        rows = _guarded(lambda: list(pool.map(hashed, files)))
    if cache and any(known.get(key) != entry for key, entry in rows):
        write_json(cache, known | dict(rows))
    return [entry[2] for _, entry in rows]


def read_cache(cache: Path | None) -> dict[str, list[Any]]:
    try:
        return dict(json.loads(cache.read_text())) if cache else {}
    except (OSError, ValueError):
        return {}  # a cache only: made anew


def _guarded(work: Callable[[], list[tuple[str, list[Any]]]]) -> list[tuple[str, list[Any]]]:
    try:
        return work()
    except OSError as error:
        raise DatasetError(f"cannot read {error.filename}: {error.strerror}") from error


def default_colour(i: int) -> tuple[int, int, int]:
    """The colour of class i in PASCAL VOC's colour map: three bits of i to each colour, highest first."""
    channels = [0, 0, 0]
    for bit in range(8):
        for channel in range(3):
            channels[channel] |= ((i >> (3 * bit + channel)) & 1) << (7 - bit)
    return channels[0], channels[1], channels[2]
