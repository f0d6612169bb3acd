"""Reading and writing files: whole or not at all, PNG and JSON, with one clear error for a bad one."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from d3s2bench.errors import DatasetError, StoreError
from d3s2bench.values import IGNORE, Image, Mask


def digest(value: Any) -> str:
    """64 hex digits of a JSON value; equal values give equal digests, whatever the order of their keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def file_sha256(file: Path) -> str:
    """64 hex digits of a file's bytes."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def folder_sha256(folder: Path) -> str:
    """64 hex digits of all files below a folder, by relative name and content."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return digest([[file.relative_to(folder).as_posix(), file_sha256(file)] for file in files])


def write_bytes(file: Path, content: bytes, *, new: bool = False) -> None:
    """Writes under a temporary name and renames: the file is whole or absent. ``new`` leaves one that is there alone,
    whoever has written it and when."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = _beside(file)
    try:
        partial.write_bytes(content)
        if new:
            with suppress(FileExistsError):
                os.link(partial, file)
        else:
            partial.replace(file)
    except OSError as error:  # of a full disk it does not name the file
        raise OSError(error.errno, error.strerror, str(file)) from error
    finally:
        with suppress(OSError):
            partial.unlink()


def _beside(place: Path) -> Path:
    """A name that no other process takes, on whichever machine of a shared file system."""
    return place.with_name(f".{place.name}.{uuid4().hex}.partial")


@contextmanager
def folder_under_name(folder: Path) -> Iterator[Path]:
    """A folder to fill, which gets its name when all went well and is removed when not.

    Raises:
        StoreError: there is something of that name, or it cannot be written.
    """
    if folder.exists() or folder.is_symlink():
        raise StoreError(f"{folder} exists: remove it, or give another --out")
    partial = _beside(folder)
    try:
        partial.mkdir(parents=True)
        yield partial
        partial.rename(folder)
    except OSError as error:
        raise StoreError(f"cannot write {folder} ({error}): give another --out") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_json(file: Path, value: Any, *, new: bool = False) -> None:
    """Readable JSON, written whole or not at all; ``new`` leaves a file that is there alone."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_bytes(file, text.encode(), new=new)


def read_json(file: Path) -> Any:
    """Raises StoreError for a file that is missing or no JSON."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise StoreError(f"cannot read {file}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{file} is no valid JSON ({error}): delete it and run again") from error


def read_image(file: Path) -> Image:
    """``(H, W, 3) uint8``; of 16-bit grey the high byte. Raises DatasetError for a file that cannot be decoded."""
    picture = decode(file)
    if picture.mode.startswith("I"):  # pillow would clip it to white
        picture = Pillow.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    return np.asarray(picture.convert("RGB"))


def read_mask(file: Path, num_classes: int, ignore: int = IGNORE) -> Mask:
    """``(H, W) uint8`` train ids; the file's ``ignore`` value becomes 255. Palette files give indices, not colours.

    Raises:
        DatasetError: cannot be decoded, is a colour picture, or holds a label that is neither class nor ignore.
    """
    labels = np.array(decode(file))
    if labels.ndim != 2:
        raise DatasetError(f"{file} is a colour picture: a mask must hold one class id per pixel (grey or palette PNG)")
    return train_ids(labels, num_classes, ignore, file)


def train_ids(labels: NDArray[Any], num_classes: int, ignore: int, file: Path) -> Mask:
    """uint8 train ids of the whole numbers in a mask ``file``, of the same shape; may change ``labels``.

    Raises:
        DatasetError: a label is neither class nor ignore.
    """
    if labels.dtype != np.uint8:
        labels = labels.astype(np.int64)
    if ignore != IGNORE:
        labels[labels == ignore] = IGNORE
    if _any_wrong(labels, num_classes):
        wrong = labels[_wrong(labels, num_classes)].min()
        raise DatasetError(
            f"{file} holds label {wrong}, but there are {num_classes} classes (0 to {num_classes - 1}) "
            f"and ignore {ignore}: mend the mask or the class list"
        )
    return labels.astype(np.uint8, copy=False)


def _any_wrong(labels: NDArray[np.integer[Any]], num_classes: int) -> bool:
    if labels.dtype == np.uint8:
        return bool((labels + np.uint8(1)).max() > num_classes)  # 255 becomes 0: one comparison, and no array of bools
    return bool(_wrong(labels, num_classes).any())


def _wrong(labels: NDArray[np.integer[Any]], num_classes: int) -> NDArray[np.bool_]:
    """Where a label is neither a class nor 255."""
    wrong: NDArray[np.bool_] = (labels < 0) | ((labels >= num_classes) & (labels != IGNORE))
    return wrong


def decode(file: Path) -> Pillow.Image:
    with _named(file), Pillow.open(file) as picture:
        picture.load()
        return picture


def image_size(file: Path) -> tuple[int, int]:
    """Width and height from the header alone."""
    with _named(file), Pillow.open(file) as picture:
        return picture.size


@contextmanager
def _named(file: Path) -> Iterator[None]:
    """Whatever pillow raises for a bad file, as one error that names it."""
    try:
        yield
    except FileNotFoundError as error:
        raise DatasetError(f"{file} does not exist") from error
    except (OSError, SyntaxError, ValueError, Pillow.DecompressionBombError) as error:
        raise DatasetError(f"{file} is corrupt or no image ({error}): replace or remove it") from error


def png(image: Image) -> bytes:
    """An RGB picture as PNG."""
    return _encoded(Pillow.fromarray(image))


def mask_png(mask: Mask, palette: tuple[tuple[int, int, int], ...]) -> bytes:
    """Train ids as palette PNG: the pixels are ids, a viewer shows the class colours."""
    picture = Pillow.fromarray(mask)
    picture.putpalette(palette_table(palette).tobytes())
    return _encoded(picture)


def palette_table(palette: tuple[tuple[int, int, int], ...]) -> NDArray[np.uint8]:
    """``(256, 3) uint8``: the classes' colours, white for ignore, black for the rest."""
    table = np.zeros((256, 3), np.uint8)
    table[: len(palette)] = palette
    table[IGNORE] = 255
    return table


def _encoded(picture: Pillow.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def save_npz(file: Path, **arrays: NDArray[Any]) -> None:
    """Compressed npz, written whole or not at all."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_bytes(file, buffer.getvalue())


def load_npz(file: Path) -> dict[str, NDArray[Any]]:
    """All arrays of an npz. Raises StoreError when it is corrupt; never unpickles."""
    try:
        with np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except Exception as error:  # zipfile, zlib and numpy raise many kinds
        raise StoreError(f"{file} is corrupt ({error}): delete it and run again") from error
