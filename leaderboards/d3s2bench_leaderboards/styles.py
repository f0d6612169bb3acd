"""Which of a fixed number of looks a method has: the same in the figures of every dataset and study."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import count

from d3s2bench_leaderboards.columns import Method
from d3s2bench_leaderboards.rows import bare_method

KNOWN = (
    "random+real",
    "balanced+real+soft",
    "balanced+guided+soft",
    "balanced+guided",
    "balanced+layout",
    "balanced+real",
    "full+real",
    "random+guided",
    "random+layout",
)
"""Each of these has the style of its place. New ones go below: those of published figures stay."""


def styles(methods: Mapping[Method, str], looks: int) -> dict[Method, int]:
    """No two of the methods, given with their names, have the same style; below ``looks`` as long as that lasts.

    A method that is not known has one of the styles after the known ones, by its name; one whose style is taken, by
    the same method with other options or by another name, has the first that is free.
    """
    found: dict[Method, int] = {}
    for method in sorted(methods, key=lambda method: (_plain(method) not in KNOWN, methods[method])):
        found[method] = next(style for style in _wanted(_plain(method), looks) if style not in found.values())
    return {method: found[method] for method in methods}


def _plain(method: Method) -> str:
    return bare_method(method.selector, method.synth, method.labels)


def _wanted(name: str, looks: int) -> Iterator[int]:
    own = [KNOWN.index(name)] if name in KNOWN else _turned(range(len(KNOWN), looks), name)
    yield from (style for style in own if style < looks)
    yield from range(len(KNOWN), looks)
    yield from count()


def _turned(places: Sequence[int], name: str) -> Sequence[int]:
    start = zlib.crc32(name.encode(errors="replace")) % max(1, len(places))
    return [*places[start:], *places[:start]]
