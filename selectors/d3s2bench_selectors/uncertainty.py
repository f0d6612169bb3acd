"""Selection by what the teacher is unsure of: ``entropy``, ``margin`` and ``el2n``.

Re-implementation of scores for classification, with p the teacher's softmax at a pixel and the mean over pixels as an
image's score (over all of them: an image has no mask where entropy and margin are at home, which is active learning):

- ``entropy``: ``−Σ_c p_c log p_c``, in nats, highest first. Settles, "Active Learning Literature Survey", 2009, 3.1.
- ``margin``: ``p_1 − p_2``, the two largest, lowest first. Same section; Scheffer et al. 2001.
- ``el2n``: ``‖p − onehot(y)‖₂`` over labelled pixels, highest first. Paul et al., "Deep Learning on a Data Diet:
  Finding Important Examples Early in Training", NeurIPS 2021, section 2. The paper averages over some ten networks,
  each a few epochs into its training; ours reads the one teacher, fully trained on these very images.

The defaults take the most uncertain images. DeepCore, where a small score means uncertain, sorts it in descending order
unless classes are balanced, and so keeps the most certain: ``order`` of ours can say so. Ties: the lowest index.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from d3s2bench import IGNORE, Budget, ConfigError, Context, Mask, MaskIndex, ModelError, Selection
from d3s2bench_selectors.budgets import check_budget

if TYPE_CHECKING:
    from torch import Tensor

ORDERS = ("high", "low")


@dataclass(frozen=True)
class _Scored(ABC):
    """What the three share: ``order`` says which scores come first."""

    order: str = "high"

    deterministic: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("teacher",)

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            name = type(self).__name__.lower()
            raise ConfigError(f"selector {name}: order is '{self.order}': give one of {', '.join(ORDERS)}")

    @abstractmethod
    def score(self, logits: Tensor, mask: Callable[[], Mask]) -> Tensor:
        """``() float64`` of one image from its logits ``(C, H, W)``; the mask is read when it is asked for."""

    def select(self, index: MaskIndex, budget: Budget, context: Context) -> Selection:
        """``(K,) int64`` images with their scores ``(K,) float64``; a score that is NaN goes last, at 0."""
        from d3s2bench_selectors.teacher_features import per_logits

        check_budget(index, budget)
        train = context.dataset.split("train")
        scores = per_logits(context, lambda logits, i: self.score(logits, partial(train.mask, i)))
        indices = np.argsort(-scores if self.order == "high" else scores, kind="stable")[: budget.images]
        return Selection(indices, np.nan_to_num(scores[indices], nan=0.0))


@dataclass(frozen=True)
class Entropy(_Scored):
    """Reads photographs and the teacher; no mask, no seed."""

    def score(self, logits: Tensor, mask: Callable[[], Mask]) -> Tensor:
        return mean_entropy(logits)


@dataclass(frozen=True)
class Margin(_Scored):
    """Reads photographs and the teacher; no mask, no seed."""

    order: str = "low"

    def score(self, logits: Tensor, mask: Callable[[], Mask]) -> Tensor:
        return mean_margin(logits)


@dataclass(frozen=True)
class El2n(_Scored):
    """Reads photographs, masks and the teacher; no seed. Images without a labelled pixel come last."""

    def score(self, logits: Tensor, mask: Callable[[], Mask]) -> Tensor:
        return mean_error(logits, mask())


def mean_entropy(logits: Tensor) -> Tensor:
    """``() float64`` from ``(C, H, W)``."""
    import torch

    log_p: Tensor = logits.log_softmax(0)
    return -(log_p.exp() * log_p).sum(0).mean(dtype=torch.float64)


def mean_margin(logits: Tensor) -> Tensor:
    """``() float64`` from ``(C, H, W)``. Raises ModelError for a single class."""
    import torch

    if len(logits) < 2:
        raise ModelError("selector margin compares the two likeliest classes, but the teacher knows one: take entropy")
    top: Tensor = logits.softmax(0).topk(2, dim=0).values
    return (top[0] - top[1]).mean(dtype=torch.float64)


def mean_error(logits: Tensor, mask: Mask) -> Tensor:
    """``() float64`` from ``(C, H, W)`` and ``(H, W) uint8``; NaN without a labelled pixel."""
    import torch

    labels = torch.from_numpy(mask.astype(np.int64)).to(logits.device)
    error: Tensor = logits[:, labels != IGNORE].softmax(0)
    error.scatter_add_(0, labels[labels != IGNORE][None], torch.full_like(error[:1], -1))
    return error.square().sum(0).sqrt().mean(dtype=torch.float64)
