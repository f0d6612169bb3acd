"""Grounded SAM 2: the pixels of an image that a word names.

Grounding DINO (Liu et al., arXiv 2303.05499) finds boxes for the word, SAM 2 (Ravi et al., arXiv 2408.00714) a mask for
each box; their union is what the word names. Both come from ``transformers``, as folders or by name on the Hugging Face
hub. Only safetensors are read and no code that comes with a model is run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import fromarray
from torch import Tensor
from torch.nn import functional as F

from d3s2bench import Image, ModelError, first_line, pretrained_folder, require_weights
from d3s2bench_synthesizers.grounded_sam_files import FILES, unusable

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BOXES = 16
"""Masks held in memory."""


@dataclass(frozen=True)
class GroundedSam:
    """Both networks on a device; ``prepare`` and ``tokenise`` make what the detector reads of images and words."""

    detector: Any
    segmenter: Any
    prepare: Any
    tokenise: Any
    box_threshold: float
    device: str

    @classmethod
    def load(cls, detector: str, segmenter: str, box_threshold: float, device: str) -> GroundedSam:
        """Raises ModelError for what is no Grounding DINO or no SAM 2."""
        try:
            from transformers import AutoImageProcessor, AutoTokenizer, GroundingDinoForObjectDetection, Sam2Model
        except ImportError as error:
            raise ModelError("Grounded SAM 2 needs transformers 4.56 or later: upgrade it") from error
        return cls(
            _network(GroundingDinoForObjectDetection, detector, device),
            _network(Sam2Model, segmenter, device),
            # use_fast=False: Pillow resizes, with torchvision installed or without
            _loaded(AutoImageProcessor, detector, use_fast=False),
            _loaded(AutoTokenizer, detector),
            box_threshold,
            device,
        )

    @torch.no_grad()
    def segment(self, image: Image, words: Sequence[str]) -> list[NDArray[np.bool_]]:
        """``(H, W) bool`` of ``(H, W, 3) uint8`` for each word: True where its object is."""
        pixels = self.prepare(images=[fromarray(image)], return_tensors="pt")
        seen = cache(partial(self._seen, image))  # by SAM 2, for the first word that has a box; the slowest part
        return [self._filled(self._boxes(pixels, word), image.shape[:2], seen) for word in words]

    def _seen(self, image: Image) -> tuple[Any, Tensor]:
        """What SAM 2 makes of an image, whatever it is asked, and what turns shares of the sides into its pixels."""
        pixels, scale = self._square(image)
        return self.segmenter.get_image_embeddings(pixels), scale

    def _filled(
        self, boxes: Tensor, size: tuple[int, ...], seen: Callable[[], tuple[Any, Tensor]]
    ) -> NDArray[np.bool_]:
        """The objects in the boxes. Without a box, the image is not looked at."""
        found = torch.zeros(size, dtype=torch.bool, device=self.device)
        for first in range(0, len(boxes), BOXES):
            embeddings, scale = seen()
            part = (boxes * scale)[None, first : first + BOXES]
            asked = {"image_embeddings": embeddings, "input_boxes": part, "multimask_output": False}
            found |= union(self.segmenter(**asked).pred_masks[0, :, 0], found.shape)
        named: NDArray[np.bool_] = found.cpu().numpy()
        return named

    def _boxes(self, pixels: Mapping[str, Tensor], word: str) -> Tensor:
        words = self.tokenise(prompt(word), return_tensors="pt")
        seen = self.detector(**{name: value.to(self.device) for name, value in {**pixels, **words}.items()})
        return confident_boxes(seen.logits[0], seen.pred_boxes[0], self.box_threshold)

    def _square(self, image: Image) -> tuple[Tensor, Tensor]:
        """The image as SAM 2 wants it, ``(1, 3, S, S)``, and what turns shares of the sides into its pixels."""
        side = self.segmenter.config.prompt_encoder_config.image_size
        height, width = (side, side) if isinstance(side, int) else side
        pixels = torch.from_numpy(image.copy()).to(self.device).permute(2, 0, 1)[None].float() / 255
        mean, std = (torch.tensor(each, device=self.device)[:, None, None] for each in (MEAN, STD))
        resized = F.interpolate(pixels, (height, width), mode="bilinear", antialias=True)
        return (resized - mean) / std, torch.tensor([width, height, width, height], device=self.device)


def prompt(word: str) -> str:
    """A class name as Grounding DINO was trained to read one: lower case, words apart, a full stop."""
    return word.lower().replace("-", " ").replace("_", " ").strip() + "."


def confident_boxes(logits: Tensor, boxes: Tensor, threshold: float) -> Tensor:
    """``(n, 4)``: left, top, right and bottom, in shares of the sides, of those of ``(Q, 4)`` boxes (centre and size)
    whose best word of ``logits (Q, T)`` is more probable than the threshold."""
    kept = boxes[logits.sigmoid().amax(dim=1) > threshold]
    centre, half = kept[:, :2], kept[:, 2:] / 2
    return torch.cat([centre - half, centre + half], dim=1).clamp(0, 1)


def union(logits: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """``(H, W) bool``: where any of the masks ``(n, h, w)``, brought to ``size``, is above 0."""
    return (F.interpolate(logits[:, None], tuple(size), mode="bilinear") > 0).any(dim=0)[0]


def _network(kind: Any, name: str, device: str) -> Any:
    """Frozen, float32."""
    model, about = _loaded(kind, name, output_loading_info=True, use_safetensors=True)
    try:
        require_weights(about)
    except ModelError as error:
        raise unusable(kind.__name__, name, str(error)) from error
    return model.float().eval().requires_grad_(False).to(device)


def _loaded(kind: Any, name: str, **options: Any) -> Any:
    try:
        folder = pretrained_folder(name, FILES)
        return kind.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **options)
    except Exception as error:  # a foreign model fails in as many ways as there are models
        raise unusable(kind.__name__, name, first_line(error)) from error
