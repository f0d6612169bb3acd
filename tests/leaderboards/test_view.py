"""What a table shows, along which axes and in which order: the options that all formats share."""

from __future__ import annotations

import csv
import io
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_fakes import CONVERGED, record

from d3s2bench import ConfigError, D3S2Error, StoreError
from d3s2bench_leaderboards.csv import Csv
from d3s2bench_leaderboards.html import Html
from d3s2bench_leaderboards.latex import Latex
from d3s2bench_leaderboards.markdown import Markdown

FORMATS = (Markdown, Csv, Latex, Html)
MIOU = {("random", "real"): 15.0, ("balanced", "real"): 18.0, ("balanced", "guided"): 25.0}
RECORDS = [
    *(record(*method, m + s, s, arch=arch) for method, m in MIOU.items() for s in (0, 1) for arch in ("unet", "fcn")),
    record("k-center", miou=30.0),
    record("full", miou=40.0),
    record("full", miou=50.0, iterations=CONVERGED),
]


def lines(**view: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(Csv(**view).render(RECORDS))))


def methods(**view: Any) -> list[str]:
    return [f"{line['selector']}+{line['synth']}" for line in lines(where=("arch=unet", "selector!=full"), **view)]


def cells(text: str) -> list[list[str]]:
    """The first table of a Markdown text."""
    table = text.split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in [table[0], *table[2:]]]


def test_each_metric_is_that_of_the_record() -> None:
    one = record("balanced", "guided", 20.0, size=300)
    one["metrics"] |= {"miou_head": 1.5, "miou_mid": 2.5, "miou_tail": None}
    one["metrics"] |= {"pixel_accuracy": 4.5, "mean_accuracy": 5.5}
    one["timings"] = {"select": 1.0, "synthesise": 20.0, "train": 300.0, "evaluate": 4000.0}
    wanted = {"miou": "20.0", "miou_head": "1.5", "miou_mid": "2.5", "miou_tail": "", "pixel_accuracy": "4.5"}
    for metric, value in {**wanted, "mean_accuracy": "5.5", "bytes": "300.0", "seconds": "321.0"}.items():
        (line,) = csv.DictReader(io.StringIO(Csv(metric=metric).render([one])))
        assert line[metric] == value


def test_fewer_bytes_are_better() -> None:
    sizes = {"random": 300, "balanced": 100, "dfss": 200}
    records = [record(name, miou=5.0, seed=s, size=size + s) for name, size in sizes.items() for s in range(10)]
    text = Latex(metric="bytes").render(records)
    found = [line.removeprefix(r"\rowcolor[gray]{.92}") for line in text.splitlines() if "& real &" in line]
    assert found == [
        r"random & real & 304.5 B $\pm$ 3.028 B &  \\",
        r"balanced & real & \textbf{104.5 B} $\pm$ 3.028 B & $-$200 B\rlap{$^*$} \\",
        r"dfss & real & \underline{204.5 B} $\pm$ 3.028 B & $-$100 B\rlap{$^*$} \\",
    ]
    assert "Where the gain" not in Markdown(metric="bytes").render(records)


def test_what_is_not_shown_is_still_a_control() -> None:
    (line,) = lines(where=("synth=guided", "arch=unet"))
    assert (line["selector"], line["miou"], line["vs_random"]) == ("balanced", "25.5", "10.0")
    assert line["percent_of_full"] == "51.0"
    for form in (Markdown, Html):
        assert "Shown: synth=guided, arch=unet." in form(where=("synth=guided", "arch=unet")).render(RECORDS)


def test_no_filter_makes_a_star() -> None:
    """With 6 repetitions one comparison reaches 0.03 and two reach 0.06: of the column's two no one shows just one."""
    means = {"random": 15.0, "balanced": 18.0, "herding": 19.0}
    records = [record(name, miou=m, seed=s) for name, m in means.items() for s in range(6)]
    assert r"\rlap{$^*$}" in Latex().render([each for each in records if each["spec"]["selector"]["name"] != "herding"])
    assert r"\rlap{$^*$}" not in Latex(where=("selector!=herding",)).render(records)


@pytest.mark.parametrize("form", [Markdown, Html])
def test_looks_at_a_split_are_counted_whatever_is_shown(form: Any) -> None:
    counts = {"unet": (3, 2), "fcn": (7, 4)}
    records = [record(arch=arch, evaluations=known) for arch, known in counts.items()]
    elsewhere = record(dataset="other", evaluations=(9, 9))
    text = form(where=("arch=unet", "dataset=scenes")).render([*records, elsewhere])
    assert "was evaluated 7 times, with 4 configurations" in text and "9 times" not in text


@pytest.mark.parametrize("form", [Markdown, Html])
def test_a_record_that_a_later_one_replaces_is_counted(form: Any) -> None:
    twice = [record(miou=20.0), record(miou=10.0, version="0.2.0", created="2026-02-01T00:00:00+00:00")]
    assert "1 record not shown: replaced by later ones" in form().render(twice)
    assert "not shown" not in form().render(twice[:1])


@pytest.mark.parametrize("form", [Markdown, Html])
def test_a_row_of_different_code_is_told(form: Any) -> None:
    records = [record(seed=0), record(seed=1, version="0.2.0"), record("balanced", version="0.2.0")]
    assert "Repetitions of different code: random + real, hard labels (scenes, 1 %, unet)." in form().render(records)
    assert "different code" not in form().render(records[:1] + records[2:])


@pytest.mark.parametrize("form", [Markdown, Latex, Html])
def test_numbers_of_different_processors_are_told(form: Any) -> None:
    records = [record(seed=0), record("a", seed=0), record("b", seed=0, arch="fcn")]
    for one, versions in zip(
        records, ({"cpu": "AVX2"}, {"cpu": "AVX512"}, {"cpu": "AVX2", "gpu": "H200"}), strict=True
    ):
        one["versions"] |= versions
    told = "Different processors, whose numbers differ for the same seed: AVX2, AVX512 (scenes, unet, "
    assert told in form().render(records)
    records[1]["versions"]["cpu"] = "AVX2"
    assert "Different processors" not in form().render(records)
    records[1]["versions"]["gpu"] = "H200"
    assert "AVX2, H200 (scenes, unet, " in form().render(records)
    for each, model in zip(records, ("6-143", "6-207", "6-207"), strict=True):
        each["versions"] = {**each["versions"], "cpu": "AVX512", "gpu": "", "processor": model}
    assert "AVX512 6-143, AVX512 6-207 (scenes, unet, " in form().render(records)


@pytest.mark.parametrize(
    ("where", "number"),
    [
        (("arch=unet",), 6),
        (("arch=unet,fcn",), 9),
        (("selector=bal*",), 4),
        (("selector!=bal*", "arch=fcn"), 1),
        (("rate=0.01",), 9),  # the full train set is the reference of every rate
        (("rate=1%", "selector!=full"), 7),
        (("rate=0.02",), 2),
        (("iterations=3000",), 1),
        (("method=random+real,balanced+guided", "arch=unet"), 2),
        (("method!=*+real",), 2),
        ((f"protocol={record()['spec']['protocol_hash'][:5]}",), 8),
    ],
)
def test_conditions(where: tuple[str, ...], number: int) -> None:
    assert len(lines(where=where)) == number


def test_order() -> None:
    assert methods(sort="-score") == ["k-center+real", "balanced+guided", "balanced+real", "random+real"]
    assert methods(sort="score") == methods(sort="-score")[::-1]
    assert methods(sort="selector")[0] == "balanced+guided"
    assert methods(sort="delta")[-1] == "random+real"  # it does not know it
    assert methods(sort="-delta")[-1] == "random+real"


def test_axes() -> None:
    text = Markdown(rows=("arch",), columns=("selector", "synth"), where=("selector!=full,k-center",)).render(RECORDS)
    table = cells(text)
    headers = [header.split(", 300")[0] for header in table[0]]
    assert headers == ["arch", "random, real", "balanced, guided", "balanced, real"]
    assert [line[0] for line in table[1:]] == ["fcn", "unet"]
    assert table[2][2] == "25.50 ± 0.71, n 2, Δ +10.00, 51.0 %"


def test_the_full_set_is_a_reference_of_the_rates_that_are_not_left_out() -> None:
    assert {"random", "full"} <= {line["selector"] for line in lines(where=("rate!=0.05",))}
    assert {"full"} == {line["selector"] for line in lines(where=("rate!=0.01",))}


def test_a_facet_is_no_row_when_it_is_a_column() -> None:
    table = cells(Markdown(columns=("selector", "synth", "dataset")).render(RECORDS))
    assert table[0][:2] == ["rate", "arch"] and not any("–" in line[2:] for line in table[1:] if line[0] == "100 %")


def test_what_no_axis_names_and_differs_stands_in_the_rows() -> None:
    assert cells(Markdown(rows=("dataset",)).render(RECORDS))[0][:3] == ["dataset", "selector", "synth"]


def test_protocols_share_no_column() -> None:
    short, long = record(miou=11.0), record("balanced", miou=22.0, lr=0.5)
    protocols = [one["spec"]["protocol_hash"] for one in (short, long)]
    table = cells(Markdown(columns=("dataset",)).render([short, long]))
    assert sorted(header[-8:] for header in table[0][2:]) == sorted(protocol[:8] for protocol in protocols)
    assert [line[2:].count("–") for line in table[1:]] == [1, 1]
    (header, *rows) = csv.reader(io.StringIO(Csv(columns=("dataset",)).render([short, long])))
    assert all(sum(protocol in name for name in header) == 5 for protocol in protocols)
    assert [row[2:].count("") for row in rows] == [8, 8]  # five of the other's, no spread, Δ and % of one's own


def test_a_missing_cell_is_shown_as_missing() -> None:
    table = cells(Markdown(columns=("arch",)).render(RECORDS))
    fcn = next(k for k, header in enumerate(table[0]) if header.startswith("fcn"))
    assert next(line for line in table if line[0] == "k-center")[fcn] == "–"


@pytest.mark.parametrize(
    "view",
    [
        {"metric": "iou"},
        {"sort": "colour"},
        {"where": ("arch",)},
        {"where": ("colour=red",)},
        {"where": ("rate=much",)},
        {"rows": ("colour",)},
        {"rows": ("protocol",)},
        {"rows": ("arch",), "columns": ("arch",)},
    ],
)
def test_options_that_cannot_be_read(view: dict[str, Any]) -> None:
    with pytest.raises(D3S2Error) as error:
        Markdown(**view).render(RECORDS)
    assert isinstance(error.value, ConfigError) and "\n" not in str(error.value)


@pytest.mark.parametrize("form", FORMATS)
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_order_of_the_files_does_not_matter(form: Any, seed: int) -> None:
    records = [*RECORDS, record("a", miou=float("nan")), record("b", miou=float("nan")), record("c", miou=None)]
    shuffled = random.Random(seed).sample(records, len(records))
    assert form().render(shuffled) == form().render(records)


@pytest.mark.parametrize("form", FORMATS)
def test_records_that_no_table_can_show(form: Any) -> None:
    twins = [record(miou=20.0), record(miou=21.0)]
    assert twins[0]["id"] == twins[1]["id"]
    with pytest.raises(StoreError, match=f"id {twins[0]['id']}"):
        form().render(twins)
    assert form().render([twins[0], record(miou=20.0)]) == form().render(twins[:1])
    for huge in (record(iterations=10**30), record(size=10**400), record(seed=2**53 + 1)):
        with pytest.raises(StoreError, match=huge["id"]):
            form().render([huge])
    without_images = record("a")
    without_images["budget"]["images"] = None
    with pytest.raises(StoreError, match=f"{without_images['id']}: .*does not say how many images"):
        form().render([without_images])
    without_rate = record()
    without_rate["spec"]["rate"] = float("nan")
    with pytest.raises(StoreError, match="rate is no number"):
        form().render([without_rate])


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("labels", [{"a": 1}, None, 3])
def test_labels_of_an_evaluator_of_others_may_be_no_text(form: Any, labels: Any) -> None:
    one = record("a")
    one["spec"]["evaluator"]["options"]["labels"] = labels
    assert form().render([record(), one])
