"""Where pretrained weights lie: in a folder, or under a name on the Hugging Face hub."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from d3s2bench import ModelError, file_sha256, first_line

NETWORK = ("config.json", "diffusion_pytorch_model.safetensors")
"""The files of one network in the diffusers layout: no pickles, no code."""
STABLE_DIFFUSION = (
    *(f"{part}/{file}" for part in ("unet", "vae") for file in NETWORK),
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "tokenizer/*.json",
    "tokenizer/merges.txt",
    "scheduler/scheduler_config.json",
)
"""The files of Stable Diffusion 1.x that are used."""
HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*")


def settled(source: str) -> str:
    """The same source for one who reads it elsewhere: a folder by its full path, a hub name as it is."""
    folder = Path(source).expanduser()
    return str(folder.resolve()) if source and folder.is_dir() else source


def locate(source: str, beside: Path, wanted: Sequence[str], option: str) -> Path:
    """The folder that holds a model.

    Args:
        source: a folder, relative to ``beside`` or absolute; else ``OWNER/NAME`` or ``OWNER/NAME@REVISION`` on the hub.
        wanted: patterns of the files to fetch from the hub.
        option: the option that the source came from, for errors.

    Raises:
        ModelError: there is no such folder, and the hub does not give it.
    """
    folder = beside / Path(source).expanduser()
    if folder.is_dir():
        return folder
    name, revision = _hub_name(source, folder, option)
    from huggingface_hub import snapshot_download

    with _told(source, name, revision, option):
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(wanted)))


def require(source: str, wanted: Sequence[str], option: str) -> None:
    """Asks for the model without fetching it: it must lie in a folder or in the hub's cache, or the hub must know it;
    whether the hub gives it to this user is not tried.

    Raises:
        ModelError: as ``locate``, and for a folder that lacks one of the files without a pattern.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        if missing := [file for file in wanted if "*" not in file and not (folder / file).is_file()]:
            raise ModelError(f"{folder} has no {missing[0]}: give {option} another folder, or complete this one")
        return
    name, revision = _hub_name(source, folder, option)
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    with _told(source, name, revision, option):
        try:
            snapshot_download(name, revision=revision, allow_patterns=list(wanted), local_files_only=True)
        except LocalEntryNotFoundError:
            HfApi().model_info(name, revision=revision)


def _hub_name(source: str, folder: Path, option: str) -> tuple[str, str | None]:
    """Name and revision. Raises ModelError for what cannot be a name."""
    name, _, revision = source.partition("@")
    if not HUB_NAME.fullmatch(name):
        raise ModelError(f"there is no folder {folder}: give {option}=DIR or {option}=OWNER/NAME of the hub")
    return name, revision or None


@contextmanager
def _told(source: str, name: str, revision: str | None, option: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # no network, no such name, no right to it: the hub's client has an exception for each
        fetch = f"hf download {name}{f' --revision {revision}' if revision else ''} --local-dir DIR"
        raise ModelError(
            f"there is no folder {source}, and the Hugging Face hub does not give it ({first_line(error)}): "
            f"where there is a network run `{fetch}`, then give {option}=DIR"
        ) from error


def fingerprint(folders: Sequence[tuple[Path, Sequence[str]]]) -> str:
    """64 hex digits of the wanted files of each folder, by relative name and content."""
    total = hashlib.sha256()
    for folder, wanted in folders:
        for file in sorted(file for pattern in wanted for file in folder.glob(pattern)):
            total.update(f"{file.relative_to(folder).as_posix()} {file_sha256(file)}\n".encode())
    return total.hexdigest()
