"""Curves by hand, and the files that are drawn of them."""

from __future__ import annotations

import io
import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageColor
from record_fakes import CONVERGED, record

from d3s2bench import ConfigError, PluginError, StoreError
from d3s2bench_leaderboards.bootstrap import CountsFolder
from d3s2bench_leaderboards.columns import board
from d3s2bench_leaderboards.figures import KINDS, Figures
from d3s2bench_leaderboards.metrics import metric
from d3s2bench_leaderboards.panels import Panel, choose, panels
from d3s2bench_leaderboards.rows import gather
from d3s2bench_leaderboards.svg import round_numbers, svg

STUDY = Path(__file__).parents[2] / "leaderboards" / "scenes"


def drawn(records: list[dict[str, Any]], kind: str, most: int = 8, counts: CountsFolder | None = None) -> list[Panel]:
    made = board(gather(records))
    return list(panels(made, "mIoU (%)", choose(made, most), counts, (kind,)))


def test_against_the_rate_by_hand() -> None:
    records = [record(miou=100 * rate + seed, seed=seed, rate=rate) for rate in (0.1, 0.05, 0.2) for seed in (0, 2)]
    (panel,) = drawn([*records, record("dfss", miou=9.0, rate=0.1)], "rate")
    random, dfss = panel.curves
    assert [(p.x, p.mean, p.n) for p in random.points] == [(0.05, 6.0, 2), (0.1, 11.0, 2), (0.2, 21.0, 2)]
    assert random.points[0].std == pytest.approx(math.sqrt(2)) and math.isnan(dfss.points[0].std)
    assert panel.ticks == ((0.05, "5 %"), (0.1, "10 %"), (0.2, "20 %")) and panel.log
    assert random.control and not dfss.control


def test_the_best_is_drawn_though_it_is_not_in_every_column() -> None:
    """It beats the others wherever it is; they are in one column more."""
    board_of = [
        record(name, "guided", miou=m, rate=rate)
        for rate in (0.01, 0.05)
        for name, m in (("random", 10.0), ("a", 20.0), ("b", 19.0), ("c", 18.0), ("d", 17.0))
    ]
    best = record("e", "guided", miou=30.0)
    made = board(gather([*board_of, best]))
    assert [made.names[method][0] for method in made.methods] == ["e", "a", "b", "c", "d", "random"]
    assert "e+guided" in [curve.name for curve in drawn([*board_of, best], "classes", most=3)[0].curves]


def test_budgets_share_a_picture_where_nothing_else_differs() -> None:
    records = [record(miou=float(i), iterations=i) for i in (100, 300)] + [record(miou=5.0, iterations=900, lr=0.5)]
    (panel,) = drawn(records, "budget")
    assert [(p.x, p.mean) for p in panel.curves[0].points] == [(100, 100.0), (300, 300.0)]
    assert drawn(records[:1], "budget") == []


def test_protocols_and_architectures_share_no_picture() -> None:
    both = [
        record(name, miou=5.0, size=size, **more)
        for name, size in (("random", 10), ("dfss", 20))
        for more in ({}, {"lr": 0.5}, {"arch": "fcn"})
    ]
    found = drawn(both, "bytes")
    assert len(found) == 3 and len({panel.about for panel in found}) == 3


def test_the_front_is_what_nothing_beats() -> None:
    points = {"a": (100, 10.0), "b": (200, 9.0), "c": (300, 30.0), "d": (300, 20.0), "e": (400, 30.0), "f": (500, 31.0)}
    (panel,) = drawn([record(name, miou=m, size=size) for name, (size, m) in points.items()], "bytes")
    assert panel.front == ((100, 10.0), (300, 30.0), (500, 31.0))


def test_two_costs_have_no_front() -> None:
    made = board(gather([record("random", size=100), record("a", size=200)], metric("seconds")))
    (panel,) = panels(made, "seconds", choose(made, 8), None, ("bytes",))
    assert panel.front == ()


def test_classes_stand_from_most_to_fewest_pixels_of_train() -> None:
    """As head, middle and tail do."""
    one = json.loads(next((STUDY / "records").glob("*.json")).read_text(encoding="utf-8"))
    (panel,) = drawn([one], "classes", counts=CountsFolder(STUDY))
    import numpy as np

    with np.load(STUDY / "records" / one["confusion"]["path"]) as counts:
        pixels = dict(zip(one["spec"]["dataset"]["classes"], counts["train_share"], strict=True))
    assert [name for _, name in panel.ticks] == sorted(pixels, key=lambda name: -pixels[name])
    iou = dict(zip(one["spec"]["dataset"]["classes"], one["metrics"]["per_class_iou"], strict=True))
    assert [p.mean for p in panel.curves[0].points] == [iou[name] for _, name in panel.ticks]


def test_random_real_and_the_full_set_are_always_drawn() -> None:
    many = [record(f"s{k}", miou=20.0 + k, labels=labels) for k in range(9) for labels in ("hard", "soft")]
    (panel,) = drawn([*many, record(miou=1.0), record("full", miou=60.0)], "classes", most=4)
    assert [curve.name for curve in panel.curves] == ["random+real", "s8+real, soft labels", "s8+real", "full+real"]
    assert panel.left_out == 20 - 4


@pytest.mark.parametrize(("low", "high"), [(0, 1), (29.7, 41.2), (0.001, 0.0012), (5, 5), (-3, 1e6)])
def test_round_numbers_enclose(low: float, high: float) -> None:
    found = round_numbers(low, high)
    assert found[0] <= low and high <= found[-1] and 2 <= len(found) <= 9


def test_svg_places_points_on_its_scales() -> None:
    (panel,) = drawn([record(name, miou=m, size=s) for name, m, s in (("a", 10.0, 10**3), ("b", 20.0, 10**6))], "bytes")
    text = svg(panel)
    assert panel.log and text.count('class="mark"') == 2 and ">10k<" in text
    assert "a+real: 10.00, n 1" in text


# --- files -----------------------------------------------------------------------------------------------------------

SMALL = [
    *(
        record(s, y, m + k, k, rate=r, size=9000)
        for k in (0, 1)
        for r in (0.01, 0.1)
        for s, y, m in (("random", "real", 9.0), ("balanced", "guided", 12.0))
    ),
    record("full", miou=50.0, iterations=CONVERGED),
]


def test_each_picture_is_a_pdf_and_a_png_of_column_width() -> None:
    files = Figures(kinds=("rate",)).render(SMALL)
    assert list(files) == ["rate-scenes.pdf", "rate-scenes.png"]
    pdf, png = files.values()
    assert pdf.startswith(b"%PDF-") and b"/Type3" not in pdf  # publishers refuse Type 3 fonts
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.width == 660
    assert Figures(kinds=("rate",)).render(SMALL[::-1]) == files


def test_pictures_of_one_scale_share_figures_of_one_height_each() -> None:
    rates = (0.01, 0.02, 0.03, 0.05, 0.1)
    files = Figures(kinds=("classes", "rate"), dpi=100).render(
        [record(miou=9.0, rate=r, arch=a, dataset=d) for r in rates for a in ("unet", "fcn") for d in ("scenes", "voc")]
    )
    sizes = {name: Image.open(io.BytesIO(file)).size for name, file in files.items() if name.endswith(".png")}
    parts = {f"classes-{dataset}{part}.png" for dataset in ("scenes", "voc") for part in ("", "-2", "-3")}
    assert sizes.keys() == parts | {"rate-scenes.png", "rate-voc.png"}
    heights = [sizes[f"classes-scenes{part}.png"][1] for part in ("", "-2", "-3")]
    assert heights[0] == heights[1] and heights[0] - heights[2] == 2 * 150  # four, four and two pictures of 1.5 inches


def test_styles_differ_without_colour() -> None:
    from d3s2bench_leaderboards.drawing import STYLES

    assert len({marker for _, marker, _ in STYLES}) == len({str(dashes) for _, _, dashes in STYLES}) == len(STYLES)
    assert len({ImageColor.getcolor(colour, "L") for colour, _, _ in STYLES}) == len(STYLES)


SHOWN = (
    ("random", "real"),
    ("balanced", "guided"),
    ("balanced", "layout"),
    ("random", "layout"),
    ("k-center", "\ud800"),
)


def looks(*methods: tuple[str, str], best: int = 0, most: int = 8, looks: int = 12) -> dict[str, int]:
    """Style by name; the method with the number ``best`` has the highest score."""
    records = [record(*method, miou=30.0 if k == best else 10.0 + k) for k, method in enumerate(methods)]
    chosen = choose(board(gather([*records, record("full", miou=60.0)])), most, looks)
    return {name: chosen.styles[method] for method, name in chosen.names.items()}


def test_a_method_has_the_same_style_whatever_else_is_drawn() -> None:
    every = looks(*SHOWN)
    assert every == looks(*SHOWN, best=3) and len({*every.values()}) == len(every) == 6
    for method in SHOWN:
        alone = looks(method)
        assert alone.items() <= every.items()


@pytest.mark.parametrize("number", [8, 12])
def test_styles_do_not_clash(number: int) -> None:
    """Not even those of one name, whose options differ, nor where more methods than styles are drawn."""
    many = looks(*SHOWN, *((f"s{k}", "real") for k in range(number)), most=number, looks=number)
    assert sorted(many.values()) == list(range(number))
    twins = [record("dfss", options={"k": k}) for k in range(3)]
    chosen = choose(board(gather([*twins, record(), *(record("balanced", y) for y in "ab")])), 8, number)
    assert len({*chosen.styles.values()}) == 6 and max(chosen.styles.values()) < number
    assert len({*looks(*((f"s{k}", "real") for k in range(20)), most=20).values()}) == 20


def test_figures_say_what_they_show_and_what_they_do_not() -> None:
    from d3s2bench_leaderboards.drawing import said

    points = [record(n, miou=m + s, seed=s, size=z) for n, m, z in (("a", 5.0, 10), ("b", 9.0, 20)) for s in (0, 1)]
    front = "Dotted steps: Pareto front, the highest mean for at most so much."
    assert [*said(drawn(points, "bytes"))] == ["Mean and standard deviation (bar), n = 2.", front]
    assert [*said(drawn(SMALL, "rate"))] == ["Mean and standard deviation (band), n = 2."]
    many = [record(f"s{k}", miou=20.0 + k) for k in range(9)]
    assert [*said(drawn([*many, points[0]], "classes"))] == ["Mean, n = 1.", "Methods that are not drawn: 5."]


def test_names_that_are_no_file_names_nor_mathematics() -> None:
    names = ["../$x_{1", r"\frac{$", "_hidden", "指数\u202e", "%s" * 40]
    records = [
        record(name, name, 10.0 + s, s, dataset=names[0], rate=r) for name in names for s in (0, 1) for r in (0.01, 0.1)
    ]
    records += [
        one | {"spec": one["spec"] | {"dataset": one["spec"]["dataset"] | {"name": "..$x 1"}}, "id": one["id"] + "b"}
        for one in records
    ]
    files = Figures(kinds=("rate",)).render(records)
    assert len(files) == 4 and all(name.replace("-", "").replace(".", "").isalnum() for name in files)


def test_nothing_finished() -> None:
    assert Figures().render([record(miou=None)]) == {}


@pytest.mark.parametrize("options", [{"kinds": ("pie",)}, {"most": 1}, {"width": 0.0}, {"dpi": 10**6}])
def test_options_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="renderer figures"):
        Figures(**options).render(SMALL)


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "d3s2bench_leaderboards.drawing", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(PluginError, match="pip install"):
        Figures().render(SMALL)


def test_counts_that_are_missing_are_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"counts\.npz"):
        Figures(kinds=("classes",), folder=tmp_path).render(SMALL)


def test_kinds() -> None:
    assert Figures().kinds == KINDS
