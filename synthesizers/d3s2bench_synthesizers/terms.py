"""What guidance minimises, after the two objectives that the abstract of D3S2 (arXiv 2605.25022) names.

A re-implementation: the paper's formulas are unpublished. Each term is a small frozen object; its ``loss`` gives one
number per image and knows the teacher's outputs, not the teacher. Shapes: image ``(B, 3, H, W)``, logits
``(B, C, H, W)``, features layer → ``(B, D, h, w)``, masks ``(B, H, W) int64`` with 255 = ignore.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from d3s2bench import IGNORE


class Term(Protocol):
    """One objective of guidance."""

    name: ClassVar[str]

    def loss(self, image: Tensor, logits: Tensor, features: Mapping[str, Tensor], masks: Tensor) -> Tensor:
        """``(B,)``, differentiable in the image."""
        ...


@dataclass(frozen=True)
class SegmentationConsistency:
    """Pixel-level alignment: ``weight`` × mean cross-entropy between the teacher's prediction and the mask.

    With ``class_balanced`` the mean is over the classes of the mask first, so that small things count as much as sky.
    """

    weight: float = 1.0
    class_balanced: bool = False
    name: ClassVar[str] = "seg"

    def loss(self, image: Tensor, logits: Tensor, features: Mapping[str, Tensor], masks: Tensor) -> Tensor:
        """See :class:`Term`."""
        entropy = F.cross_entropy(logits, masks, ignore_index=IGNORE, reduction="none")
        return self.weight * (entropy * self._shares(masks, logits.shape[1])).sum(dim=(1, 2))

    def _shares(self, masks: Tensor, num_classes: int) -> Tensor:
        """``(B, H, W)``: what each pixel counts, 1 in total per image."""
        if self.class_balanced:
            members = class_masks(masks, num_classes, masks.shape[1:])
        else:
            members = (masks < num_classes).float()[:, None]
        sizes = members.sum(dim=(2, 3), keepdim=True)
        present = (sizes > 0).sum(dim=1, keepdim=True).clamp(min=1)
        return (members / (sizes.clamp(min=1) * present)).sum(dim=1)


@dataclass(frozen=True)
class ClassFeatureMatching:
    """Per-class feature statistics: ``weight`` × mean over layers, and over the classes in the mask, of

        ( ‖mean of the class's features - real mean‖² + ‖their std - real std‖² ) / (D · v)

    where D is the layer's width and v its mean variance within classes on real images: so layers are comparable.

    Attributes:
        reference: layer → mean and std per class over real pixels, each ``(C, D)``, NaN for absent classes.
        min_pixels: classes with fewer pixels than this, at the layer's resolution, are left out.
    """

    reference: Mapping[str, tuple[Tensor, Tensor]]
    weight: float = 1.0
    min_pixels: int = 4
    name: ClassVar[str] = "feat"

    def loss(self, image: Tensor, logits: Tensor, features: Mapping[str, Tensor], masks: Tensor) -> Tensor:
        """See :class:`Term`."""
        layers = [self._layer(features[layer], masks, *real) for layer, real in self.reference.items()]
        return self.weight * torch.stack(layers).mean(dim=0)

    def _layer(self, features: Tensor, masks: Tensor, mean: Tensor, std: Tensor) -> Tensor:
        """``(B,)``: the distance of one layer."""
        known = mean.isfinite().all(dim=1) & std.isfinite().all(dim=1)
        real_mean, real_std = mean.nan_to_num(0), std.nan_to_num(0)
        members = class_masks(masks, len(mean), features.shape[2:])
        sizes = members.sum(dim=(2, 3))
        counted = ((sizes >= self.min_pixels) & known).to(features.dtype)
        made_mean, made_std = class_statistics(features, members)
        distance = (made_mean - real_mean).square().mean(dim=2) + (made_std - real_std).square().mean(dim=2)
        variance = real_std[known].square().mean().clamp(min=1e-12)
        return (distance * counted).sum(dim=1) / (counted.sum(dim=1).clamp(min=1) * variance)


def class_masks(masks: Tensor, num_classes: int, size: torch.Size | tuple[int, int]) -> Tensor:
    """``(B, C, h, w) float32``: 1 where the mask, resized with nearest neighbour, is of the class."""
    resized = F.interpolate(masks[:, None].float(), size=tuple(size), mode="nearest-exact").long()
    return (resized == torch.arange(num_classes, device=masks.device)[:, None, None]).float()


def class_statistics(features: Tensor, members: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and std of the features ``(B, D, h, w)`` over the pixels of each class, each ``(B, C, D)``; 0 for none."""
    members = members.to(features.dtype)
    sizes = members.sum(dim=(2, 3)).clamp(min=1)[:, :, None]
    mean = torch.einsum("bchw,bdhw->bcd", members, features) / sizes
    square = torch.einsum("bchw,bdhw->bcd", members, features.square()) / sizes
    # The floor keeps the square root's slope finite where a feature does not vary.
    return mean, (square - mean.square()).clamp(min=1e-8).sqrt()
