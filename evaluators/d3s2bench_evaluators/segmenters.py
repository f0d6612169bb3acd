"""The field's networks, as transformers builds them, with the face of the small ones.

Images are ``(B, 3, H, W)`` in 0…1, logits ``(B, C, H, W)`` at their size. ``blocks`` are the encoder's stages, from
shallow to deep, which is where a teacher is tapped; they end in no BatchNorm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from d3s2bench import IGNORE, ConfigError, Json
from d3s2bench_evaluators import recipes
from d3s2bench_evaluators.losses import cross_entropy, labelled
from d3s2bench_evaluators.networks import Network, resize
from d3s2bench_evaluators.protocol import network_part

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STAGES = ("stage1", "stage2", "stage3", "stage4")
TINY = 1e-6
"""The least score whose logarithm is taken."""


class Segmenter(Network):
    """A network with an encoder of four stages."""

    per_pixel = True
    """Whether it learns from its logits, which is where soft labels come in."""
    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, classes: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.model: Any = model
        self.classes = classes
        self.stages = nn.ModuleList(nn.Identity() for _ in STAGES)
        self._widths = tuple(widths)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD)[:, None, None], persistent=False)

    @property
    def blocks(self) -> dict[str, nn.Module]:
        return dict(zip(STAGES, self.stages, strict=True))

    @property
    def widths(self) -> dict[str, int]:
        return dict(zip(STAGES, self._widths, strict=True))

    @property
    def pooled_layer(self) -> str:
        return STAGES[-1]

    encoder_name: ClassVar[str]
    """The part that a pretrained backbone gives its weights to."""

    @property
    def encoder(self) -> Any:
        return self.get_submodule(self.encoder_name)

    def loss(self, images: Tensor, masks: Tensor) -> Tensor:
        """The loss it was published with, of masks ``(B, H, W) int64``; a mean over its ``amount``."""
        return cross_entropy(self(images), masks)

    def amount(self, masks: Tensor) -> Tensor:
        """How many terms the loss is a mean over."""
        return labelled(masks)

    def standardised(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std

    def shown(self, features: Sequence[Tensor]) -> list[Tensor]:
        """The encoder's features, each passed through the block that can be tapped."""
        return [stage(feature) for stage, feature in zip(self.stages, features, strict=True)]


class SegFormer(Segmenter):
    """Logits at 1/4 of the size, brought up bilinearly."""

    encoder_name = "model.segformer"

    def forward(self, images: Tensor) -> Tensor:
        seen = self.encoder(self.standardised(images), output_hidden_states=True, return_dict=True)
        return resize(self.model.decode_head(self.shown(seen.hidden_states)), images.shape[-2:])


class UPerNet(Segmenter):
    """With its auxiliary head on the third stage, which learns from hard labels only.

    transformers leaves out the dropout before the classifiers.
    """

    encoder_name = "model.backbone"

    def forward(self, images: Tensor) -> Tensor:
        return self._logits(images)[0]

    def loss(self, images: Tensor, masks: Tensor) -> Tensor:
        logits, auxiliary = self._logits(images, auxiliary=True)
        weight = float(self.model.config.auxiliary_loss_weight)
        return cross_entropy(logits, masks) + weight * cross_entropy(auxiliary, masks)

    def _logits(self, images: Tensor, auxiliary: bool = False) -> list[Tensor]:
        features = self.shown(self.encoder(self.standardised(images)).feature_maps)
        heads = [self.model.decode_head, *([self.model.auxiliary_head] if auxiliary else [])]
        return [resize(head(features), images.shape[-2:]) for head in heads]


class Mask2Former(Segmenter):
    """Predicts masks with a class each. A class's score in a pixel is ``Σ_queries P(class) · P(pixel in mask)``.

    Its logits are the scores' logarithms, so that their softmax is the scores' share.
    """

    per_pixel = False

    encoder_name = "model.model.pixel_level_module.encoder"

    def __init__(self, model: nn.Module, classes: int, widths: Sequence[int]) -> None:
        super().__init__(model, classes, widths)
        # transformers divides the segments of all processes by their number twice, and so multiplies the losses by it
        self.model.criterion.get_num_masks = _own_segments

    def forward(self, images: Tensor) -> Tensor:
        return self.scores(images).clamp(min=TINY).log()

    def scores(self, images: Tensor) -> Tensor:
        seen = self._predict(images)
        masks = resize(seen.masks_queries_logits.float(), images.shape[-2:]).sigmoid()
        classes = seen.class_queries_logits.float().softmax(-1)[..., :-1]
        return torch.einsum("bqc,bqhw->bchw", classes, masks)

    def loss(self, images: Tensor, masks: Tensor) -> Tensor:
        """Class, mask and Dice loss of the queries that the Hungarian algorithm assigns, after every decoder layer."""
        seen, present = self._predict(images), [_classes(mask) for mask in masks]
        with torch.autocast(images.device.type, enabled=False):
            losses = self.model.get_loss_dict(
                seen.masks_queries_logits.float(),
                seen.class_queries_logits.float(),
                [_segments(mask, classes) for mask, classes in zip(masks, present, strict=True)],
                present,
                [{name: value.float() for name, value in layer.items()} for layer in seen.auxiliary_logits],
            )
        total: Tensor = self.model.get_loss(losses)
        return total

    def amount(self, masks: Tensor) -> Tensor:
        """Segments: classes that an image shows.

        The mask and Dice losses are means over them. The class loss is one over the queries, in which those without a
        segment weigh ``no_object_weight``: parts of a batch add up to it where they show as many segments each, and
        come near it elsewhere.
        """
        return torch.tensor(sum(len(_classes(mask)) for mask in masks), device=masks.device).clamp(min=1)

    def _predict(self, images: Tensor) -> Any:
        seen = self.model(self.standardised(images), output_hidden_states=True, output_auxiliary_logits=True)
        self.shown(seen.encoder_hidden_states)
        return seen


def _classes(mask: Tensor) -> Tensor:
    """Those that the mask shows, ascending."""
    found: Tensor = torch.unique(mask)
    return found[found != IGNORE]


def _own_segments(labels: Sequence[Tensor], device: torch.device) -> Tensor:
    """How many segments the images of this process show: what ``amount`` says of them."""
    return torch.tensor(float(sum(map(len, labels))), device=device).clamp(min=1)


def _segments(mask: Tensor, classes: Tensor) -> Tensor:
    """``(n, H, W) float32``: 1 where the mask shows the class; ignored pixels are in none."""
    return (mask == classes[:, None, None]).float()


def build_segmenter(arch: str, classes: int, protocol: Json) -> Segmenter:
    """The network at random initialisation; under ``torch.device("meta")`` without memory.

    Raises:
        UnknownNameError: a key of ``encoder`` or ``decoder`` that is not known.
        ConfigError: values that make no network.
    """
    encoder, decoder = (network_part(arch, protocol, part) for part in ("encoder", "decoder"))
    build = {"segformer": _segformer, "mask2former": _mask2former}.get(recipes.ARCHITECTURES[arch][0], _upernet)
    try:
        return build(encoder, {**decoder, "num_labels": classes})
    except Exception as error:  # transformers has an exception for each wrong value
        reason = " ".join(str(error).split())
        raise ConfigError(f"protocol.encoder and protocol.decoder make no {arch} ({reason}): correct them") from error


def _segformer(encoder: dict[str, Any], decoder: dict[str, Any]) -> Segmenter:
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    model = SegformerForSemanticSegmentation(SegformerConfig(**encoder, **decoder))
    return SegFormer(model, decoder["num_labels"], encoder["hidden_sizes"])


def _upernet(encoder: dict[str, Any], decoder: dict[str, Any]) -> Segmenter:
    from transformers import UperNetConfig, UperNetForSemanticSegmentation

    third = encoder["hidden_sizes"][2] if "hidden_sizes" in encoder else 4 * encoder["embed_dim"]
    auxiliary = {"use_auxiliary_head": True, "auxiliary_in_channels": third}
    config = UperNetConfig(backbone_config=_backbone(encoder), **auxiliary, **decoder)
    model: Any = UperNetForSemanticSegmentation(config)
    return UPerNet(model, decoder["num_labels"], model.backbone.channels)


def _mask2former(encoder: dict[str, Any], decoder: dict[str, Any]) -> Segmenter:
    from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation

    config = Mask2FormerConfig(backbone_config=_backbone(encoder), use_auxiliary_loss=True, **decoder)
    model: Any = Mask2FormerForUniversalSegmentation(config)
    return Mask2Former(model, decoder["num_labels"], model.model.pixel_level_module.encoder.channels)


def _backbone(encoder: dict[str, Any]) -> Any:
    from transformers import ConvNextConfig, SwinConfig

    kind = SwinConfig if "embed_dim" in encoder else ConvNextConfig
    return kind(**encoder, out_features=list(STAGES))
