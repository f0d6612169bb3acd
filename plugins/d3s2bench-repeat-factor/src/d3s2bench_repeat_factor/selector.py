"""Repeat-factor sampling: Gupta, Dollár & Girshick, "LVIS: A Dataset for Large Vocabulary Instance Segmentation", CVPR
2019, section 5 (Mahajan et al. 2018 for words).

Re-implementation: f_c is the share of the images that show class c; its repeat factor is max(1, √(t / f_c)), that of an
image the largest of its classes. Ours: LVIS repeats images in an epoch; a distilled set holds each once, so images are
drawn without replacement with probabilities in proportion to their factors (Efraimidis & Spirakis 2006: the largest
u^(1/w) for u uniform).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from d3s2bench import Budget, ConfigError, Context, MaskIndex, Selection
from numpy.typing import NDArray


@dataclass(frozen=True)
class RepeatFactor:
    """Draws images in proportion to their repeat factors.

    Attributes:
        threshold: t, the share of the images below which a class counts as rare. LVIS, with 1,200 classes, takes 0.001.
    """

    threshold: float = 0.1

    deterministic: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise ConfigError(f"selector repeat-factor: threshold is {self.threshold:g}, must be above 0 and at most 1")

    def select(self, index: MaskIndex, budget: Budget, context: Context) -> Selection:
        """``(K,) int64``, and the factor of each as its score."""
        factors = repeat_factors(index, self.threshold)
        keys = np.log(np.random.default_rng(context.seed).random(len(index))) / factors
        chosen = np.argsort(-keys, kind="stable")[: budget.images]
        return Selection(chosen, factors[chosen])


def repeat_factors(index: MaskIndex, threshold: float) -> NDArray[np.float64]:
    """``(N,) float64``, at least 1."""
    shown = index.counts > 0
    frequency = np.maximum(shown.mean(axis=0), 1 / len(index))
    of_class = np.maximum(1, np.sqrt(threshold / frequency))
    factors: NDArray[np.float64] = np.where(shown, of_class, 1).max(axis=1)
    return factors
