"""Networks of others: a folder, or a name on the Hugging Face hub; known by the files that are read of it.

Imports no torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from d3s2bench.errors import ModelError, first_line


def pretrained_folder(source: str, files: Sequence[str]) -> Path:
    """Where ``files`` (patterns) of a pretrained network are. One on the hub is downloaded when it is not in the cache.

    Raises:
        ModelError: neither such a folder nor such a name, or no ``config.json`` and ``model*.safetensors`` there; the
            text is the reason alone.
    """
    folder = Path(source).expanduser()
    if not folder.is_dir():
        try:
            folder = _snapshot(source, files)
        except Exception as error:  # no such name, no network, no right: the hub's errors have no common base
            raise ModelError(f"no such folder, and {first_line(error)}") from error
    if not (folder / "config.json").is_file() or not any(folder.glob("model*.safetensors")):
        raise ModelError(f"{folder} does not hold config.json and model.safetensors")
    return folder


def pretrained_sha256(folder: Path, files: Sequence[str]) -> str:
    """64 hex digits over names and contents of ``files`` (patterns), whatever else the folder holds."""
    total = hashlib.sha256()
    for file in sorted({file for pattern in files for file in folder.glob(pattern)}):
        with file.open("rb") as opened:
            total.update(f"{file.name} {hashlib.file_digest(opened, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def _snapshot(name: str, files: Sequence[str]) -> Path:
    """The hub's files in the local cache, downloaded if they are not there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        cached = Path(snapshot_download(name, allow_patterns=list(files), local_files_only=True))
        if any(cached.glob("model*.safetensors")):
            return cached
    except LocalEntryNotFoundError:
        pass  # never seen here: ask the hub
    return Path(snapshot_download(name, allow_patterns=list(files)))
