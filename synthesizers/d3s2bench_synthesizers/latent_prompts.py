"""Prompts from the classes of a mask, as tokens that know which class each of them names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from d3s2bench import ConfigError
from d3s2bench_synthesizers.latent_options import SLOT

OPEN = -1
"""The class of tokens that name none."""
NAMELESS = ("background", "void", "unlabelled")
Named = list[tuple[int, int]]
"""Tokens, each with the class it names."""


def words(name: str) -> str:
    """How a class is called in a prompt; empty for what is no class of things or stuff.

    COCO-Stuff's ``sky-other`` is sky, its ``wall-brick`` brick wall: the names that FreestyleNet was trained with.
    """
    name = re.sub(r"(-(other|stuff|merged))+$", "", name.lower().split(",")[0].strip())
    name = re.sub(r"^(ceiling|floor|wall|window)-(\w+)$", r"\2 \1", name)
    name = " ".join(re.sub(r"[-_]", " ", name).split())
    return "" if name in NAMELESS else name


@dataclass(frozen=True)
class Tokens:
    """What the text encoder reads: ``ids (B, L) int64``, and ``classes (B, L) int64``: what each token names, or
    ``OPEN``."""

    ids: Tensor
    classes: Tensor

    def below(self, other: Tokens) -> Tokens:
        """These rows after those of another."""
        return Tokens(torch.cat([other.ids, self.ids]), torch.cat([other.classes, self.classes]))

    def to(self, device: Any) -> Tokens:
        return Tokens(self.ids.to(device), self.classes.to(device))


@dataclass(frozen=True)
class Prompts:
    """Writes prompts for masks.

    Classes stand in the order of their ids. Where they take more tokens than there is room for, the largest are named.

    Attributes:
        tokenizer: of CLIP's kind.
        length: how many tokens the text encoder reads.
        names: what each class is called; the empty ones are not named.
        template: the prompt, with ``<classes>`` where they stand.
        joint: what stands between two classes.
    """

    tokenizer: Any
    length: int
    names: tuple[str, ...]
    template: str = SLOT
    joint: str = ", "

    def __post_init__(self) -> None:
        if self.template.count(SLOT) != 1:
            raise ConfigError(f"template '{self.template}' must hold {SLOT} once")
        if self._room < 1:
            raise ConfigError(f"template '{self.template}' leaves no room for classes in {self.length} tokens")

    def of(self, masks: Tensor) -> Tokens:
        """The prompt of each mask ``(B, H, W) int64``."""
        return self._padded([self._row(mask) for mask in masks.cpu()])

    def same(self, text: str, rows: int) -> Tokens:
        """One prompt that names no class, for each row; what the encoder has no room for is left out."""
        return self._padded([_open(self._ids(text))] * rows)

    @cached_property
    def _frame(self) -> tuple[Named, Named, Named]:
        """Before the classes, after them, between two of them."""
        before, after = self.template.split(SLOT)
        return _open(self._ids(before)), _open(self._ids(after)), _open(self._ids(self.joint))

    @cached_property
    def _named(self) -> list[Named]:
        return [[(token, c) for token in self._ids(name)] for c, name in enumerate(self.names)]

    @property
    def _room(self) -> int:
        before, after, _ = self._frame
        return self.length - 2 - len(before) - len(after)

    def _row(self, mask: Tensor) -> Named:
        before, after, joint = self._frame
        body: Named = []
        for c in sorted(self._kept(mask)):
            body += (joint if body else []) + self._named[c]
        return before + body + after

    def _kept(self, mask: Tensor) -> list[int]:
        """The classes that are named, largest first."""
        areas = torch.bincount(mask.flatten(), minlength=256)[: len(self.names)]
        room, kept = self._room, list[int]()
        for c in areas.argsort(descending=True, stable=True).tolist():
            cost = len(self._named[c]) + (len(self._frame[2]) if kept else 0)
            if areas[c] and self._named[c] and cost <= room:
                kept.append(c)
                room -= cost
        return kept

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False, verbose=False).input_ids) if text.strip() else []

    def _padded(self, rows: Sequence[Named]) -> Tokens:
        start, end, pad = (getattr(self.tokenizer, f"{what}_token_id") for what in ("bos", "eos", "pad"))
        full = [[(start, OPEN), *row[: self.length - 2], (end, OPEN)] for row in rows]
        full = [row + [(pad, OPEN)] * (self.length - len(row)) for row in full]
        ids, classes = torch.tensor(full).unbind(dim=-1)
        return Tokens(ids, classes)


def _open(ids: Sequence[int]) -> Named:
    return [(token, OPEN) for token in ids]
