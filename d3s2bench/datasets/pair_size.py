"""A mask has the size of its image."""

from __future__ import annotations

from d3s2bench.errors import DatasetError
from d3s2bench.values import Mask


def check_size(mask: Mask, size: tuple[int, int], place: object) -> Mask:
    """The mask, when it is of the image's ``size`` (width, height). Raises DatasetError that names ``place``."""
    if mask.shape[::-1] != size:
        found, wanted = f"{mask.shape[1]}×{mask.shape[0]}", f"{size[0]}×{size[1]}"
        raise DatasetError(f"{place} is {found}, but its image is {wanted}: they must be equal")
    return mask
