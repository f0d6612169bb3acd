"""Curves as values, for whoever draws them: scores against rate, training budget, bytes and cost, and by class."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

from d3s2bench_leaderboards import cells
from d3s2bench_leaderboards.bootstrap import CountsFolder
from d3s2bench_leaderboards.columns import Board, Column, Method
from d3s2bench_leaderboards.figures import KINDS
from d3s2bench_leaderboards.names import with_labels
from d3s2bench_leaderboards.rows import Row, sample_std
from d3s2bench_leaderboards.styles import styles

COSTS: Mapping[str, tuple[str, Callable[[Row], float | None]]] = {
    "bytes": ("bytes of the distilled set", lambda row: row.bytes),
    "cost": ("seconds to select, make and train", lambda row: row.seconds),
}
DECADE = 10
"""Costs that span more are drawn on a logarithmic scale."""
LEGIBLE = 5
"""So many methods in a picture by class; with more their points hide each other."""


@dataclass(frozen=True)
class Point:
    """A mean at x, with its sample standard deviation (NaN for one repetition) over n repetitions."""

    x: float
    mean: float
    std: float
    n: int


@dataclass(frozen=True)
class Curve:
    name: str
    style: int
    """The same method has the same one in all panels, and as far as it can be in those of other records."""
    control: bool
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Panel:
    """One picture."""

    kind: str
    dataset: str
    about: str
    """What all its points share."""
    xlabel: str
    ylabel: str
    curves: tuple[Curve, ...]
    left_out: int
    """Methods that would be too many for one picture."""
    ticks: tuple[tuple[float, str], ...] = ()
    """Where x has values of its own; none for a scale."""
    log: bool = False
    front: tuple[tuple[float, float], ...] = ()
    """The points that none beats in both x (less) and mean (more), from left to right."""


@dataclass(frozen=True)
class Chosen:
    """The methods that are drawn and what they are called."""

    styles: Mapping[Method, int]
    names: Mapping[Method, str]

    def curve(self, method: Method, points: Iterable[Point]) -> Curve:
        kept = tuple(sorted((p for p in points if _drawable(p)), key=lambda point: point.x))
        return Curve(self.names[method], self.styles[method], method.control or method.full, kept)


def choose(board: Board, most: int, looks: int = 8) -> Chosen:
    """``most`` methods: random + real, the best control of another kind, the full train set, and the best of all.

    ``looks`` is how many styles can be told apart.
    """
    controls = sorted((m for m in board.methods if m.control and not m.full), key=lambda m: m.labels.name != "hard")
    full = [method for method in board.methods if method.full][:1]
    others = [method for method in board.methods if not method.control and not method.full]
    references = [*controls[:2], *full]
    kept = [*controls[:2], *others[: max(0, most - len(references))], *full]
    names = {method: method_name(board.names[method]) for method in kept}
    return Chosen(styles(names, looks), names)


def method_name(texts: tuple[str, str, str]) -> str:
    selector, synth, labels = texts
    return with_labels(f"{selector}+{synth}", labels)


def panels(
    board: Board, label: str, chosen: Chosen, counts: CountsFolder | None, kinds: Container[str] = KINDS
) -> Iterator[Panel]:
    """All of these kinds that have something to show, in a fixed order. ``label`` says what the scores are."""
    trained = _grouped(board, lambda c: (c.dataset, c.arch, c.protocol))
    trains = _grouped(board, lambda c: (c.dataset, c.rate, c.arch, _recipe(c)))
    if "rate" in kinds:
        yield from _against_rate(trained, label, chosen)
    if "budget" in kinds:
        yield from _against_budget(trains, label, chosen)
    for kind in COSTS:
        if kind in kinds:
            yield from _against_cost(trained, kind, label, chosen)
    if "classes" in kinds:
        yield from (panel for column in board.columns if (panel := _by_class(column, chosen, counts)))


def _grouped(board: Board, key: Callable[[Column], tuple[Any, ...]]) -> list[list[Column]]:
    groups: dict[Any, list[Column]] = defaultdict(list)
    for column in board.columns:
        groups[key(column)].append(column)
    return list(groups.values())


def _trained(column: Column) -> str:
    return f"{column.iterations} iterations, {column.protocol[:8]}"


def _recipe(column: Column) -> str:
    return next(iter(column.rows.values())).setting.recipe


def _against_rate(groups: Iterable[list[Column]], label: str, chosen: Chosen) -> Iterator[Panel]:
    for columns in groups:
        rates = sorted({column.rate for column in columns if any(not method.full for method in column.rows)})
        if len(rates) > 1:
            first = columns[0]
            about = f"{first.dataset}, {first.arch}, {_trained(first)}"
            ticks = tuple((rate, cells.percent(rate)) for rate in rates)
            curves = _curves(columns, chosen, lambda column, row: column.rate)
            yield Panel("rate", first.dataset, about, "rate", label, *curves, ticks, log=True)


def _against_budget(groups: Iterable[list[Column]], label: str, chosen: Chosen) -> Iterator[Panel]:
    for columns in groups:
        budgets = sorted({column.iterations for column in columns})
        if len(budgets) > 1:
            first = columns[0]
            about = f"{first.dataset}, {cells.percent(first.rate)}, {first.arch}"
            ticks = tuple((budget, str(budget)) for budget in budgets)
            curves = _curves(columns, chosen, lambda column, row: column.iterations)
            yield Panel("budget", first.dataset, about, "training iterations", label, *curves, ticks, log=True)


def _against_cost(groups: Iterable[list[Column]], kind: str, label: str, chosen: Chosen) -> Iterator[Panel]:
    xlabel, cost = COSTS[kind]
    for columns in groups:
        curves, left_out = _curves(columns, chosen, lambda column, row: cost(row), full=False)
        if len(curves) > 1:
            first, costs = columns[0], [point.x for curve in curves for point in curve.points]
            about = f"{first.dataset}, {first.arch}, {_trained(first)}"
            log = max(costs) / DECADE > min(costs)
            score = next(iter(first.rows.values())).metric.sign > 0  # two costs have no front
            front = _front(curves) if score else ()
            yield Panel(kind, first.dataset, about, xlabel, label, curves, left_out, log=log, front=front)


def _curves(
    columns: Sequence[Column], chosen: Chosen, at: Callable[[Column, Row], float | None], full: bool = True
) -> tuple[tuple[Curve, ...], int]:
    """A curve for each method with a point, and how many methods are left out."""
    found: dict[Method, list[Point]] = defaultdict(list)
    for column in columns:
        for method, row in column.rows.items():
            if (full or not method.full) and (x := at(column, row)):
                found[method].append(Point(x, row.mean, row.std, len(row.scores)))
    drawn = [chosen.curve(method, found[method]) for method in chosen.styles if method in found]
    return tuple(curve for curve in drawn if curve.points), len(found.keys() - chosen.styles.keys())


def _drawable(point: Point) -> bool:
    return math.isfinite(point.x) and point.x > 0 and math.isfinite(point.mean)


def _front(curves: Iterable[Curve]) -> tuple[tuple[float, float], ...]:
    kept: list[tuple[float, float]] = []
    points = ((point.x, point.mean) for curve in curves for point in curve.points)
    for x, mean in sorted(points, key=lambda point: (point[0], -point[1])):
        if not kept or mean > kept[-1][1]:
            kept.append((x, mean))
    return tuple(kept)


def _by_class(column: Column, chosen: Chosen, counts: CountsFolder | None) -> Panel | None:
    """IoU of each class with ground truth, from the class with the most pixels in train to the least: head to tail."""
    found = [method for method in chosen.styles if method in column.rows]
    rows = {method: column.rows[method] for method in (*found[: LEGIBLE - 1], *found[-1:])}
    if not rows:
        return None
    record = next(iter(next(iter(rows.values())).records.values()))
    classes = record["spec"]["dataset"]["classes"]
    share = counts.train_share(record) if counts else None
    present = [k for k, iou in enumerate(record["metrics"]["per_class_iou"]) if iou is not None and k < len(classes)]
    order = sorted(present, key=lambda k: (0 if share is None else -share[k], k))
    curves = (chosen.curve(method, _placed(class_points(row), order)) for method, row in rows.items())
    drawn = tuple(curve for curve in curves if curve.points)
    if not drawn:
        return None
    about = f"{column.dataset}, {cells.percent(column.rate)}, {column.arch}, {_trained(column)}"
    how = "class" if share is None else "class, from most to fewest train pixels"
    ticks = tuple((x, classes[k]) for x, k in enumerate(order, 1))
    return Panel("classes", column.dataset, about, how, "IoU (%)", drawn, len(column.rows.keys() - rows.keys()), ticks)


def class_points(row: Row) -> list[Point]:
    """IoU of each class in the order of train ids, over the repetitions that have it; NaN where none has."""
    scores = [record["metrics"]["per_class_iou"] for record in row.records.values()]
    by_class = [[value for value in values if value is not None] for values in zip_longest(*scores)]
    return [
        Point(k, sum(values) / len(values) if values else math.nan, sample_std(values), len(values))
        for k, values in enumerate(by_class)
    ]


def _placed(points: Sequence[Point], order: Sequence[int]) -> Iterator[Point]:
    return (replace(points[k], x=x) for x, k in enumerate(order, 1) if k < len(points))
