"""What the datasets with an official layout share. One of them says only where its pairs lie and how to read ids."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from d3s2bench.datasets.catalogue import entry
from d3s2bench.datasets.class_table import RGB, ClassTable
from d3s2bench.datasets.folder import IMAGE_SUFFIXES, cached_hashes
from d3s2bench.datasets.label_counts import Counts, counts_in_file
from d3s2bench.datasets.label_map import LabelMap
from d3s2bench.datasets.pair_size import of_size
from d3s2bench.errors import DatasetError
from d3s2bench.files import digest, image_size, read_image
from d3s2bench.values import Image, Mask


@dataclass(frozen=True)
class Pair:
    """An image, its mask and how to read that."""

    image: Path
    mask: Path
    labels: LabelMap


@dataclass(frozen=True)
class PairedSplit:
    """The pairs of one split, in sorted order."""

    pairs: tuple[Pair, ...]

    def __len__(self) -> int:
        return len(self.pairs)

    def item_name(self, i: int) -> str:
        return self.pairs[i].image.stem

    def image(self, i: int) -> Image:
        return read_image(self.pairs[i].image)

    def mask(self, i: int) -> Mask:
        pair = self.pairs[i]
        return of_size(pair.labels.read(pair.mask), image_size(pair.image), pair.mask)

    def label_counts(self, i: int) -> Counts | None:
        pair = self.pairs[i]
        return counts_in_file(pair.mask, image_size(pair.image), lambda ids: pair.labels.train_ids(ids, pair.mask))


@dataclass(frozen=True)
class PairedDataset(ABC):
    """A dataset in its official layout at ``root``, or in a folder of ``root`` that the archives unpack to."""

    root: Path
    cache: Path | None = None
    name: ClassVar[str]
    splits: ClassVar[tuple[str, ...]]
    eval_split: ClassVar[str]
    """The split that the official protocol scores."""
    redistributable: ClassVar[bool] = False
    archives: ClassVar[tuple[str, ...]] = ()
    """Folders below ``root`` where the tree may begin, too."""
    parts: ClassVar[tuple[str, ...]]
    """Folders that the tree must have."""

    def __post_init__(self) -> None:
        _ = self.home  # a wrong folder is told at once

    @property
    @abstractmethod
    def table(self) -> ClassTable: ...

    @abstractmethod
    def pairs(self, split: str) -> Iterable[Pair]:
        """Raises DatasetError for a file or folder of the split that is not there."""

    @property
    def classes(self) -> tuple[str, ...]:
        return self.table.names

    @property
    def palette(self) -> tuple[RGB, ...]:
        return self.table.palette

    @property
    def official_images(self) -> dict[str, int]:
        """How many images each split has in the official release."""
        known = entry(self.name)
        return {split: known.images[self.listed(split)] for split in self.splits} if known else {}

    def listed(self, split: str) -> str:
        """The official name of the images of a split."""
        return split

    @property
    def assets(self) -> Path | None:
        return None

    @cached_property
    def home(self) -> Path:
        """Where the tree begins."""
        for folder in (self.root, *(self.root / archive for archive in self.archives)):
            if all((folder / part).is_dir() for part in self.parts):
                return folder
        wanted = ", ".join(f"{part}/" for part in self.parts)
        raise DatasetError(f"{self.root} is no {self.name}: expected {wanted} there ('d3s2bench datasets' shows all)")

    def split(self, name: str) -> PairedSplit:
        """Raises DatasetError for an unknown split, and for an image without mask."""
        if name not in self.splits:
            raise DatasetError(f"{self.name} has no split '{name}': its splits are {', '.join(self.splits)}")
        if name not in self._opened:
            self._opened[name] = PairedSplit(tuple(self.pairs(name)))
        return self._opened[name]

    @cached_property
    def _opened(self) -> dict[str, PairedSplit]:
        return {}

    @cached_property
    def fingerprint(self) -> str:
        """Hash of classes, names, contents and reading of all pairs of all splits; file hashes are cached."""
        splits = {name: self.split(name).pairs for name in self.splits}
        files = sorted({file for pairs in splits.values() for pair in pairs for file in (pair.image, pair.mask)})
        cache = self.cache / "file-hashes.json" if self.cache else None
        known = dict(zip(files, cached_hashes(files, cache), strict=True))
        content = {
            name: [[pair.image.stem, known[pair.image], known[pair.mask], pair.labels.key] for pair in pairs]
            for name, pairs in splits.items()
        }
        return digest({"classes": self.classes, "palette": self.palette, "splits": content})


def images_in(folder: Path) -> list[Path]:
    """All images of a folder, sorted. Raises DatasetError when there are none."""
    found = folder.iterdir() if folder.is_dir() else ()
    images = sorted(f for f in found if f.suffix.lower() in IMAGE_SUFFIXES and not f.name.startswith("."))
    if not images:
        raise DatasetError(f"{folder} is missing or empty: put the images of the split there")
    return images


def listed_names(file: Path) -> list[str]:
    """The first column of a list, sorted: the order of a list that a script wrote must not change a selection.

    Raises:
        DatasetError: the list is missing or empty.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DatasetError(f"cannot read {file} ({error.strerror}): it lists the images of the split") from error
    names = sorted({line.split()[0] for line in lines if line.strip()})
    if not names:
        raise DatasetError(f"{file} is empty: it lists the images of the split, one a line")
    return names


def pair(image: Path, masks: Mapping[Path, LabelMap]) -> Pair:
    """The image with the first of ``masks`` that is there. Raises DatasetError when either is missing."""
    if not image.is_file():
        raise DatasetError(f"{image} does not exist, but its split lists it")
    for mask, labels in masks.items():
        if mask.is_file():
            return Pair(image, mask, labels)
    raise DatasetError(f"{image} has no mask: expected {' or '.join(map(str, masks))}")
