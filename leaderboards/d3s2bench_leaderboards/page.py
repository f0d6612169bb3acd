"""The page of the HTML format: what its template is given."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from d3s2bench import plain
from d3s2bench_leaderboards import cells, sections
from d3s2bench_leaderboards.bootstrap import CountsFolder
from d3s2bench_leaderboards.claims import claims_beside
from d3s2bench_leaderboards.gains import gains
from d3s2bench_leaderboards.gallery import gallery
from d3s2bench_leaderboards.grid import Grid, Key
from d3s2bench_leaderboards.marks import Entry
from d3s2bench_leaderboards.metrics import MIOU, Metric
from d3s2bench_leaderboards.names import with_labels
from d3s2bench_leaderboards.page_data import behind, embedded, name_of
from d3s2bench_leaderboards.panels import Panel, choose, panels
from d3s2bench_leaderboards.rows import Row
from d3s2bench_leaderboards.scope import Scope
from d3s2bench_leaderboards.significance import EXACT
from d3s2bench_leaderboards.svg import marker, svg
from d3s2bench_leaderboards.tested import Tested, tested
from d3s2bench_leaderboards.view import METHOD

if TYPE_CHECKING:
    from d3s2bench_leaderboards.html import Html

TEMPLATES = Path(__file__).with_name("templates")
SORTS = {"score": "", "delta": "Δ to random + real", "percent": "% of full", "n": "repetitions"}
KINDS = {
    "rate": "Against the rate",
    "budget": "Against the training budget",
    "bytes": "Against the bytes of the set",
    "cost": "Against the cost",
    "classes": "By class, from head to tail",
}
SHOWN = 12
"""So many pictures of a kind: a filter shows others."""


def page(scope: Scope, options: Html) -> str:
    """One HTML document. Every text of a record is escaped by the template, and in the JSON by ``embedded``."""
    environment = _environment()
    script, style = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("page.js", "page.css"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    made = scope.grid(options) if scope.rows else None
    tests = _tests(scope, made, options) if made else []
    return environment.get_template("page.html").render(
        options=options,
        metric=scope.metric,
        style=Markup(style),
        script=Markup(script),
        script_digest=digest,
        counts=_counts(scope),
        table=_Table(made, scope.metric) if made else None,
        kinds=_kinds(scope, made, options) if made else [],
        gallery=gallery(scope.rows, options.folder, options.may_pass_on, options.pictures),
        named=scope.named,
        tests=tests,
        untold=any(each["untold"] for each in tests),
        blocks=options.block,
        gains=_gains(scope),
        claims=claims_beside(scope.rows) if options.claims else [],
        references=_references(scope, made) if made else [],
        looks=sections.looks(scope.looks),
        replaced=sections.replaced(scope.replaced),
        mixed=sections.mixed(scope.rows, scope.named),
        failures=sorted({sections.failure(record) for record in scope.records if record["status"] != "ok"}),
        data=Markup(embedded(_data(scope, made, options) if made else {"classes": [], "rows": {}})),
        percent=cells.percent,
        exact=EXACT,
        nothing=options.nothing,
    )


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=_clean,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["cut"] = cells.cut
    return made


def _clean(value: Any) -> Any:
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _counts(scope: Scope) -> list[str]:
    datasets = {row.setting.dataset.name for row in scope.rows}
    ok = sum(record["status"] == "ok" for record in scope.records)
    failed = len(scope.records) - ok
    said = [(ok, "record"), (len(scope.rows), "row"), (len(datasets), "dataset")] + [(failed, "failure")] * bool(failed)
    return [f"{number:,} {what}{'' if number == 1 else 's'}" for number, what in said]


# --- the table -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Table:
    """A grid as the template walks through it."""

    grid: Grid
    metric: Metric

    @property
    def stub(self) -> str:
        return "method" if {*self.grid.stub} <= {*METHOD} else " + ".join(self.grid.stub)

    @property
    def levels(self) -> list[list[tuple[str, list[int]]]]:
        """For each facet of the head but the last two its texts, each with the numbers of the columns below it."""
        paths = [(k, self.grid.texts(column, self.grid.head)) for k, column in enumerate(self.grid.columns)]
        return [
            [(path[level], [k for k, _ in same]) for path, same in self._shared(paths, level)]
            for level in range(len(self.grid.head) - 2)
        ]

    @staticmethod
    def _shared(paths: Sequence[tuple[int, list[str]]], level: int) -> Iterator[tuple[list[str], list[Any]]]:
        return ((path, list(same)) for path, same in groupby(paths, key=lambda each: each[1][: level + 1]))

    @property
    def columns(self) -> list[Mapping[str, Any]]:
        """The iterations, the protocol, the repetitions and the noise of each column, and what filters go by."""
        return [self._column(column) for column in self.grid.columns]

    def _column(self, column: Key) -> dict[str, Any]:
        texts, marked = self.grid.texts(column, self.grid.head), self.grid.compared(column)
        alone = marked[0] if len(marked) == 1 else None
        floor = alone.floor if alone else math.nan
        return {
            "facets": dict(zip(self.grid.head, texts, strict=True)),
            "iterations": texts[-2],
            "protocol": texts[-1],
            "whole": column[-1],
            "repetitions": alone.column.repetitions if alone else "",
            "few": any(each.least_p is not None for each in marked),
            "floor": "" if math.isnan(floor) else cells.quantity(floor, self.metric.unit),
        }

    @property
    def filters(self) -> list[tuple[str, list[str]]]:
        """Facets of the head with several values."""
        known = [column["facets"] for column in self.columns]
        values = {name: list(dict.fromkeys(facets[name] for facets in known)) for name in self.grid.head[:-1]}
        return [(name, found) for name, found in values.items() if len(found) > 1]

    @property
    def lines(self) -> Iterator[dict[str, Any]]:
        for line in self.grid.lines:
            entries = [self.grid.entry(line, column) for column in self.grid.columns]
            yield {
                "name": line_name(self.grid, line),
                "grey": self.grid.grey(line),
                "rank": "" if math.isnan(rank := self.grid.rank(line)) else f"{rank:.1f}",
                "cells": [entry and self._cell(entry) for entry in entries],
            }

    def _cell(self, entry: Entry) -> dict[str, Any]:
        row, unit = entry.row, self.metric.unit
        score, *spread = (cells.spread(row.mean, row.std, unit=unit) or "nan").split(" ± ")
        return {
            "name": name_of(row),
            "score": score,
            "spread": spread[0] if spread else "",
            "delta": "" if entry.delta is None else cells.quantity(entry.delta, unit, "+"),
            "percent": "" if entry.percent is None else f"{entry.percent:.1f}",
            "n": len(row.records),
            "marks": [mark for mark in ("best", "second", "different", "untested") if getattr(entry, mark)],
            "sort": {"score": row.mean, "delta": entry.delta, "percent": entry.percent, "n": len(row.records)},
        }


def line_name(grid: Grid, line: Key) -> str:
    """``selector + synth``; labels that are not hard stand behind a comma."""
    texts = dict(zip(grid.stub, grid.texts(line, grid.stub), strict=True))
    labels = texts.pop("labels", "hard")
    return with_labels(" + ".join(texts.values()), labels)


def _data(scope: Scope, made: Grid, options: Html) -> dict[str, Any]:
    """The details of all rows that stand in the table, or as a reference below it."""
    titled = {}
    for (line, column), cell in made.cells.items():
        where = ", ".join(made.texts(column, made.head))
        titled[name_of(cell.row)] = (cell.row, line_name(made, line), where)
    for row in _unplaced(scope, made):
        titled[name_of(row)] = (row, *_reference(scope, row))
    return behind(titled.values(), options.records.rstrip("/") + "/")


# --- what stands below it --------------------------------------------------------------------------------------------


def _unplaced(scope: Scope, made: Grid) -> list[Row]:
    """The converged references: they stand in no column."""
    placed = {cell.row.setting for cell in made.cells.values()}
    return [row for row in scope.rows if row.setting not in placed]


def _reference(scope: Scope, row: Row) -> tuple[str, str]:
    s, name = row.setting, scope.named[row.setting]
    where = f"{name['dataset']}, {name['arch']}, {s.iterations} iterations, {s.protocol[:8]}"
    return "full train set at convergence", where


def _references(scope: Scope, made: Grid) -> list[dict[str, str]]:
    found = ((row, _reference(scope, row)[1]) for row in _unplaced(scope, made))
    unit = scope.metric.unit
    return [
        {"name": name_of(row), "where": where, "score": cells.spread(row.mean, row.std, unit=unit) or "nan"}
        for row, where in found
    ]


def _kinds(scope: Scope, made: Grid, options: Html) -> list[dict[str, Any]]:
    """The pictures of curves by kind, each kind with the legend of the methods in it."""
    chosen = choose(made.board, options.most)
    counts = CountsFolder(options.folder) if options.folder else None
    label = f"{scope.metric.label} (%)" if scope.metric.unit == "percent" else scope.metric.label
    found = panels(made.board, label, chosen, counts, options.kinds)
    return [_kind(kind, list(each)) for kind, each in groupby(found, key=lambda panel: panel.kind)]


def _kind(kind: str, found: Sequence[Panel]) -> dict[str, Any]:
    shown = found[:SHOWN]
    legend = {curve.style: curve.name for panel in shown for curve in panel.curves}
    return {
        "kind": kind,
        "title": KINDS[kind],
        "panels": [(panel, Markup(svg(panel))) for panel in shown],
        "legend": [(Markup(marker(style)), name) for style, name in sorted(legend.items())],
        "hidden": len(found) - len(shown),
    }


def _tests(scope: Scope, made: Grid, options: Html) -> list[dict[str, Any]]:
    """Each method against random + real, over at least two repetitions."""
    found = tested(made, scope.metric, options.folder, options.resamples, options.block)
    return [
        _test(each, scope.metric)
        for column in found
        for each in column
        if each.test.n > 1 and not math.isnan(each.test.p)
    ]


def _test(each: Tested, metric: Metric) -> dict[str, Any]:
    column, test, interval = each.column, each.test, each.interval
    return {
        "where": (column.dataset, cells.percent(column.rate), column.arch),
        "method": each.method,
        "n": test.n,
        "delta": cells.quantity(test.mean, metric.unit, "+"),
        "interval": f"{interval.low:+.2f} to {interval.high:+.2f}" if interval else "",
        "p": f"{test.p:.4f}",
        "corrected": f"{test.corrected:.4f}{'†' * test.untold}",
        "untold": test.untold,
        "better": f"{test.improvement:.2f}",
        "protocol": column.protocol[:8],
    }


def _gains(scope: Scope) -> list[dict[str, Any]]:
    """Parts with at least two repetitions."""
    if scope.metric is not MIOU:
        return []
    found = gains(scope.rows, scope.controls, scope.named)
    lines: Iterable[Mapping[Any, Any]] = found[found["n"] > 1].to_dict("records")
    return [{**line, "gap": cells.spread(line["mean"], line["std"], "+")} for line in lines]
