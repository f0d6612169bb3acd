"""Networks of others: a folder, or a name on the Hugging Face hub; known by the files that are read of it.

Imports no torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from d3s2bench.errors import ModelError, first_line
from d3s2bench.files import file_sha256


def pretrained_folder(source: str, files: Sequence[str]) -> Path:
    """Where ``files`` (patterns) of a pretrained network are. One on the hub is downloaded when it is not in the cache;
    of one that lies there in part, the same commit is completed.

    Raises:
        ModelError: neither such a folder nor such a name, or no ``config.json`` and ``model*.safetensors`` there; the
            text is the reason alone.
    """
    folder = Path(source).expanduser()
    if not folder.is_dir():
        try:
            folder = _snapshot(source, list(files))
        except Exception as error:  # no such name, no network, no right: the hub's errors have no common base
            raise ModelError(f"no such folder, and {first_line(error)}") from error
    if not (folder / "config.json").is_file() or not any(folder.glob("model*.safetensors")):
        raise ModelError(f"{folder} does not hold config.json and model.safetensors")
    return folder


def pretrained_sha256(folder: Path, files: Sequence[str], what: str = "", expected: str | None = None) -> str:
    """64 hex digits over names and contents of ``files`` (patterns), whatever else the folder holds.

    Raises:
        ModelError: they are not the ``expected`` ones; ``what`` says in the message what they are of.
    """
    total = hashlib.sha256()
    for file in sorted({file for pattern in files for file in folder.glob(pattern)}):
        total.update(f"{file.name} {file_sha256(file)}\n".encode())
    found = total.hexdigest()
    if expected and found != expected:
        raise ModelError(f"{what or folder} has SHA-256 {found[:12]}…, not {expected[:12]}…: its files have changed")
    return found


def require_weights(about: Mapping[str, Any], unused: tuple[str, ...] = ()) -> None:
    """Whether a network's files hold all its weights: those that they lack are random, and only a warning tells.

    Args:
        about: what ``from_pretrained`` gives with ``output_loading_info=True``.
        unused: how names begin that may be missing.

    Raises:
        ModelError: weights are missing; the text is the reason alone.
    """
    if missing := sorted(key for key in about["missing_keys"] if not key.startswith(unused)):
        raise ModelError(f"{len(missing)} of its weights are missing, {missing[0]} first")


def _snapshot(name: str, files: list[str]) -> Path:
    """The hub's files in the local cache. Other programs fetch files one by one, so that a cached commit may lack some:
    these are fetched where there is a network. Without one, or when all are there, the cache is what is read."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    cached: str | None
    try:
        cached = snapshot_download(name, allow_patterns=files, local_files_only=True)
    except LocalEntryNotFoundError as error:  # never seen here; or known to be incomplete, and then it says where
        cached = getattr(error, "snapshot_path", None)
    commit = Path(cached).name if cached else None
    return Path(snapshot_download(name, revision=commit, allow_patterns=files))
