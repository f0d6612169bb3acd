"""Panels as SVG for a page: no library, colours and dashes from the page's style sheet, a text behind every point."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from d3s2bench import plain
from d3s2bench_leaderboards.panels import Curve, Panel, Point

LEFT, RIGHT, TOP = 44, 12, 10
PLOT = 196
"""Pixels from the top of a plot to its axis."""
MARKERS = (
    "M-3.5,0a3.5,3.5 0 1,0 7,0a3.5,3.5 0 1,0 -7,0",
    "M-3,-3H3V3H-3Z",
    "M0,-4L4,3.2H-4Z",
    "M0,-4.5L4,0L0,4.5L-4,0Z",
    "M0,4L4,-3.2H-4Z",
    "M-4,-1H-1V-4H1V-1H4V1H1V4H-1V1H-4Z",
    "M-4,0L-2,-3.5H2L4,0L2,3.5H-2Z",
    "M0,-4.5L1.2,-1.3L4.5,-1.3L1.9,0.8L2.8,4L0,2L-2.8,4L-1.9,0.8L-4.5,-1.3L-1.2,-1.3Z",
)


@dataclass(frozen=True)
class Scale:
    """Values to pixels, linear or logarithmic."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, value = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (value - low) / (high - low) * (self.end - self.start)


def svg(panel: Panel) -> str:
    """An ``svg`` element whose texts are escaped."""
    wide, below = _frame(panel)
    x, y, high = _x(panel, wide), _y(panel), PLOT + below
    body = [*_axes(panel, x, y, high), *_front(panel, x, y)]
    body += [part for curve in panel.curves for part in _curve(curve, x, y, joined=panel.kind != "classes")]
    name = escape(plain(f"{panel.ylabel} against {panel.xlabel}: {panel.about}"))
    inner = "\n".join(body)
    return f'<svg viewBox="0 0 {wide} {high}" width="{wide}" role="img" aria-label="{name}">\n{inner}\n</svg>'


def marker(style: int) -> str:
    """A method's mark and line, for a legend."""
    k = style % len(MARKERS)
    mark = f'<path class="line" d="M0,6H30"/><path class="mark" transform="translate(15,6)" d="{MARKERS[k]}"/>'
    return f'<svg class="key s{k}" viewBox="0 0 30 12" width="30" height="12" aria-hidden="true">{mark}</svg>'


def _frame(panel: Panel) -> tuple[int, int]:
    """Width, and the height of what stands below the plot: class names need room."""
    if panel.kind != "classes":
        return 380, 44
    longest = max(len(text) for _, text in panel.ticks)
    return max(380, 60 + 22 * len(panel.ticks)), min(120, 34 + 5 * longest)


def _x(panel: Panel, wide: int) -> Scale:
    places = [x for x, _ in panel.ticks] or [point.x for curve in panel.curves for point in curve.points]
    low, high = min(places), max(places)
    if panel.log:
        margin = math.exp(0.08 * (math.log(high) - math.log(low))) if high > low else 1.5
        return Scale(low / margin, high * margin, LEFT, wide - RIGHT, log=True)
    margin = 0.5 if panel.ticks else 0.08 * (high - low) or 1
    return Scale(low - margin, high + margin, LEFT, wide - RIGHT)


def _y(panel: Panel) -> Scale:
    """From a round number under the lowest band to one over the highest; no score is under 0."""
    spans = [_span(point) for curve in panel.curves for point in curve.points]
    ticks = round_numbers(max(0, min(low for low, _ in spans)), max(high for _, high in spans))
    return Scale(ticks[0], ticks[-1], PLOT, TOP)


def _span(point: Point) -> tuple[float, float]:
    std = 0 if math.isnan(point.std) else point.std
    return point.mean - std, point.mean + std


def round_numbers(low: float, high: float, about: int = 5) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten, about so many, around both ends."""
    if not high > low:
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / about
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    return [k * step for k in range(math.floor(low / step), math.ceil(high / step) + 1)]


def _powers(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten between the ends; one middle value where there is none."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found = [factor * 10.0**exponent for exponent in exponents for factor in (1, 2, 5)]
    inside = [value for value in found if low <= value <= high]
    whole = [value for value in inside if math.log10(value).is_integer()]
    return whole[:: 1 + len(whole) // 6] if len(whole) > 3 else inside


def _axes(panel: Panel, x: Scale, y: Scale, high: int) -> Iterator[str]:
    bottom, right = y.start, x.end
    for value in round_numbers(y.low, y.high):
        if y.low <= value <= y.high:
            yield f'<path class="grid" d="M{LEFT},{y(value):.1f}H{right}"/>'
            yield _text(LEFT - 6, y(value) + 4, f"{value:g}", "end")
    values = _powers(x.low, x.high) if panel.log else round_numbers(x.low, x.high)
    ticks = panel.ticks or [(value, _short(value)) for value in values if x.low <= value <= x.high]
    for value, text in ticks:
        at = x(value)
        yield f'<path class="tick" d="M{at:.1f},{bottom}v4"/>'
        if panel.kind == "classes":
            yield _text(0, 0, text[:20], "end", f'transform="translate({at + 3:.1f},{bottom + 10}) rotate(-55)"')
        else:
            yield _text(at, bottom + 16, text, "middle")
    yield f'<path class="axis" d="M{LEFT},{TOP}V{bottom}H{right}"/>'
    yield _text((LEFT + right) / 2, high - 6, panel.xlabel, "middle", 'class="label"')
    upright = f'class="label" transform="translate(11,{(TOP + bottom) / 2}) rotate(-90)"'
    yield _text(0, 0, panel.ylabel, "middle", upright)


def _short(value: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:.4g}"


def _text(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{escape(plain(text))}</text>'


def _front(panel: Panel, x: Scale, y: Scale) -> Iterator[str]:
    """A staircase: what can be had for at most so much."""
    if len(panel.front) > 1:
        (first, mean), *others = [(x(at), y(mean)) for at, mean in panel.front]
        yield f'<path class="front" d="M{first:.1f},{mean:.1f}{"".join(f"H{at:.1f}V{up:.1f}" for at, up in others)}"/>'


def _curve(curve: Curve, x: Scale, y: Scale, joined: bool) -> Iterator[str]:
    style = f"s{curve.style % len(MARKERS)}"
    yield f'<g class="{style}">'
    if len(curve.points) > 1:
        if joined and all(not math.isnan(point.std) for point in curve.points):
            yield f'<path class="band" d="{_band(curve.points, x, y)}"/>'
        yield f'<path class="line" d="M{"L".join(f"{x(p.x):.1f},{y(p.mean):.1f}" for p in curve.points)}"/>'
    for point in curve.points:
        at = f"translate({x(point.x):.1f},{y(point.mean):.1f})"
        spread = "" if math.isnan(point.std) else f" ± {point.std:.2f}"
        said = escape(plain(f"{curve.name}: {point.mean:.2f}{spread}, n {point.n}"))
        if len(curve.points) == 1 and spread:
            low, high = (y(edge) for edge in _span(point))
            yield f'<path class="bar" d="M{x(point.x):.1f},{low:.1f}V{high:.1f}"/>'
        shape = MARKERS[curve.style % len(MARKERS)]
        yield f'<path class="mark" transform="{at}" d="{shape}"><title>{said}</title></path>'
    yield "</g>"


def _band(points: Sequence[Point], x: Scale, y: Scale) -> str:
    above = [(x(p.x), y(p.mean + p.std)) for p in points]
    below = [(x(p.x), y(p.mean - p.std)) for p in reversed(points)]
    return f"M{'L'.join(f'{a:.1f},{b:.1f}' for a, b in above + below)}Z"
