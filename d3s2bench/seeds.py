"""Seeds by axis: repetition r gives one independent seed to selection, to each synthesised sample and to training.

The training seed does not depend on the method, so methods are compared pairwise on common random numbers.
"""

from __future__ import annotations

import hashlib


def derive_seed(axis: str, *parts: int | str) -> int:
    """A seed in ``[0, 2**63)`` that depends on the axis and the parts and on nothing else."""
    text = "/".join([axis, *map(str, parts)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
