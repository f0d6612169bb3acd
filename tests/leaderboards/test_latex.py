"""What a paper gets to see, and that pdflatex takes it."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from record_fakes import CONVERGED, record

from d3s2bench import ConfigError
from d3s2bench.interfaces import Renderer
from d3s2bench.results.records import read_records
from d3s2bench_leaderboards.latex import Latex
from d3s2bench_leaderboards.metrics import METRICS
from d3s2bench_leaderboards.tex import escape, number

STUDY = Path(__file__).parents[2] / "leaderboards" / "scenes"
HOSTILE = [
    r"\input{/etc/passwd}",
    r"\end{tabular}\write18{x}",
    "a&b\\\\c%d#e$f^g~h_i{j}k",
    "[1ex]",
    "*",
    "--``''?`!`<<>>|\"",
    "Ångström naïve œuvre żłób",
    "指数 🙂 \u202e",
    "βΔ ≤ ±",
    "x\ny\x1b[31m\x00",
    "m" * 300,
]


def repeated(selector: str, synth: str, *miou: float, **given: Any) -> list[dict[str, Any]]:
    return [record(selector, synth, m, seed=s, **given) for s, m in enumerate(miou)]


def ten(selector: str, synth: str, miou: float, **given: Any) -> list[dict[str, Any]]:
    """Ten repetitions with a standard deviation of about half a point."""
    return repeated(selector, synth, *(miou + (k % 2) - 0.5 for k in range(10)), **given)


RECORDS = [
    *ten("random", "real", 15.0),
    *ten("balanced", "guided", 25.0),
    *ten("balanced", "layout", 20.0),
    *ten("balanced", "guided", 24.0, arch="fcn"),
    record("full", miou=40.0),
    record("full", miou=50.0, iterations=CONVERGED),
]


def lines(text: str, start: str) -> list[list[str]]:
    """The cells of the rows that start so."""
    rows = (line for line in text.splitlines() if line.endswith(r" \\"))
    found = (row.removeprefix(r"\rowcolor[gray]{.92}").removesuffix(r" \\") for row in rows)
    return [line.split(" & ") for line in found if line.startswith(start)]


def test_cells_by_hand() -> None:
    text = Latex().render(RECORDS)
    assert isinstance(Latex(), Renderer)
    assert lines(text, "balanced & guided") == [
        [
            *("balanced", "guided", r"24.00 $\pm$ 0.53", "", ""),
            *(r"\textbf{25.00} $\pm$ 0.53", r"$+$10.00\rlap{$^*$}", "50.0"),
        ]
    ]
    assert lines(text, "balanced & layout")[0][2:] == [
        *("--", "--", "--"),
        *(r"\underline{20.00} $\pm$ 0.53", r"$+$5.00\rlap{$^*$}", "40.0"),
    ]
    assert lines(text, "full")[0][2:] == ["--", "--", "--", "40.00", "", "80.0"]
    converged = record("full", iterations=CONVERGED)["spec"]["protocol_hash"][:8]
    assert f"Full train set at convergence, scenes, unet: 50.00 (3000 iterations, {converged}, n = 1)." in text
    assert r"\multicolumn{6}{c}{scenes}" in text and r"\cmidrule(lr){3-8}" in text and r"\cmidrule(lr){6-8}" in text
    assert [line[:30] for line in text.splitlines() if line.startswith(r"\rowcolor")] == [
        r"\rowcolor[gray]{.92}random & r",
        r"\rowcolor[gray]{.92}full & rea",
    ]


def test_a_cited_number_has_its_conditions_in_the_note() -> None:
    small = [*ten("random", "real", 15.0, rate=0.05), *ten("a", "guided", 25.0, generator="g")]
    text = " ".join(Latex().render([*RECORDS, *small]).split())
    assert r"scenes, scored on test: 1 \% is 20, 5 \% is 100 of 2000 train images." in text
    assert "Seeds that vary: training in all rows; selection with random; synthesis with guided, layout." in text
    assert "Teachers and generators were trained on train." in text
    assert "scenes, scored on test: 2000 train images." in Latex().render([record("full")])


ABOUT = ("rank:", "{-}{-}:", "$^*$:", "Bold:", "Underlined:", "Grey:", "sign flips", "full:", r"$\Delta$:", r"$\pm$")


@pytest.mark.parametrize(
    ("records", "told"),
    [
        ([record("a")], set()),
        ([record(), record("full")], {"Grey:"}),
        ([record(iterations=i, seed=s) for i in (100, 300) for s in (0, 1)], {"Grey:", r"$\pm$"}),
        (RECORDS, {*ABOUT} - {"rank:"}),
    ],
)
def test_the_note_says_what_the_table_has_and_nothing_else(records: list[dict[str, Any]], told: set[str]) -> None:
    text = Latex().render(records)
    assert {about for about in ABOUT if about in text.split(r"\footnotesize")[1]} == told
    assert "& rank" not in text


def test_repetitions_and_noise_stand_above_and_below_any_axes() -> None:
    view = {"rows": ("rate", "arch"), "columns": ("selector", "synth", "labels")}
    floors = [*repeated("a", "real", 1.0, 2.0, 3.0), *repeated("a", "real", 1.0, 3.0, 5.0, rate=0.05)]
    text = Latex(**view).render([*floors, *repeated("random", "real", 5.0, 6.0)])  # type: ignore[arg-type]
    assert re.findall(r"n = [\w ]+", text) == ["n = 2", "n = 3"]
    assert "1.00 to 2.00" in text
    grown = Latex(**view).render([*floors, record("a", seed=9, rate=0.1)])  # type: ignore[arg-type]
    assert "n = 1 to 3" in grown


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_of_records_that_lack_some(metric: str) -> None:
    """Bytes of the full train set are null in the published records; here half of the times are, too."""
    untimed = [one | {"timings": one["timings"] | {"train": None}} for one in RECORDS[::2]]
    for records in (read_records(STUDY), [*untimed, *RECORDS[1::2], record(size=None, arch="none")]):
        text = Latex(metric=metric, tests=True).render(records)
        assert "nan" not in text and (r"\% full" in text) == (METRICS[metric].sign > 0)


def test_times_have_minus_signs() -> None:
    faster = [one | {"timings": one["timings"] | {"train": 0.5}} for one in ten("a", "guided", 5.0)]
    ((*_, gap),) = lines(Latex(metric="seconds").render([*ten("random", "real", 5.0), *faster]), "a ")
    assert gap == r"$-$0.5 s\rlap{$^*$}"


def test_few_repetitions_have_no_bold_and_say_why() -> None:
    text = Latex().render([*repeated("random", "real", *[5.0] * 5), *repeated("a", "real", *[9.0] * 5)])
    assert not any(mark in text for mark in (r"\textbf", r"\underline", "^*"))
    assert r"n = 5$^\dagger$" in text and r"cannot be under 0.062" in text


def test_too_few_repetitions_are_told_at_each_difference() -> None:
    """Whatever else is shown: 6 repetitions of two methods beside random + real cannot reach 0.05 after correction."""
    methods = [*repeated("random", "real", *map(float, range(6)))]
    for name in ("a", "b"):
        methods += repeated(name, "real", *(5.0 + k for k in range(6)))
    for where in ((), ("selector=a",), ("selector!=b",)):
        text = Latex(where=where).render(methods)
        assert r"$+$5.00\rlap{$^\dagger$}" in text and "^*" not in text
        assert r"$^\dagger$: not enough repetitions: the corrected p cannot be under 0.062." in text


def test_a_model_that_does_not_say_what_it_has_seen() -> None:
    records = [record("random", "real"), record("balanced", "guided", teacher="t"), record("a", "guided", teacher="u")]
    records[1]["provenance"]["teacher"]["trained_on"] = None
    assert "were trained on data that is not known, train." in Latex().render(records)


def test_tiny_p_values_are_not_said_to_be_zero() -> None:
    records = [record("random", miou=20.0 + 0.01 * k, seed=k) for k in range(20)]
    records += [record("a", miou=30.0 + 0.02 * k, seed=k) for k in range(20)]
    assert "$<$0.0001" in Latex(tests=True).render(records)


def test_protocols_never_share_a_column() -> None:
    records = [*repeated("random", "real", 1.0, 2.0), *repeated("random", "real", 3.0, 4.0, lr=0.5)]
    text = Latex().render(records)
    for each in records:
        assert each["spec"]["protocol_hash"][:8] in text
    assert [cell.split()[0] for cell in lines(text, "random")[0][2:]] == ["1.50", "3.50"]


def test_methods_of_two_datasets_share_a_row_whatever_their_models() -> None:
    records = [record("random", "guided", dataset=d, generator=d) for d in ("a", "b")]
    assert len(lines(Latex().render(records), "random")) == 1
    twice = [*records, record("random", "guided", 30.0, dataset="a", generator="c")]
    assert len(lines(Latex().render(twice), "random")) == 3


def test_more_columns_than_fit_go_below() -> None:
    records = [record(name, dataset=d) for d in "abcde" for name in ("random", "balanced")]
    text = Latex(groups=2).render(records)
    assert text.count(r"\begin{tabular}{llr") == 3 and text.count("& rank") == 1


def test_order_of_the_files_does_not_matter() -> None:
    records = [*RECORDS, *repeated("nan", "real", float("nan"), 1.0), record("one", miou=float("nan"))]
    text = Latex(tests=True).render(records)
    for seed in range(5):
        shuffled = random.Random(seed).sample(records, len(records))
        assert Latex(tests=True).render(iter(shuffled)) == text


def test_tests_say_what_is_behind_the_stars() -> None:
    (row,) = lines(Latex(tests=True).render([*ten("random", "real", 15.0), *ten("a", "real", 16.0)]), "scenes")
    assert row[4:] == ["a + real", "10", "$+$1.00", "0.0020", "0.0020", "0.88"]


def test_counts_beside_the_records_give_intervals() -> None:
    text = Latex(tests=True, resamples=50, folder=STUDY).render(read_records(STUDY))
    intervals = [re.sub(r"\$", "", row[7]) for row in lines(text, "scenes")]
    assert "over repetitions and test images, the same" in text
    blocks = Latex(tests=True, resamples=50, folder=STUDY, block=30).render(read_records(STUDY))
    assert "over repetitions and blocks of 30 neighbouring test images, the same" in blocks
    assert [row[7] for row in lines(blocks, "scenes")] != [row[7] for row in lines(text, "scenes")]
    assert len(intervals) == 18 and all(re.fullmatch(r"[+-]\d+\.\d\d to [+-]\d+\.\d\d", text) for text in intervals)


def test_the_gain_is_split() -> None:
    methods = {("random", "real"): 15.0, ("a", "real"): 16.0, ("a", "layout"): 14.0, ("a", "guided"): 17.5}
    records = [one for method, miou in methods.items() for one in ten(*method, miou)]
    text = Latex(gains=True, label="tab:x").render(records)
    split = {row[4]: row[5:] for row in lines(text.split("Where the gain comes from.")[1], "scenes")}
    assert split["selector"] == ["a+real - random+real", "10", r"$+$1.00 $\pm$ 0.00", "$+$1.00 to $+$1.00"]
    assert split["over layout"][2:] == [r"$+$3.50 $\pm$ 0.00", "$+$3.50 to $+$3.50"]
    assert "a+guided - random+real" in text and r"\label{tab:x-gains}" in text
    for without in (Latex(), Latex(gains=True, metric="bytes")):
        assert "Where the gain" not in without.render(records)
    assert "Where the gain" not in Latex(gains=True).render([record(), record("a")])


def test_a_failed_run_is_no_silent_gap() -> None:
    assert "gave no result" not in Latex().render(RECORDS)
    text = Latex().render([*RECORDS, record("dfss", miou=None)])
    assert "1 run gave no result; a cell without another one stands as missing." in text


def test_caption_and_label() -> None:
    text = Latex(caption=r"See \cite{x}.", label="tab:a_b").render(RECORDS)
    assert "\\caption{See \\cite{x}.}\n\\label{tab:a_b}" in text
    for wrong in (Latex(label="a}b"), Latex(groups=0), Latex(resamples=0), Latex(block=0)):
        with pytest.raises(ConfigError):
            wrong.render(RECORDS)


@pytest.mark.parametrize("records", [[], [record(miou=None)]])
def test_nothing_finished(records: list[dict[str, Any]]) -> None:
    assert Latex().render(records) == "% No record is finished.\n"


@given(st.text(max_size=100))
def test_escaped_texts_are_ascii_without_specials(text: str) -> None:
    escaped = escape(text)
    assert escaped.isascii() and escaped.isprintable()
    bare = re.sub(r"\$\\?[a-zA-Z<>|-]+\$|\\[\\{}$&#%_^~]", "", escaped)
    assert not set(bare) & set("&#%_$") and bare.count("{") == bare.count("}")


def test_escape_by_hand() -> None:
    assert escape("a_b 5% k--m [x]") == r"a\_b 5\% k-{}-m {[}x{]}"
    assert escape("é ß λ 指") == r"\'{e} \ss{} $\lambda$ {[}U+6307{]}"


def test_numbers() -> None:
    assert [number(x) for x in (-1.234, 1e300, float("nan"))] == ["$-$1.23", "1e$+$300", "nan"]
    assert number(1.234, "+.1f") == "$+$1.2"


def test_ten_thousand_records_take_seconds() -> None:
    records = [
        record(f"s{k}", "real", 20.0 + (k * 7 + s * 3) % 11, seed=s, dataset=d)
        for k in range(100)
        for s in range(10)
        for d in "abcdefghij"
    ]
    start = time.process_time()
    Latex(tests=True).render(records)
    assert time.process_time() - start < 5


def test_listing_imports_no_pandas() -> None:
    code = "import sys, d3s2bench_leaderboards.latex; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


needs_pdflatex = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")


def hostile() -> list[dict[str, Any]]:
    huge = [record("random", name, 1e300 * (-1) ** k, seed=k, dataset=name) for k, name in enumerate(HOSTILE)]
    names = [
        each
        for k, name in enumerate(HOSTILE)
        for each in ten(name, "real", 20.0 + k, arch=name, synth_options={name: name}, dataset="coco-stuff")
    ]
    return [*RECORDS, *huge, *names, record("nan", miou=float("nan")), record("ade", dataset="ADE20K")]


def test_hostile_names_keep_the_shape_of_the_table() -> None:
    """All rows of a tabular have as many cells as its first, those of a header over several columns aside."""
    for body in Latex(tests=True, gains=True).render(hostile()).split(r"\toprule")[1:]:
        rows = [row for row in body.split(r"\bottomrule")[0].splitlines() if row.endswith(r" \\")]
        assert len({_width(row) for row in rows if r"}{c}{" not in row}) == 1


def _width(row: str) -> int:
    spans = [int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d+)\}", row)]
    return row.replace(r"\&", "").count("&") + 1 + sum(spans)


@needs_pdflatex
def test_the_page_is_as_large_as_what_stands_on_it(tmp_path: Path) -> None:
    """In points: a table of two rows on less than half a sheet, one of eighty higher and as wide."""
    sizes = [_page(repeated("a", "real", 3.0, 4.0), tmp_path), _page([record(f"s{k}") for k in range(80)], tmp_path)]
    (width, height), (_, high) = sizes
    assert 340 < width < 430 and 100 < height < 280 and 900 < high < 1500


def _page(records: list[dict[str, Any]], folder: Path) -> list[float]:
    (folder / "board.tex").write_text(Latex(standalone=True).render(records), encoding="ascii")
    command = ["pdflatex", "-interaction=nonstopmode", r"\pdfobjcompresslevel=0 \input{board}"]
    subprocess.run(command, cwd=folder, capture_output=True, check=True)
    (box,) = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", (folder / "board.pdf").read_bytes())
    return [float(side) for side in box]


ARTICLE = r"""\documentclass[twocolumn]{article}
\usepackage{booktabs,colortbl,graphicx}
\begin{document}
Table~\ref{tab:leaderboard}.
\input{board}
\end{document}
"""


@needs_pdflatex
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("records", [RECORDS, hostile(), ten("a", "real", 3.0)], ids=["small", "hostile", "one"])
def test_pdflatex_takes_it_without_a_warning(records: list[dict[str, Any]], wide: bool, tmp_path: Path) -> None:
    made = Latex(standalone=True, tests=True, gains=True, wide=wide).render(records)
    (tmp_path / "board.tex").write_text(made, encoding="ascii")
    compile_quietly(tmp_path, "board.tex")


@needs_pdflatex
@pytest.mark.parametrize("wide", [False, True])
def test_an_article_of_two_columns_takes_it_without_a_warning(wide: bool, tmp_path: Path) -> None:
    (tmp_path / "board.tex").write_text(Latex(tests=True, gains=True, wide=wide).render(RECORDS), encoding="ascii")
    (tmp_path / "article.tex").write_text(ARTICLE)
    compile_quietly(tmp_path, "article.tex")
    floats = (tmp_path / "board.tex").read_text().count(r"\begin{table*}")
    assert floats == (3 if wide else 0)


def compile_quietly(folder: Path, name: str) -> None:
    for _ in range(2):  # the second run knows the labels
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", name]
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
        assert run.returncode == 0, run.stdout[-2000:]
    log = (folder / name).with_suffix(".log").read_text(errors="replace")
    assert not re.findall(r".*(?:Warning|Overfull|Underfull|Missing character).*", log)
