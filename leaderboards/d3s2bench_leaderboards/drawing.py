"""Panels drawn by matplotlib."""

from __future__ import annotations

import io
import math
import textwrap
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator, NullLocator

from d3s2bench import plain
from d3s2bench_leaderboards import cells
from d3s2bench_leaderboards.bootstrap import CountsFolder
from d3s2bench_leaderboards.panels import Curve, Panel, choose, panels
from d3s2bench_leaderboards.scope import Scope

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from d3s2bench_leaderboards.figures import Figures

STYLES: tuple[tuple[str, str, Any], ...] = (
    ("#7a7a7a", "o", (0, (1, 1.5))),
    ("#222222", "s", (0, (4, 1.5))),
    ("#0072b2", "^", "-"),
    ("#d55e00", "D", (0, (6, 1.5, 1, 1.5))),
    ("#009e73", "v", (0, (3, 1))),
    ("#cc79a7", "P", (0, (1, 1))),
    ("#8a6500", "X", (0, (8, 2))),
    ("#56b4e9", ">", (0, (4, 1, 1, 1, 1, 1))),
    ("#9ccb3b", "p", (0, (2, 2))),
    ("#6a3d9a", "<", (0, (10, 2, 2, 2))),
    ("#b22222", "*", (0, (5, 3, 1, 3))),
    ("#e6ab02", "h", (0, (3, 1, 3, 1, 1, 1))),
)
"""Colour, marker and dashes: any one of them tells the methods apart."""
SETTINGS: Any = {
    "font.family": ["STIXGeneral", "DejaVu Sans"],  # a paper's Times; the second for what the first lacks
    "font.size": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.linewidth": 0.4,
    "grid.color": "#d8d8d8",
    "lines.linewidth": 1.1,
    "lines.markersize": 3.8,
    "lines.markeredgewidth": 0.4,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "legend.title_fontsize": 6.5,
    "legend.handlelength": 2.6,
    "legend.columnspacing": 1.2,
    "pdf.fonttype": 42,
}
LONGEST = 44
FULL_WIDTH = 6.9
"""Inches that a figure with many classes may take."""
STACK = 4
"""So many pictures of a kind and dataset stand in one figure: more would not fit on a page."""
AXES, TITLE, ENTRY, NOTE, EDGE = 1.3, 0.2, 0.14, 0.13, 0.12
"""Inches: height of a picture, of the line above it, of a line of the legend and of its title; width of the margin on
the right."""
LETTERS = 24
"""So many letters of the legend's title fit into an inch."""


def files(scope: Scope, options: Figures) -> dict[str, bytes]:
    """``<kind>-<dataset>.pdf`` and ``.png``; the number of a second one of that name stands behind it."""
    if not scope.rows:
        return {}
    made = scope.board()
    label = f"{scope.metric.label} (%)" if scope.metric.unit == "percent" else scope.metric.label
    counts = CountsFolder(options.folder) if options.folder else None
    found: dict[str, bytes] = {}
    with matplotlib.rc_context(SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a name may hold any character
        for stack in _stacks(panels(made, label, choose(made, options.most, len(STYLES)), counts, options.kinds)):
            name = _free(f"{stack[0].kind}-{_slug(stack[0].dataset)}", found)
            figure = _figure(stack, options)
            png = _saved(FigureCanvasAgg(figure).print_png, {"Software": None})
            pdf = _saved(FigureCanvasPdf(figure).print_pdf, {"CreationDate": None, "Producer": None})
            found |= {f"{name}.pdf": pdf, f"{name}.png": png}
    return found


def _stacks(found: Iterable[Panel]) -> Iterator[list[Panel]]:
    """Panels of one kind, dataset and scale, over as few figures as it takes."""
    groups: dict[Any, list[Panel]] = defaultdict(list)
    for panel in found:
        groups[panel.kind, panel.dataset, panel.ticks].append(panel)
    for group in groups.values():
        size = math.ceil(len(group) / math.ceil(len(group) / STACK))
        yield from (group[k : k + size] for k in range(0, len(group), size))


def _slug(text: str) -> str:
    words = "".join(c if c.isascii() and c.isalnum() else " " for c in text.lower())
    return "-".join(words.split())[:80] or "figure"


def _free(name: str, taken: Iterable[str]) -> str:
    if f"{name}.pdf" not in taken:
        return name
    return next(each for k in range(2, 10**6) if f"{(each := f'{name}-{k}')}.pdf" not in taken)


def _saved(write: Callable[..., None], metadata: dict[str, Any]) -> bytes:
    """By the canvas itself: ``savefig`` would draw each figure twice. PDF comes last, since it changes the dpi."""
    buffer = io.BytesIO()
    write(buffer, metadata=metadata)
    return buffer.getvalue()


def _figure(stack: Sequence[Panel], options: Figures) -> Figure:
    """The panels below each other, with one scale of x and one legend."""
    by_class, width = stack[0].kind == "classes", options.width
    if by_class:
        width = min(max(width, 0.7 + 0.14 * len(stack[0].ticks)), max(width, FULL_WIDTH))
    figure = Figure((width, len(stack) * (AXES + TITLE) + 1), dpi=options.dpi)
    axes = list(figure.subplots(len(stack), sharex=True, squeeze=False).flat)
    drawn: dict[int, tuple[Artist, str]] = {}
    for each, panel in zip(axes, stack, strict=True):
        drawn |= {curve.style: (_curve(each, curve, by_class), _plain(curve.name)) for curve in panel.curves}
        _axes(each, panel)
    _scale(axes[-1], stack)
    handles, labels = zip(*(drawn[style] for style in sorted(drawn)), strict=True)
    title = textwrap.wrap(" ".join(said(stack)), int(width * LETTERS))
    figure.legend(handles, labels, title="\n".join(title), loc="lower center", ncols=2, borderpad=0.2, borderaxespad=0)
    legend = ENTRY * math.ceil(len(drawn) / 2) + NOTE * len(title) + 0.15
    _arrange(figure, axes, [_plain(panel.about, 72) for panel in stack], legend)
    return figure


def said(stack: Sequence[Panel]) -> Iterator[str]:
    """What is drawn, and what is not."""
    curves = [curve for panel in stack for curve in panel.curves]
    spread = {_spread(curve) for curve in curves if stack[0].kind != "classes"} - {""}
    shown = f" and standard deviation ({' or '.join(sorted(spread))})" if spread else ""
    yield f"Mean{shown}, n = {cells.span(point.n for curve in curves for point in curve.points)}."
    if any(len(panel.front) > 1 for panel in stack):
        yield "Dotted steps: Pareto front, the highest mean for at most so much."
    if any(panel.left_out for panel in stack):
        yield f"Methods that are not drawn: {cells.span(panel.left_out for panel in stack)}."


def _spread(curve: Curve) -> str:
    """What stands for the standard deviation: nothing where no point has one."""
    if all(math.isnan(point.std) for point in curve.points):
        return ""
    return "band" if len(curve.points) > 1 else "bar"


def _arrange(figure: Figure, axes: Sequence[Axes], titles: Sequence[str], legend: float) -> None:
    """All pictures equally high, whatever stands below and beside them. Constrained layout would measure each text of
    each picture twice, which takes longer than to draw them."""
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    measured = (axis.get_tightbbox(renderer) for axis in (*(each.yaxis for each in axes), axes[-1].xaxis))
    boxes = [box for box in measured if box]
    left = (axes[-1].bbox.x0 - min(box.x0 for box in boxes)) / figure.dpi
    bottom = legend + (axes[-1].bbox.y0 - min(box.y0 for box in boxes)) / figure.dpi
    width, height = figure.get_figwidth(), bottom + len(axes) * (AXES + TITLE)
    figure.set_size_inches(width, height)
    place = (left + 0.03) / width
    for k, (each, title) in enumerate(zip(reversed(axes), reversed(titles), strict=True)):
        y = bottom + k * (AXES + TITLE)
        each.set_position((place, y / height, 1 - EDGE / width - place, AXES / height))
        figure.text(0.5, (y + AXES + 0.04) / height, title, ha="center", fontsize=7.5, color="#444444")


def _curve(axes: Axes, curve: Curve, by_class: bool) -> Artist:
    colour, mark, dashes = STYLES[curve.style % len(STYLES)]
    x, mean = [p.x for p in curve.points], [p.mean for p in curve.points]
    style = {"color": colour, "marker": mark, "linestyle": dashes, "markeredgecolor": "white"}
    (line,) = axes.plot(x, mean, **style, linewidth=0.6 if by_class else None)
    low, high = zip(*((p.mean - p.std, p.mean + p.std) for p in curve.points), strict=True)  # one number has no band
    if len(x) > 1 and not by_class:
        axes.fill_between(x, low, high, color=colour, alpha=0.14, linewidth=0)
    elif not by_class:
        axes.vlines(x, low, high, color=colour, linewidth=0.9)
    return line


def _axes(axes: Axes, panel: Panel) -> None:
    axes.set_ylabel(panel.ylabel)
    axes.set_ylim(bottom=max(0, axes.get_ylim()[0]))
    if len(panel.front) > 1:
        axes.step(*zip(*panel.front, strict=True), where="post", color="black", linewidth=0.7, linestyle=":", zorder=1)


def _scale(axes: Axes, stack: Sequence[Panel]) -> None:
    """Of x, which all axes share."""
    panel, log = stack[0], any(panel.log for panel in stack)
    axes.set_xlabel(panel.xlabel)
    if log:
        axes.set_xscale("log")
    if panel.ticks:
        places, texts = zip(*panel.ticks, strict=True)
        by_class: Any = {"rotation": 60, "ha": "right", "rotation_mode": "anchor"} if panel.kind == "classes" else {}
        size = 8 if len(places) < 40 else 4
        axes.set_xticks(places, [_plain(text, 24) for text in texts], fontsize=size, **by_class)
        axes.xaxis.set_minor_locator(NullLocator())
    elif not log:
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))


def _plain(text: str, longest: int = LONGEST) -> str:
    """One line that matplotlib neither sets as mathematics nor leaves out, as it does with a leading underscore."""
    line = plain(cells.cut(text, longest)).replace("\\", "\\\\").replace("$", r"\$")
    return f" {line}" if line.startswith("_") else line
