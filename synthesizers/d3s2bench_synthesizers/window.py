"""Which steps of the sampling are guided."""

from __future__ import annotations

import math

Window = tuple[float, float]
"""Two rising fractions of all steps: where guidance begins and where it ends."""


def guided_steps(steps: int, window: Window) -> range:
    """Those of ``steps`` that lie in the window."""
    # 0.28 · 25 is 7.000000000000001, whose ceiling would be 8
    first, stop = (math.ceil(round(share * steps, 9)) for share in window)
    return range(first, stop)


def holds_a_step(steps: int, window: Window) -> bool:
    """Whether it is a window, and guides anything."""
    return 0 <= window[0] < window[1] <= 1 and len(guided_steps(steps, window)) > 0
