"""Which of several images painted for one mask is kept. The teacher says: a judge or a student takes no part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from d3s2bench import Image

Painted = tuple[Image, dict[str, Any]]
"""An image ``(H, W, 3) uint8`` and its provenance: ``seed``, ``losses`` (of guidance, on this image) and others."""


def faithful(losses: Mapping[str, float]) -> float:
    """The less guidance has left to lower, the better."""
    return -sum(losses.values())


def hard(losses: Mapping[str, float]) -> float:
    """The further the teacher reads the image from its mask, the better."""
    return losses["seg"]


KEEP = {"faithful": faithful, "hard": hard}


@dataclass(frozen=True)
class Choice:
    """The best of ``candidates`` images for a mask, by what ``KEEP[keep]`` makes of each one's losses."""

    candidates: int = 1
    keep: str = "faithful"

    def best(self, painted: Sequence[Painted]) -> Painted:
        """One of the candidates, the first of equals; its provenance tells which, and the losses of all."""
        if len(painted) == 1:
            return painted[0]
        scores = [KEEP[self.keep](note["losses"]) for _, note in painted]
        kept = scores.index(max(scores))
        image, note = painted[kept]
        told = [{"seed": other["seed"], "losses": other["losses"]} for _, other in painted]
        return image, note | {"candidate": kept, "candidates": told}
