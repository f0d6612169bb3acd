"""Numbers that others published. Their protocols are not ours: they are shown beside our rows, never compared."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from d3s2bench_leaderboards.metrics import MIOU
from d3s2bench_leaderboards.rows import Row

TABLE = Path(__file__).with_name("claims.json")


@dataclass(frozen=True)
class Claim:
    """One published mIoU, in percent."""

    method: str
    dataset: str
    """As the source calls it."""
    also: tuple[str, ...]
    """What our datasets may call it."""
    rate: float
    arch: str
    miou: float
    how: str
    """As published, or what it was computed from."""
    source: str
    date: str
    """ISO 8601, as far as known."""
    protocol: str


@cache
def claims() -> tuple[Claim, ...]:
    """All of them, in the order of the table."""
    entries = json.loads(TABLE.read_text(encoding="utf-8"))
    return tuple(Claim(**entry | {"also": tuple(entry["also"])}) for entry in entries)


def claims_on(datasets: Iterable[str]) -> list[Claim]:
    """Those on datasets of these names; case and what is neither letter nor digit do not count."""
    ours = {_plain(name) for name in datasets}
    return [claim for claim in claims() if ours & {_plain(name) for name in (claim.dataset, *claim.also)}]


def claims_beside(rows: Iterable[Row]) -> list[Claim]:
    """Those on the datasets of rows that show what was published, mIoU: beside another metric they would mislead."""
    return claims_on(row.setting.dataset.name for row in rows if row.metric is MIOU)


def _plain(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())
