"""What every format starts from: the rows that it shows, and all that these are named and compared by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from d3s2bench import Json
from d3s2bench_leaderboards.columns import Board, board
from d3s2bench_leaderboards.controls import Controls
from d3s2bench_leaderboards.grid import Grid, grid
from d3s2bench_leaderboards.intake import intake
from d3s2bench_leaderboards.metrics import Metric
from d3s2bench_leaderboards.names import Names, names
from d3s2bench_leaderboards.rows import Row, Setting, gather
from d3s2bench_leaderboards.view import Lens, View


@dataclass(frozen=True)
class Scope:
    """Records through a view. Controls and names are those of all records, shown or not."""

    view: Lens
    records: list[Json]
    """Those of the view, failures among them."""
    looks: list[Json]
    """All of the same test splits, shown or not: each of them was a look at the split."""
    rows: list[Row]
    controls: Controls
    named: Names

    @classmethod
    def of(cls, records: Iterable[Json], view: Lens) -> Scope:
        """Raises ConfigError for options that cannot be read, StoreError for records that ``intake`` refuses."""
        measure, shows = view.measure, view.filter()
        everything = intake(records)
        rows = gather(everything, measure)
        controls = Controls(rows)
        shown = [row for row in rows if shows(row.setting)]
        ordered = [shown[k] for k in view.ordered(([row] for row in shown), controls)]
        kept = [record for record in everything if not view.where or shows(Setting.of(record))]
        splits = set(map(_split, kept))
        looks = [record for record in everything if _split(record) in splits]
        return cls(view, kept, looks, ordered, controls, names(rows))

    @property
    def metric(self) -> Metric:
        return self.view.measure

    @property
    def replaced(self) -> int:
        """Finished records that no row has: the same cell and repetition was run again later."""
        finished: int = sum(record["status"] == "ok" for record in self.records)
        return finished - sum(len(row.records) for row in self.rows)

    def board(self) -> Board:
        return board(self.rows)

    def grid(self, view: View) -> Grid:
        """The rows along the axes of a view."""
        return grid(self.board(), view, self.controls)


def _split(record: Json) -> tuple[str, str]:
    dataset = record["spec"]["dataset"]
    return dataset["fingerprint"], dataset["split"]
