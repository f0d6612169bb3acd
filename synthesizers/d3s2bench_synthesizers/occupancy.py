"""How much of each photograph a class occupies, from its mask or from Grounded SAM 2, and when that is little."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from d3s2bench import ConfigError, Context, unknown_name

Shares = NDArray[np.float64]
"""``(N, C)``: the share of each photograph's pixels that each class has."""


@dataclass(frozen=True)
class Occupancy:
    """What each photograph of the train split shows of the foreground.

    ``shares`` is ``(N, C)``, 0 for what is no foreground; ``shown`` is ``(N, C) bool``: whether the mask shows a class
    that is; ``thresholds`` is ``(C,)``: below it, the occupancy of the class is low.
    """

    shares: Shares
    shown: NDArray[np.bool_]
    thresholds: NDArray[np.float64]

    @classmethod
    def of(cls, shares: Shares, shown: NDArray[np.bool_], quantile: float) -> Occupancy:
        """A class's threshold is the quantile of its occupancies over the photographs that show it (linear
        interpolation); 0 when none does."""
        columns = [column[seen] for column, seen in zip(shares.T, shown.T, strict=True)]
        thresholds = [float(np.quantile(column, quantile)) if column.size else 0.0 for column in columns]
        return cls(shares, shown, np.array(thresholds))

    def main_class(self, i: int) -> int | None:
        """The foreground class that occupies most of photograph i, the first of equals; None when it shows none."""
        if not self.shown[i].any():
            return None
        return int(np.where(self.shown[i], self.shares[i], -1).argmax())


def rare_classes(counts: NDArray[np.int64]) -> list[int]:
    """Ids of the classes that occur and have less than their fair share, 1 / C, of the labelled train pixels."""
    total = counts.sum(axis=0)
    return [int(c) for c in np.flatnonzero((total > 0) & (total * counts.shape[1] < total.sum()))]


def class_ids(named: Sequence[str], classes: Sequence[str]) -> list[int]:
    """Ids of classes given by name or id. Raises UnknownNameError for what is neither."""
    known = {str(c): c for c in range(len(classes))} | {name: c for c, name in enumerate(classes)}
    for name in named:
        if name not in known:
            raise unknown_name("class in synth.foreground.classes", name, classes)
    return [known[name] for name in named]


def measured(
    shown: NDArray[np.bool_], measure: Callable[[int, Sequence[int]], Sequence[float]], context: Context
) -> Shares:
    """``(N, C)``: ``measure`` takes a photograph's number and the classes that it shows, and gives the occupancy of
    each. What it has given is kept in ``context.workdir``, so that a killed run goes on where it was."""
    context.workdir.mkdir(parents=True, exist_ok=True)
    with (context.workdir / "occupancy.jsonl").open("a+b") as journal:
        rows = _finished(journal)
        for i in range(len(rows), len(shown)):
            rows.append([float(share) for share in measure(i, np.flatnonzero(shown[i]).tolist())])
            journal.write(json.dumps(rows[-1]).encode() + b"\n")
            journal.flush()
            context.progress(len(rows), len(shown), "occupancy")
    shares = np.zeros(shown.shape)
    shares[shown] = list(chain.from_iterable(rows))
    return shares


def _finished(journal: BinaryIO) -> list[list[float]]:
    """Rows that earlier runs have written whole; what a kill has torn of the last one is cut off."""
    journal.seek(0)
    content = journal.read()
    whole = content.rfind(b"\n") + 1
    journal.truncate(whole)
    return [json.loads(line) for line in content[:whole].splitlines()]


def foreground_classes(named: Sequence[str], counts: NDArray[np.int64], classes: Sequence[str]) -> list[int]:
    """The named classes, or the rare ones when none is named. Raises ConfigError when there is none, and for a named
    one that no mask shows: its threshold would be of nothing."""
    found = class_ids(named, classes) if named else rare_classes(counts)
    if absent := [classes[c] for c in found if not counts[:, c].any()]:
        raise ConfigError(f"no mask of train shows {', '.join(absent)}: leave it out of synth.foreground.classes")
    if not found:
        raise ConfigError("no class has less than its fair share of pixels: name some in synth.foreground.classes")
    return found
