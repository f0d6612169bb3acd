"""The distilled set on disk: ``images/*.png``, ``annotations/*.png`` and, when we made it, ``manifest.json``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from d3s2bench.datasets.pair_size import of_size
from d3s2bench.errors import DatasetError, StageError
from d3s2bench.files import file_sha256, image_size, mask_png, png, read_image, read_json, read_mask, write_bytes
from d3s2bench.sets.given import Origin, check_sample, plain_provenance, plain_sources
from d3s2bench.values import IGNORE, Image, Json, Mask, Sample

MANIFEST = "manifest.json"
JOURNAL = "scratch/samples.jsonl"
"""In the part of a working folder that goes last, when the stage has described itself: no kill before loses images."""


@dataclass(frozen=True)
class DistilledSet:
    """Reads a distilled set, ours or one made elsewhere in the same layout, as a Split."""

    folder: Path
    num_classes: int
    names: tuple[str, ...]

    @classmethod
    def open(cls, folder: Path, num_classes: int) -> DistilledSet:
        """Raises DatasetError for an empty set, a missing partner or a file that differs from the manifest."""
        images = _stems(folder / "images")
        masks = _stems(folder / "annotations")
        if not images:
            raise DatasetError(f"{folder} is no distilled set: expected images/*.png and annotations/*.png")
        for name in sorted(images ^ masks):
            missing = "annotations" if name in images else "images"
            raise DatasetError(f"{folder / missing / name}.png is missing: every image needs its mask")
        found = cls(folder, num_classes, tuple(sorted(images)))
        found._verify()
        return found

    def _verify(self) -> None:
        if not (self.folder / MANIFEST).exists():
            return
        try:
            found = read_json(self.folder / MANIFEST)["samples"]
            samples = {sample["name"]: dict(sample["sha256"]) for sample in found}
        except (KeyError, TypeError, ValueError) as error:
            raise DatasetError(f"{self.folder / MANIFEST} is no manifest: delete it, it is optional") from error
        for name in sorted(samples.keys() ^ set(self.names)):
            raise DatasetError(f"{self.folder} and its manifest differ in {name}.png: restore it, or delete {MANIFEST}")
        for name, hashes in samples.items():
            for part, expected in hashes.items():
                file = self.folder / part / f"{name}.png"
                if not file.exists() or file_sha256(file) != expected:
                    raise DatasetError(f"{file} is not the file of the manifest: restore it, or delete {MANIFEST}")

    def __len__(self) -> int:
        return len(self.names)

    def item_name(self, i: int) -> str:
        return self.names[i]

    def image(self, i: int) -> Image:
        return read_image(self._file("images", i))

    def mask(self, i: int) -> Mask:
        file = self._file("annotations", i)
        return of_size(read_mask(file, self.num_classes), image_size(self._file("images", i)), file)

    @property
    def labelled(self) -> bool:
        """Whether any pixel has a class; reads masks up to the first that holds one."""
        return any((self.mask(i) != IGNORE).any() for i in range(len(self)))

    def _file(self, part: str, i: int) -> Path:
        return self.folder / part / f"{self.names[i]}.png"

    @property
    def pixels(self) -> int:
        """Pixels of all images."""
        sizes = [image_size(self._file("images", i)) for i in range(len(self))]
        return sum(width * height for width, height in sizes)

    @property
    def bytes(self) -> int:
        """Bytes of all image and mask files."""
        return sum(self._file(part, i).stat().st_size for part in ("images", "annotations") for i in range(len(self)))


def _stems(folder: Path) -> set[str]:
    return {file.stem for file in folder.glob("*.png") if not file.name.startswith(".")}


def write_samples(
    folder: Path,
    total: int,
    samples_from: Callable[[int], Iterable[Sample]],
    palette: tuple[tuple[int, int, int], ...],
    progress: Callable[[int, int, str], None],
    who: str = "the synthesizer",
    origin: Origin | None = None,
) -> list[dict[str, Any]]:
    """Streams samples into ``folder``, from the first that an earlier, killed run did not finish.

    Returns a row per sample for the manifest: name, sources, provenance, sha256 of its files.

    Raises:
        StageError: ``who`` gave another number of samples, one that is not as it must be or is not of its ``origin``,
            or no labelled pixel.
    """
    each = origin.per_image if origin else 1
    rows = _finished(folder / JOURNAL)
    (folder / JOURNAL).parent.mkdir(parents=True, exist_ok=True)
    with (folder / JOURNAL).open("w", encoding="utf-8") as journal:
        journal.writelines(json.dumps(row) + "\n" for row in rows)
        journal.flush()
        for sample in samples_from(len(rows)) if len(rows) < total else ():
            if len(rows) == total:
                _refuse(folder, _miscounted(who, f"more than {total}", total, each))
            rows.append(_write_sample(folder, len(rows), sample, palette, who, origin))
            journal.write(json.dumps(rows[-1]) + "\n")
            journal.flush()
            progress(len(rows), total, "images")
    if len(rows) != total:
        _refuse(folder, _miscounted(who, str(len(rows)), total, each))
    if not DistilledSet(folder, len(palette), tuple(row["name"] for row in rows)).labelled:
        _refuse(folder, f"{who} gave no labelled pixel: all masks are {IGNORE} throughout, and nothing can be learnt")
    return rows


def _miscounted(who: str, given: str, total: int, sources: int) -> str:
    each = "selected image" if sources == 1 else f"{sources} selected images"
    return f"{who} gave {given} samples, not {total}: it must give one for each {each}"


def _refuse(folder: Path, message: str) -> NoReturn:
    """Without the journal the next run starts again, and is told again."""
    (folder / JOURNAL).unlink()
    raise StageError(message)


def _write_sample(
    folder: Path, number: int, sample: Any, palette: tuple[tuple[int, int, int], ...], who: str, origin: Origin | None
) -> dict[str, Any]:
    name = f"{number:06d}"
    it = f"{who}, sample {name}"
    check_sample(sample, len(palette), it)
    if origin:
        origin.check(number, sample, it)
    about = {"name": name, "sources": plain_sources(sample, it), "provenance": plain_provenance(sample, it)}
    files = {
        "images": folder / "images" / f"{name}.png",
        "annotations": folder / "annotations" / f"{name}.png",
    }
    write_bytes(files["images"], png(sample.image))
    write_bytes(files["annotations"], mask_png(sample.mask, palette))
    return about | {"sha256": {part: file_sha256(file) for part, file in files.items()}}


def _finished(journal: Path) -> list[dict[str, Any]]:
    """Rows of samples that were written whole; a kill may have torn the last line."""
    rows: list[dict[str, Any]] = []
    for line in journal.read_text(encoding="utf-8").splitlines() if journal.exists() else []:
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def manifest(rows: Iterable[Json], about: Json) -> dict[str, Any]:
    """The manifest of a set: what it is, then its samples."""
    return {"schema": 1, **about, "samples": list(rows)}
