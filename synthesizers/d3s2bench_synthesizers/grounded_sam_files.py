"""The networks of Grounded SAM 2 as files: a folder, or a name on the Hugging Face hub, and their identity.

Imports no torch.
"""

from __future__ import annotations

from d3s2bench import ModelError, pretrained_folder, pretrained_sha256

FILES = ("*.json", "vocab.txt", "model.safetensors", "model-*.safetensors")
"""All that is read of a detector or a segmenter: no pickles, no code."""
KINDS = {"detector": "GroundingDinoForObjectDetection", "segmenter": "Sam2Model"}
"""Option → the class of transformers that it is loaded as."""


def identify(option: str, name: str, expected: str = "") -> str:
    """SHA-256 of the files. A name means the copy in the local cache; what is missing there is downloaded.

    Raises:
        ModelError: there is no such network, or its digest is not the expected one.
    """
    try:
        folder = pretrained_folder(name, FILES)
    except ModelError as error:
        raise unusable(KINDS[option], name, str(error)) from error
    return pretrained_sha256(folder, FILES, f"{option} '{name}'", expected)


def unusable(kind: str, name: str, reason: str) -> ModelError:
    """The error for what cannot be loaded as a class of transformers."""
    return ModelError(
        f"'{name}' cannot be loaded as {kind} ({reason}): give a folder with its safetensors and "
        "configuration, or a name on the Hugging Face hub that can be downloaded or is in the cache (HF_HOME)"
    )
