"""Random selection: the control that every method must beat.

Uniform over the train split, without replacement; no paper, nothing to re-implement.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from d3s2bench import Budget, Context, MaskIndex, Selection


@dataclass(frozen=True)
class Random:
    """Draws with numpy's default generator, from the stage's seed alone."""

    deterministic: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ()

    def select(self, index: MaskIndex, budget: Budget, context: Context) -> Selection:
        """``(K,) int64`` indices in the order of the draw; no scores."""
        draw = np.random.default_rng(context.seed)
        return Selection(draw.choice(len(index), size=budget.images, replace=False))
