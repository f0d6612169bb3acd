"""What a person and a spreadsheet get to see."""

from __future__ import annotations

import csv
import io
import re
import subprocess
import sys

import pytest
from record_fakes import CONVERGED, record

import d3s2bench_leaderboards
from d3s2bench.interfaces import Renderer
from d3s2bench_leaderboards.columns import board
from d3s2bench_leaderboards.csv import Csv
from d3s2bench_leaderboards.html import Html
from d3s2bench_leaderboards.latex import Latex
from d3s2bench_leaderboards.markdown import Markdown
from d3s2bench_leaderboards.rows import gather

RECORDS = [
    *(record(miou=m, seed=s) for s, m in enumerate([15.0, 16.0])),
    *(record("balanced", "guided", m, seed=s, size=1_234_567) for s, m in enumerate([24.77, 25.21])),
    record("full", miou=52.0, iterations=CONVERGED, size=None),
]


NAMES = ("markdown", "csv", "latex", "html", "figures")


def test_registered() -> None:
    components = d3s2bench_leaderboards.register_renderers()
    assert [(c.kind, c.name) for c in components] == [("renderer", name) for name in NAMES]
    assert isinstance(Markdown(), Renderer) and isinstance(Csv(), Renderer)


def test_markdown_lines_up() -> None:
    table = Markdown().render(RECORDS).split("\n\n")[0].splitlines()
    assert len(table) == 2 + 3
    assert len({len(line) for line in table}) == 1
    assert [cell.strip() for cell in table[2].strip("|").split("|")] == [
        *("scenes", "1 %", "unet", "balanced", "guided", "hard", "2", "synthesise, train", "20", "1.235 MB"),
        *("24.99 ± 0.31", "+9.49", "48.1", "300", record()["spec"]["protocol_hash"][:8]),
    ]
    full = [cell.strip() for cell in table[4].strip("|").split("|")]
    assert full[3] == "full" and full[7:14] == ["", "2000", "", "52.00", "", "100.0", "3000"]


def test_markdown_leaves_out_columns_that_no_row_knows() -> None:
    def header(*records: dict[str, object]) -> list[str]:
        return [cell.strip() for cell in Markdown().render(records).splitlines()[0].strip("|").split("|")]

    assert {"varies", "Δ random", "Δ selector", "Δ soft", "Δ full", "% of full"}.isdisjoint(header(record()))
    assert "Δ soft" in header(record(), record(labels="soft"))


def test_markdown_says_how_often_a_split_was_evaluated() -> None:
    records = [record(dataset="camvid", seed=s, evaluations=e) for s, e in enumerate([(239, 24), (240, 23)])]
    text = Markdown().render([*records, record(), record(dataset="a`b|\n", evaluations=(1, 1), miou=None)])
    assert [line for line in text.splitlines() if "was evaluated" in line] == [
        "`a'b\\|` test was evaluated 1 time, with 1 configuration.",
        "`camvid` test was evaluated 240 times, with 24 configurations.",
    ]
    assert "was evaluated" not in Markdown().render(RECORDS)


def test_images_that_are_larger_than_photographs_are_told() -> None:
    strips, tiles = record("random", "strips"), record("random", "tiles")
    photographs = record("random", "real")
    for each, times in ((photographs, 1), (strips, 4), (tiles, 1)):
        each["budget"] |= {"images": 20, "pixels": 20 * 6144 * times}
    text = Markdown().render([strips, tiles, photographs])
    said = "More pixels per image than photographs have: random + strips, hard labels (scenes, 1 %, unet): 4.0 times."
    assert said in text and "tiles, hard" not in text
    assert "More pixels" not in Markdown().render([tiles, photographs])


def test_splits_of_one_name_that_are_of_other_images_are_counted_apart() -> None:
    one, other = record(evaluations=(2, 1)), record(seed=2, evaluations=(3, 2))
    other["spec"]["dataset"]["fingerprint"] = "0" * 64
    shipped = record(seed=1)  # which nobody has looked at here
    assert "was evaluated 5 times, with 3 configurations" in Markdown().render([one, other, shipped])


def test_markdown_lists_what_failed_in_one_line_each() -> None:
    bad = record("dfss", miou=None, reason="no | such\n\n# file\x1b[31m")
    text = Markdown().render([*RECORDS, bad])
    assert text.splitlines()[-1] == (
        f"- {bad['id']}: scenes, 1 %, unet, dfss + real, hard labels, seed 0: failed: no \\| such  # file \\[31m"
    )


def test_markdown_cells_cannot_break_the_table() -> None:
    table = Markdown().render([record("a|b\nc")]).split("\n\n")[0]
    assert "a\\|b c" in table and len(table.splitlines()) == 3


@pytest.mark.parametrize("hostile", ["a|b\nc", "# d\x1b[31m", "`"])
def test_names_cannot_break_any_table(hostile: str) -> None:
    """Every line of a table has as many cell ends as its header."""
    records = [
        record(selector, hostile, 10.0 + seed + iterations, seed, dataset=hostile, iterations=iterations)
        for selector in ("random", hostile)
        for seed in (0, 1)
        for iterations in (100, 300)
    ] + [record(miou=1.0 + s, seed=s, dataset=hostile, iterations=100, evaluations=(1, 1)) for s in (0, 1)]
    text = Markdown().render(records)
    assert "## Where" in text and "## Rank" in text and text.isascii() is False and "\x1b" not in text
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 5
    for table in tables:
        assert {line.replace("\\|", "").count("|") for line in table} == {table[0].count("|")}


def test_a_score_that_is_no_number_spoils_its_own_row_alone() -> None:
    records = [
        record(name, miou=m + s, seed=s, iterations=i)
        for name, m in [("random", 10.0), ("balanced", float("nan")), ("dfss", 12.0), ("k-center", 14.0)]
        for s in (0, 1)
        for i in (100, 300)
    ]
    text = Markdown().render(records)
    table, tests, gains, ranks = text.split("## ")
    assert "| dfss | real | hard | 2 | +2.00 | 0.5000 | 1.0000† | 1.00 |" in " ".join(tests.split())
    assert "nan" not in tests
    assert table.count(" nan |") == 2
    assert "| dfss+real − random+real | 2 | +2.00 ± 0.00 | +2.00 to +2.00 |" in " ".join(gains.split())
    assert "14.50 ± 0.71 (1)" in ranks and "nan" not in gains + ranks


@pytest.mark.parametrize("records", [[], [record(miou=None)]])
def test_nothing_finished(records: list[dict[str, object]]) -> None:
    assert Markdown().render(records).startswith("No record is finished.")
    assert Csv().render(records).splitlines() == [Csv().render(RECORDS).splitlines()[0]]


def test_nothing_of_what_is_asked_for() -> None:
    told = "No finished record is of arch=none, rate=5%."
    view = {"where": ("arch=none", "rate=5%")}
    assert Markdown(**view).render(RECORDS).startswith(told)
    assert Latex(**view).render(RECORDS) == "% No finished record is of arch=none, rate=5%.\n"
    assert told in Html(**view).render(RECORDS)


def test_a_rate_in_percent_is_found() -> None:
    assert "0.7 %" in Markdown(where=("rate=0.7%",)).render([record(rate=0.007)])


def test_a_column_of_the_full_train_set_alone_ranks_nothing() -> None:
    methods = [record(name, miou=score, seed=s) for name, score in (("random", 20.0), ("a", 21.0)) for s in range(2)]
    alone = record("full", miou=50.0, arch="deeplab")
    ranks = board(gather([*methods, alone])).ranks
    assert sorted(rank for rank in ranks.values() if rank == rank) == [1, 2]


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", "[x](javascript:alert(1))", "\ud800"])
def test_names_are_texts_in_every_reading_of_markdown(hostile: str) -> None:
    records = [record(name, seed=seed) for name in ("random", hostile) for seed in (0, 1)]
    for form in (Markdown(), Markdown(rows=("selector",)), Markdown(columns=("selector",))):
        text = form.render(records)
        assert not re.search(r"(?<!\\)[<\[]", text)
        text.encode()
    for view in ({}, {"rows": ("selector",)}, {"columns": ("selector",)}):
        Csv(**view).render(records).encode()


def test_csv_has_the_tests_against_random_real() -> None:
    records = [record("random", miou=20.0 + k, seed=k) for k in range(6)]
    records += [record("a", miou=25.0 + k, seed=k) for k in range(6)] + [record("b", miou=20.5, seed=0)]
    lines = {line["selector"]: line for line in csv.DictReader(io.StringIO(Csv().render(records)))}
    assert (lines["a"]["p"], lines["a"]["p_holm"], lines["a"]["better"]) == ("0.03125", "0.0625", str(35.5 / 36))
    assert (lines["b"]["p"], lines["b"]["p_holm"]) == ("1.0", "1.0")
    assert (lines["random"]["p"], lines["random"]["better"]) == ("", "")


def test_csv_is_unrounded() -> None:
    rows = list(csv.DictReader(io.StringIO(Csv().render(RECORDS))))
    assert float(rows[0]["miou"]) == (24.77 + 25.21) / 2
    assert float(rows[0]["std"]) == pytest.approx(0.44 / 2**0.5, rel=1e-12)
    assert float(rows[1]["bytes"]) == 1_500_000
    assert rows[2]["std"] == rows[2]["bytes"] == ""
    assert list(rows[0]) == [
        *("dataset", "rate", "arch", "selector", "synth", "labels", "n", "varies", "images", "bytes", "miou", "std"),
        *("vs_random", "p", "p_holm", "better", "vs_selector", "vs_soft", "vs_full", "percent_of_full"),
        *("iterations", "protocol"),
    ]


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@cmd", "\t=1"])
def test_csv_texts_are_no_formulas(name: str) -> None:
    (row,) = csv.DictReader(io.StringIO(Csv().render([record(name)])))
    assert row["selector"] == f"'{name}"


def test_csv_numbers_stay_numbers() -> None:
    rows = list(csv.DictReader(io.StringIO(Csv().render([record(miou=20.0), record("dfss", miou=18.5)]))))
    assert rows[1]["vs_random"] == "-1.5"


def test_listing_imports_no_pandas() -> None:
    modules = ", ".join(f"d3s2bench_leaderboards.{name}" for name in NAMES)
    heavy = {"pandas", "scipy", "matplotlib", "jinja2", "torch"}
    code = f"import sys, {modules}; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
