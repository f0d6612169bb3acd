"""The colours that pretrained layout-to-image models read classes from, looked up by the classes' names.

A palette is data: ``palettes/*.tsv`` holds colour, names and words of each entry, and says where they come from.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import torch
from torch import Tensor

from d3s2bench import ModelError

RGB = tuple[int, int, int]
BLACK: RGB = (0, 0, 0)


@dataclass(frozen=True)
class Entry:
    """What a palette says of a class."""

    colour: RGB
    words: str
    """What a text encoder that was trained with this palette knows the class as."""


@cache
def entries(palette: str) -> dict[str, Entry]:
    """Plain name → entry, for each name of each entry; the first entry of a name counts."""
    found: dict[str, Entry] = {}
    text = (files(__package__) / "palettes" / f"{palette}.tsv").read_text(encoding="utf-8")
    for line in text.splitlines():
        if not line.startswith("#"):
            rgb, names, *words = line.split("\t")
            red, green, blue = map(int, rgb.split())
            first, *others = names.split("|")
            for name in (first, *others):
                found.setdefault(name, Entry((red, green, blue), words[0] if words else first))
    return found


def plain(name: str) -> str:
    """A class name in the spelling of the tables: ``Traffic_Light`` → traffic light, ``bed `` → bed."""
    return " ".join(re.sub(r"[-_]", " ", name.lower()).split())


def look_up(names: Sequence[str], palette: str, option: str) -> list[Entry]:
    """The entry of each class; of ``building, edifice`` the first name that is known.

    Raises:
        ModelError: classes that the palette has no entry for; ``option`` is the option that renames them.
    """
    table = entries(palette)
    found = [next((table[n] for n in map(plain, [name, *name.split(",")]) if n in table), None) for name in names]
    unknown = [name for name, entry in zip(names, found, strict=True) if entry is None]
    if unknown:
        raise ModelError(
            f"palette '{palette}' has no colour for {', '.join(unknown)}: say which of its classes stands for each, "
            f"--set '{option}=[{unknown[0]}=NAME]' ({unknown[0]}=void leaves it blank)"
        )
    return [entry for entry in found if entry is not None]


def coloured(masks: Tensor, colours: Sequence[RGB]) -> Tensor:
    """Masks ``(B, H, W) int64`` → images ``(B, 3, H, W) float32`` in 0…1; what is ignored is black."""
    table = torch.tensor([*colours, *[BLACK] * (256 - len(colours))], device=masks.device)
    return table[masks].movedim(-1, 1).float() / 255
