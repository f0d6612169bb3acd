"""Painting with integers only: dice, noise, regions, a canvas, light. The same bytes on every machine.

Pixels are at integer coordinates, x to the right and y down. Colours are int32 in 0…255 until :meth:`Canvas.develop`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 96, 64
IGNORE = 255

Ints: TypeAlias = NDArray[np.int32]
Bools: TypeAlias = NDArray[np.bool_]
Colour: TypeAlias = tuple[int, int, int]
Point: TypeAlias = tuple[int, int]
T = TypeVar("T")

_Y = np.arange(HEIGHT, dtype=np.int32)[:, None]
_X = np.arange(WIDTH, dtype=np.int32)[None, :]
_WORD = (1 << 64) - 1
_STEP = 0x9E3779B97F4A7C15
_MIX_1, _MIX_2 = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


# Randomness: splitmix64, a counter-based hash.


def _mix(z: int) -> int:
    z = ((z ^ (z >> 30)) * _MIX_1) & _WORD
    z = ((z ^ (z >> 27)) * _MIX_2) & _WORD
    return z ^ (z >> 31)


def _mix_array(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(_MIX_1)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(_MIX_2)
    return z ^ (z >> np.uint64(31))


class Dice:
    """A stream of random integers that depends on the words it is made from and on nothing else."""

    def __init__(self, *words: object) -> None:
        digest = hashlib.sha256("/".join(map(str, words)).encode()).digest()
        self._state = int.from_bytes(digest[:8], "big")

    def below(self, n: int) -> int:
        """An integer in ``[0, n)``."""
        self._state = (self._state + _STEP) & _WORD
        return (_mix(self._state) >> 32) * n >> 32

    def between(self, low: int, high: int) -> int:
        """An integer in ``[low, high]``."""
        return low + self.below(high - low + 1)

    def chance(self, permille: int) -> bool:
        """True ``permille`` times in 1,000."""
        return self.below(1000) < permille

    def pick(self, options: Sequence[T]) -> T:
        """One of the options."""
        return options[self.below(len(options))]

    def near(self, colour: Colour, spread: int) -> Colour:
        """A colour whose channels differ from ``colour`` by at most ``spread``, mostly in brightness."""
        grey, hue = self.between(-spread, spread), spread // 3
        r, g, b = (min(255, max(0, c + grey + self.between(-hue, hue))) for c in colour)
        return r, g, b

    def bytes(self, rows: int, cols: int) -> Ints:
        """``(rows, cols)`` integers in 0…255."""
        counters = np.arange(1, rows * cols + 1, dtype=np.uint64) * np.uint64(_STEP) + np.uint64(self._state)
        self._state = (self._state + rows * cols * _STEP) & _WORD
        return (_mix_array(counters) >> np.uint64(56)).astype(np.int32).reshape(rows, cols)


@cache
def _blend(length: int, cell: int) -> Ints:
    """``(length, knots)`` smoothstep weights between knots ``cell`` apart; each row sums to 256."""
    weights = np.zeros((length, length // cell + 2), np.int32)
    for i in range(length):
        knot, f = divmod(i, cell)
        up = 256 * f * f * (3 * cell - 2 * f) // cell**3
        weights[i, knot], weights[i, knot + 1] = 256 - up, up
    return weights


def value_noise(dice: Dice, cell_y: int, cell_x: int) -> Ints:
    """``(H, W)`` smooth noise in 0…255 with features of ``cell_y`` × ``cell_x`` pixels."""
    down, across = _blend(HEIGHT, cell_y), _blend(WIDTH, cell_x)
    knots = dice.bytes(down.shape[1], across.shape[1])
    return (((down @ knots) >> 4) @ across.T) >> 12


# Regions: where to paint.


@dataclass(frozen=True)
class Region:
    """A window of the canvas, ``(h, w)``, and which of its pixels are meant."""

    rows: slice
    cols: slice
    inside: Bools

    @property
    def y(self) -> Ints:
        """``(h, 1)`` row numbers."""
        return _Y[self.rows]

    @property
    def x(self) -> Ints:
        """``(1, w)`` column numbers."""
        return _X[:, self.cols]

    def where(self, test: Bools) -> Region:
        """The part in which ``test`` (broadcast to ``(h, w)``) holds too."""
        return Region(self.rows, self.cols, self.inside & test)


def box(x0: int, y0: int, x1: int, y1: int) -> Region:
    """The pixels ``x0 ≤ x < x1``, ``y0 ≤ y < y1`` that are on the canvas."""
    y0, x0 = max(0, y0), max(0, x0)
    rows, cols = slice(y0, max(y0, min(HEIGHT, y1))), slice(x0, max(x0, min(WIDTH, x1)))
    return Region(rows, cols, np.ones((_Y[rows].size, _X[:, cols].size), np.bool_))


def everywhere() -> Region:
    """The whole canvas."""
    return box(0, 0, WIDTH, HEIGHT)


def ellipse(cx: int, cy: int, rx: int, ry: int) -> Region:
    """The ellipse around the centre of pixel (cx, cy), ``2 * r + 1`` pixels wide and high."""
    area = box(cx - rx, cy - ry, cx + rx + 1, cy + ry + 1)
    wide, high = (2 * rx + 1) ** 2, (2 * ry + 1) ** 2
    dx, dy = (area.x - cx).astype(np.int64), (area.y - cy).astype(np.int64)
    return area.where(4 * (dx * dx * high + dy * dy * wide) <= wide * high)


def polygon(*corners: Point) -> Region:
    """The inside of a convex polygon whose corners go clockwise on the screen, edges included."""
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    area = box(min(xs), min(ys), max(xs) + 1, max(ys) + 1)
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        area = area.where((x1 - x0) * (area.y - y0) >= (y1 - y0) * (area.x - x0))
    return area


def stroke(x0: int, y0: int, x1: int, y1: int) -> Region:
    """A straight line one pixel thick."""
    area = box(min(x0, x1), min(y0, y1), max(x0, x1) + 1, max(y0, y1) + 1)
    off = (x1 - x0) * (area.y - y0) - (y1 - y0) * (area.x - x0)
    return area.where(2 * np.abs(off) <= max(abs(x1 - x0), abs(y1 - y0), 1))


def under(skyline: Ints, bottom: int) -> Region:
    """What is at or below ``skyline`` (one row number for each column, ``(W,)``) and above row ``bottom``."""
    area = box(0, 0, WIDTH, bottom)
    return area.where(area.y >= skyline[None, :])


# The canvas.


@dataclass(frozen=True)
class Light:
    """How a painted scene is exposed. Factors are in 1/256."""

    sun: Colour
    """Factor for each channel."""
    haze: Colour
    """The colour that far things fade to."""
    density: int
    """How strongly they do."""
    contrast: int
    """Bend of the tone curve, negative is darker."""
    grain: int
    """Amplitude of the sensor noise."""


class Canvas:
    """An image with train ids and distances, painted from back to front."""

    def __init__(self, dice: Dice) -> None:
        self.rgb: Ints = np.zeros((HEIGHT, WIDTH, 3), np.int32)
        self.label = np.full((HEIGHT, WIDTH), IGNORE, np.uint8)
        self.far: Ints = np.zeros((HEIGHT, WIDTH), np.int32)
        self.noise = {
            "pixel": dice.bytes(HEIGHT, WIDTH),
            "leaf": value_noise(dice, 4, 4),
            "patch": value_noise(dice, 8, 12),
            "cloud": value_noise(dice, 12, 32),
            "ripple": value_noise(dice, 3, 16),
            "streak": value_noise(dice, 16, 3),
        }

    def textured(self, area: Region, colour: Any, amount: int, kind: str = "leaf") -> Ints:
        """``(h, w, 3)`` the colour (or colours), brighter and darker by up to ``amount`` / 256 with a noise."""
        gain = 256 + ((self.noise[kind][area.rows, area.cols] - 128) * amount >> 7)
        return np.asarray(colour, np.int32) * gain[..., None] >> 8

    def paint(self, area: Region, label: int | None, colours: Any, far: int = 0) -> None:
        """Covers a region; ``label`` None leaves label and distance as they are (a detail on something)."""
        np.copyto(self.rgb[area.rows, area.cols], np.asarray(colours, np.int32), where=area.inside[..., None])
        if label is not None:
            self.label[area.rows, area.cols][area.inside] = label
            self.far[area.rows, area.cols][area.inside] = far

    def shade(self, area: Region, factor: int) -> None:
        """Multiplies the colours of a region by ``factor`` / 256: a shadow."""
        here = self.rgb[area.rows, area.cols]
        np.copyto(here, here * factor >> 8, where=area.inside[..., None])

    def develop(self, light: Light) -> NDArray[np.uint8]:
        """``(H, W, 3)`` the picture a camera would take in this light."""
        rgb = self.rgb * np.asarray(light.sun, np.int32) >> 8
        fade = self.far[..., None] * light.density >> 8
        rgb = rgb + ((np.asarray(light.haze, np.int32) - rgb) * fade >> 8)
        rgb = np.clip(rgb, 0, 255)
        rgb = _soften(rgb + (rgb * (255 - rgb) * light.contrast >> 16))
        rgb = rgb + ((self.noise["pixel"][..., None] - 128) * light.grain >> 7)
        picture: NDArray[np.uint8] = np.clip(rgb, 0, 255).astype(np.uint8)
        return picture

    def annotated(self, void_above: int) -> NDArray[np.uint8]:
        """``(H, W)`` train ids; borders between classes are ignored where the patch noise exceeds ``void_above``."""
        label = self.label.copy()
        edge = np.zeros(label.shape, np.bool_)
        edge[1:] |= label[1:] != label[:-1]
        edge[:, 1:] |= label[:, 1:] != label[:, :-1]
        label[edge & (self.noise["patch"] > void_above)] = IGNORE
        return label


def _soften(rgb: Ints) -> Ints:
    """A lens: along both axes each pixel takes an eighth from each neighbour, which hides the stairs of edges."""
    wide = np.pad(rgb, ((1, 1), (1, 1), (0, 0)), mode="edge")
    mixed = wide[:-2] + 6 * wide[1:-1] + wide[2:]
    soft: Ints = (mixed[:, :-2] + 6 * mixed[:, 1:-1] + mixed[:, 2:]) >> 6
    return soft


def ridge(dice: Dice, top: int, bottom: int, cell: int, jag: int) -> Ints:
    """``(W,)`` a skyline between rows ``top`` and ``bottom``: wide hills ``cell`` columns long, ``jag`` small peaks."""
    wide = _blend(WIDTH, cell) @ dice.bytes(WIDTH // cell + 2, 1)[:, 0] >> 8
    small = _blend(WIDTH, 4) @ dice.bytes(WIDTH // 4 + 2, 1)[:, 0] >> 8
    line: Ints = top + (wide * (bottom - top) >> 8) + ((small - 128) * jag >> 7)
    return line
