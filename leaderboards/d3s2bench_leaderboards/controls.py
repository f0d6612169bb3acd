"""What a row is compared with: a row of the same dataset, evaluator and architecture, found by what the two share."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any

from d3s2bench_leaderboards.rows import Part, Row

Key = tuple[Any, ...]
REFERENCES = {name: Part(name, ()) for name in ("full", "real", "layout")}
"""They go by their names: their options tell none of them apart as a control."""
FULL, REAL, LAYOUT = REFERENCES.values()
RANDOM = Part("random", ())
"""With its default options alone: a stratified draw is a method, not chance."""
SAID_TO_BE_PLAIN = Part("random", (("stratify", '"none"'),))
"""The same in a record that does not tell which options were changed."""
ANY = "any"
SIGNS = (1, -1, -1, 1)


class Controls:
    """The rows, ready to be looked up.

    Of several that would do, a row's control is the row itself, else the one nearest in teacher, generator and options
    of the evaluator. A row that used another teacher or another generator is never one.
    """

    _rows: dict[Key, dict[Key, list[Row]]]
    """By what a control must share, then by what it may share; in a fixed order."""
    _columns: dict[Key, list[Row]]

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = defaultdict(lambda: defaultdict(list))
        self._columns = defaultdict(list)
        for row in sorted(rows, key=lambda row: repr(row.setting)):
            self._columns[_column(row)].append(row)
            for key, near in product(_keys(row), product(*((trait, ANY) for trait in _traits(row)))):
                self._rows[key][near].append(row)

    @property
    def columns(self) -> Iterable[list[Row]]:
        """The rows of each dataset, rate, architecture and protocol."""
        return self._columns.values()

    def beside(self, row: Row) -> list[Row]:
        """All rows of the same dataset, rate, architecture and protocol, the row itself among them."""
        return self._columns[_column(row)]

    def random_real(self, row: Row) -> Row | None:
        """Random photographs with hard labels, as many, trained under the same protocol."""
        return self.like(row, selector=RANDOM, synth=REAL, labels="hard")

    def selector_real(self, row: Row, labels: str = "hard") -> Row | None:
        """The photographs that the same selector with the same options chose, as many, under the same protocol."""
        return self.like(row, synth=REAL, labels=labels)

    def full(self, row: Row) -> Row | None:
        """All photographs under the same protocol, so with the same iterations."""
        return self.like(row, selector=FULL, synth=REAL, labels="hard")

    def converged(self, row: Row) -> Row | None:
        """All photographs, under the protocol that differs in nothing but ``iterations = converged_iterations``."""
        return self._nearest(row, _converged(row))

    def like(
        self, row: Row, *, selector: Part | None = None, synth: Part | None = None, labels: str | None = None
    ) -> Row | None:
        """The row that shares protocol, number of images and all that is not named here."""
        s = row.setting
        return self._nearest(row, _key(row, selector or s.selector, synth or s.synth, labels or s.labels.name))

    def unguided(self, row: Row) -> Row | None:
        """The same generator left to itself: ``layout`` with the same selector, labels and options that both have."""
        key = _key(row, row.setting.selector, LAYOUT, row.setting.labels.name)
        return next((layout for layout in self._near(row, key) if _same_generator(row, layout)), None)

    def _nearest(self, row: Row, key: Key) -> Row | None:
        return row if key in _keys(row) else next(self._near(row, key), None)

    def _near(self, row: Row, key: Key) -> Iterator[Row]:
        """The nearest first. What used no model stands beside what used one, but not two models beside each other."""
        teacher, generator, options = _traits(row)
        models = ((model, None) if model else (None, ANY) for model in (teacher, generator))
        found = self._rows.get(key, {})
        for near in product(*models, (options, ANY)) if found else ():
            yield from found.get(near, ())


def differences(*rows: Row) -> list[float]:
    """For each repetition that all rows have: a − b of two rows, (a − b) − (c − d) of four."""
    common = [seed for seed in rows[0].scores if all(seed in row.scores for row in rows)]
    return [sum(sign * row.scores[seed] for sign, row in zip(SIGNS, rows, strict=False)) for seed in common]


def paired_difference(row: Row, control: Row | None) -> float | None:
    """Mean difference over the repetitions that both have; None without any, and for a control itself."""
    paired = differences(row, control) if control and control is not row else []
    return sum(paired) / len(paired) if paired else None


def percent_of(row: Row, reference: Row | None) -> float | None:
    """The mean in percent of the reference's, of a score; not paired, since a reference often has one repetition."""
    known = reference is not None and row.metric.sign > 0 and reference.mean and not math.isnan(reference.mean)
    return 100 * row.mean / reference.mean if reference and known else None


def is_random(selector: Part) -> bool:
    """Whether it chooses by chance alone."""
    return selector in (RANDOM, SAID_TO_BE_PLAIN)


def _keys(row: Row) -> Iterator[Key]:
    """What a row is found by."""
    s = row.setting
    yield _key(row, s.selector, s.synth, s.labels.name)
    if (s.selector.name, s.synth.name, s.labels.name, s.converged) == ("full", "real", "hard", True):
        yield _converged(row)


def _column(row: Row) -> Key:
    s = row.setting
    return s.dataset, s.rate, s.arch, s.protocol


def _key(row: Row, selector: Part, synth: Part, labels: str) -> Key:
    s = row.setting
    images = None if selector.name == FULL.name else row.images
    selector, synth = (REFERENCES.get(part.name, part) for part in (selector, synth))
    selector = RANDOM if is_random(selector) else selector
    return s.dataset, s.arch, s.protocol, images, selector, synth, labels


def _converged(row: Row) -> Key:
    return row.setting.dataset, row.setting.arch, row.setting.recipe, FULL


def _traits(row: Row) -> Key:
    """Teacher, generator and options of the evaluator."""
    models = dict(row.setting.models)
    return models.get("teacher"), models.get("generator"), row.setting.labels.traits


def _same_generator(row: Row, layout: Row) -> bool:
    """Another number of sampling steps, say, would pass for guidance."""
    shared = all(row.synth_options.get(key, value) == value for key, value in layout.synth_options.items())
    return shared and _traits(row)[1] == _traits(layout)[1]
