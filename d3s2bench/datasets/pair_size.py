"""A mask has the size of its image."""

from __future__ import annotations

from d3s2bench.errors import DatasetError
from d3s2bench.values import Mask


def of_size(mask: Mask, size: tuple[int, int], place: object) -> Mask:
    """The mask, when it is of the image's ``size`` (width, height). Raises DatasetError that names ``place``."""
    check_size((mask.shape[1], mask.shape[0]), size, place)
    return mask


def check_size(mask: tuple[int, int], image: tuple[int, int], place: object) -> None:
    """Both are width and height. Raises DatasetError that names ``place``, the mask, when they differ."""
    if mask != image:
        found, wanted = f"{mask[0]}×{mask[1]}", f"{image[0]}×{image[1]}"
        raise DatasetError(f"{place} is {found}, but its image is {wanted}: they must be equal")
