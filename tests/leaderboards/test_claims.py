"""The published numbers are those of the sources, and stand apart from ours."""

from __future__ import annotations

import pytest
from record_fakes import record

from d3s2bench_leaderboards.claims import claims, claims_on
from d3s2bench_leaderboards.html import Html
from d3s2bench_leaderboards.latex import Latex


def test_every_number_has_a_source_a_date_and_a_protocol() -> None:
    found = {(c.method, c.dataset, c.rate): c.miou for c in claims()}
    assert found == {
        ("D3S2", "ADE20K", 0.01): 24.99,
        ("D3S2", "COCO-Stuff", 0.01): 35.49,
        ("random, as of D3S2", "ADE20K", 0.01): 15.65,
        ("random, as of D3S2", "COCO-Stuff", 0.01): 29.79,
        ("full train set, as of FreeMask", "ADE20K", 1.0): 51.6,
        ("full train set, as of FreeMask", "COCO-Stuff-164k", 1.0): 46.8,
    }
    assert all(claim.source.startswith("arXiv") and claim.date and claim.protocol for claim in claims())


def test_random_is_what_the_published_gain_leaves() -> None:
    miou = {(claim.method.split(",")[0], claim.dataset): claim.miou for claim in claims()}
    assert miou["random", "ADE20K"] == pytest.approx(24.99 - 9.34)
    assert miou["random", "COCO-Stuff"] == pytest.approx(35.49 - 5.70)


@pytest.mark.parametrize(
    ("name", "number"), [("ade20k", 3), ("ADE-20K", 3), ("coco_stuff", 3), ("coco-stuff-10k", 2), ("scenes", 0)]
)
def test_a_dataset_is_found_by_its_names(name: str, number: int) -> None:
    assert len(claims_on([name])) == number


def test_claims_stand_below_and_change_nothing_above() -> None:
    """20 beats the claimed random and loses to the claimed method: neither shows."""
    records = [
        record(selector, miou=m + s % 2, seed=s, dataset="ade20k")
        for selector, m in (("random", 10.0), ("balanced", 20.0))
        for s in range(10)
    ]
    ours, claimed = Latex().render(records).split("claimed &")
    assert r"\textbf{20.50}" in ours and "24.99" not in ours
    assert r"\textit{24.99} & as published & arXiv 2605.25022 & 2026-05-24" in claimed and r"\textbf" not in claimed
    alone = Latex(claims=False).render(records)
    assert "laimed" not in alone and ours.startswith(alone.removesuffix("\\end{table}\n"))
    for form in (Latex, Html):
        assert "24.99" in form().render(records) and "24.99" not in form(metric="miou_tail").render(records)
