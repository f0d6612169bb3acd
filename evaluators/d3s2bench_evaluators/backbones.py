"""Pretrained encoders: a folder of transformers, or a name on the Hugging Face hub. Only safetensors are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from d3s2bench import ConfigError, ModelError, first_line, pretrained_folder, pretrained_sha256, require_weights

FILES = ("config.json", "model.safetensors", "model-*.safetensors", "model.safetensors.index.json")
"""All that is read of a backbone."""
NEW = ("hidden_states_norms.", "swin.layernorm.")
"""What may be missing: the norms behind each stage, which a classifier has none of, and Swin's last, which is not used.
"""


def identify(source: str, expected: str | None = None) -> str:
    """SHA-256 over names and contents of a backbone's files; one on the hub is downloaded when it is not in the cache.

    Imports no torch.

    Raises:
        ModelError: there is no such backbone, or its digest is not the expected one.
    """
    return pretrained_sha256(_folder(source), FILES, f"backbone '{source}'", expected)


def load_backbone(encoder: Any, source: str, sha256: str | None) -> None:
    """Gives an encoder of transformers the weights of a backbone of its configuration.

    Raises:
        ConfigError: no digest is given: without it the record would not tell which weights were trained.
        ModelError: there is no such backbone, its digest is another, or it does not fit the encoder.
    """
    folder = _folder(source)
    found = pretrained_sha256(folder, FILES, f"backbone '{source}'", sha256)
    if not sha256:
        raise ConfigError(f"protocol.backbone_sha256 is not given: add --set protocol.backbone_sha256={found}")
    _check_kind(folder, encoder.config.model_type, source)
    try:
        loaded, about = type(encoder).from_pretrained(
            folder, config=encoder.config, output_loading_info=True, local_files_only=True, use_safetensors=True
        )
        require_weights(about, unused=NEW)
    except Exception as error:  # a file that is torn, sizes that differ: transformers has an exception for each
        raise _unusable(source, first_line(error)) from error
    encoder.load_state_dict(loaded.state_dict())


def _check_kind(folder: Path, wanted: str, source: str) -> None:
    found = json.loads((folder / "config.json").read_text()).get("model_type")
    if found != wanted:
        raise _unusable(source, f"it is a '{found}', the encoder is a '{wanted}'")


def _folder(source: str) -> Path:
    """Where the backbone's files are."""
    try:
        return pretrained_folder(source, FILES)
    except ModelError as error:
        raise _unusable(source, str(error)) from error


def _unusable(source: str, reason: str) -> ModelError:
    return ModelError(
        f"no backbone '{source}' can be used ({reason}): give protocol.backbone a folder with config.json and "
        "model.safetensors, a name on the Hugging Face hub that can be downloaded or is in the cache, or null"
    )
