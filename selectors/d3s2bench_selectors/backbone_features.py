"""Features from a vision backbone of ``transformers`` (ConvNeXt V2, Swin, DINOv2, ViT, ...): no teacher, no label.

An image's feature is the mean over all positions of the last hidden state; positions are cells of the feature map or
tokens, class token among them. Images are resized, cropped and normalised by the backbone's own image processor where
its folder has one (``preprocessor_config.json``); else they are resized to the configuration's ``image_size`` (a
square; 224 where it names none), whatever their shape, and normalised by ImageNet's mean and standard deviation.

Only safetensors are read and no code that comes with a model is run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d3s2bench import Context, Image, ModelError, first_line, pretrained_folder, pretrained_sha256, require_weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

PROCESSOR = "preprocessor_config.json"
FILES = ("config.json", PROCESSOR, "model.safetensors", "model-*.safetensors", "model.safetensors.index.json")
"""All that is read of a backbone."""
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def identify(name: str, expected: str = "") -> str:
    """SHA-256 of the files of a folder, or of a backbone on the Hugging Face hub.

    A name means the copy in the local cache; what is missing there is downloaded. Loads no model, imports no torch.

    Raises:
        ModelError: there is no such backbone, or its digest is not the expected one.
    """
    return pretrained_sha256(_folder(name), FILES, f"backbone '{name}'", expected)


def backbone_features(name: str, context: Context) -> NDArray[np.float64]:
    """``(N, D) float64``, a row for each image of the train split. Raises ModelError for what is no backbone, or
    gives features that are no numbers."""
    import numpy as np

    from d3s2bench_selectors.teacher_features import finite, rows

    folder = _folder(name)
    try:
        embed = _embedding(folder, context.device)
        embed([np.zeros((32, 32, 3), np.uint8)])  # what takes no images fails before any photograph is read
    except Exception as error:  # a foreign model fails in as many ways as there are models
        raise _unusable(name, first_line(error)) from error
    train = context.dataset.split("train")
    return finite(rows(train, context, lambda _, images: embed(images)), train, f"backbone '{name}':")


def _embedding(folder: Path, device: str) -> Callable[[Sequence[Image]], Tensor]:
    """B images of equal size to ``(B, D) float64``."""
    model = _model(folder, device)
    prepare = _processor(folder) or _standard(getattr(model.config, "image_size", None) or 224)

    def embed(images: Sequence[Image]) -> Tensor:
        hidden: Tensor = model(pixel_values=prepare(images).to(device)).last_hidden_state
        return hidden.double().mean((2, 3) if hidden.ndim == 4 else 1)  # (B, D, h, w) or (B, tokens, D)

    return embed


def _folder(name: str) -> Path:
    """Where the backbone's files are."""
    try:
        return pretrained_folder(name, FILES)
    except ModelError as error:
        raise _unusable(name, str(error)) from error


def _model(folder: Path, device: str) -> Any:
    """The network, float32, frozen. Raises ModelError when weights are missing."""
    from transformers import AutoModel

    safe = {"local_files_only": True, "trust_remote_code": False, "use_safetensors": True}
    model, about = AutoModel.from_pretrained(folder, output_loading_info=True, **safe)
    require_weights(about, unused=("pooler",))
    return model.float().eval().requires_grad_(False).to(device)


def _processor(folder: Path) -> Callable[[Sequence[Image]], Tensor] | None:
    """The backbone's own image processor, if it has one: images to ``(B, 3, h, w) float32``."""
    if not (folder / PROCESSOR).is_file():
        return None
    from PIL.Image import fromarray
    from transformers import AutoImageProcessor

    # use_fast=False: Pillow resizes, with torchvision installed or without; numbers are the same
    processor = AutoImageProcessor.from_pretrained(
        folder, use_fast=False, local_files_only=True, trust_remote_code=False
    )

    def prepare(images: Sequence[Image]) -> Tensor:
        pixels: Tensor = processor(images=[fromarray(image) for image in images], return_tensors="pt")["pixel_values"]
        return pixels

    return prepare


def _standard(size: int | Sequence[int]) -> Callable[[Sequence[Image]], Tensor]:
    import numpy as np
    import torch
    from torch.nn.functional import interpolate

    height, width = (size, size) if isinstance(size, int) else size
    mean, std = (torch.tensor(each)[:, None, None] for each in (IMAGENET_MEAN, IMAGENET_STD))

    def prepare(images: Sequence[Image]) -> Tensor:
        pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
        return (interpolate(pixels, (height, width), mode="bilinear", antialias=True) - mean) / std

    return prepare


def _unusable(name: str, reason: str) -> ModelError:
    return ModelError(
        f"no backbone '{name}' can be used ({reason}): give option features a folder with config.json and "
        "model.safetensors, or a name on the Hugging Face hub that can be downloaded or is in the cache (HF_HOME)"
    )
