"""The published numbers follow from their published counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from d3s2bench.results.records import read_records, recomputed_miou

HERE = Path(__file__).parents[2]
STUDIES = sorted(
    folder.parent for place in ("docs/records", "leaderboards") for folder in HERE.glob(f"{place}/*/records")
)


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_every_published_score_follows_from_its_counts(study: Path) -> None:
    for record in read_records(study):
        assert recomputed_miou(study / "records" / f"{record['id']}.json") == record["metrics"]["miou"]
