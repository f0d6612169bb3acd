"""The page as a reviewer has it: in a real browser, offline, with a keyboard, on a phone, with hostile names."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import PROGRAM, Chromium
from PIL import Image
from record_fakes import CONVERGED, record

from d3s2bench import ConfigError, StoreError
from d3s2bench_leaderboards.csv import Csv
from d3s2bench_leaderboards.html import Html

STUDY = Path(__file__).parents[2] / "leaderboards" / "scenes"
HOSTILE = [
    "<script>document.title='owned'</script>",
    '"><img src=x onerror="document.title=\'owned\'">',
    "</script><script>document.title='owned'</script>",
    "' onmouseover='x",
    "{{ 7 * 7 }}",
    "__proto__",
    "\u202egnp.exe \ud800 \x00",
    "m" * 300,
]


def study() -> list[dict[str, Any]]:
    return [json.loads(file.read_text(encoding="utf-8")) for file in sorted((STUDY / "records").glob("*.json"))]


def hostile() -> list[dict[str, Any]]:
    made = []
    for k, name in enumerate(HOSTILE):
        for seed in (0, 1):
            one = record(name, name, 10.0 + k + seed, seed, dataset=name, arch=name, iterations=100 + 200 * (k % 2))
            one["id"] = f"{name}{seed}"
            one["spec"]["dataset"]["classes"] = [name]
            one["provenance"]["command"] = f"d3s2bench run {name}\nrm -rf /"
            made.append(one)
    return [*made, record(miou=float("nan")), record("dfss", miou=None, reason=HOSTILE[0])]


class Tags(HTMLParser):
    """Tags and attributes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def embedded(page: str) -> Any:
    return json.loads(re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[0])


# --- the text --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("records", [study(), hostile()], ids=["study", "hostile"])
def test_the_page_loads_nothing_and_runs_nothing_but_its_own_script(records: list[dict[str, Any]]) -> None:
    tags = Tags(Html(folder=None).render(records)).found
    names = [tag for tag, _ in tags]
    assert names.count("script") == 2 and not {"link", "iframe", "object", "img", "base"} & set(names)
    assert not [key for _, attributes in tags for key in attributes if key.startswith("on")]
    assert all(str(a["href"]).startswith("#") for _, a in tags if "href" in a)
    policy = next(str(a["content"]) for _, a in tags if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy and "script-src 'sha256-" in policy


def test_a_number_tells_its_records_and_its_command() -> None:
    records = [record("balanced", "guided", 20.0 + seed, seed) for seed in (3, 4)]
    for one in records:
        one["provenance"]["command"] = f"d3s2bench run --seed {one['spec']['seed']} --selector balanced"
    (detail,) = embedded(Html(records="https://example.org/r").render(records))["rows"].values()
    assert detail["runs"] == [[3, 23.0, records[0]["id"]], [4, 24.0, records[1]["id"]]]
    assert detail["command"] == "d3s2bench run --seed N --selector balanced"
    assert detail["base"] == "https://example.org/r/" and detail["iou"] == [[23.5, 0.707]]


def test_commands_that_differ_in_more_than_the_seed_are_all_kept() -> None:
    records = [record(miou=20.0, seed=seed) for seed in (0, 1)]
    records[1]["provenance"]["command"] = "d3s2bench evaluate elsewhere"
    (detail,) = embedded(Html().render(records))["rows"].values()
    assert detail["command"] is None
    assert detail["commands"] == ["d3s2bench run", "d3s2bench evaluate elsewhere"]


def test_what_stands_behind_a_star() -> None:
    """In three lines: what a row of CSV says, what the intervals are worth, and that few repetitions are told."""
    lines = csv.DictReader(io.StringIO(Csv().render(guided_and_random())))
    (said,) = (line for line in lines if (line["rate"], line["arch"], line["selector"]) == ("0.01", "unet", "balanced"))
    page = Html(folder=STUDY, resamples=50).render(guided_and_random())
    line = next(line for line in rows_of(page, "tests") if line[:4] == ["scenes", "1 %", "unet", "balanced + guided"])
    assert line[4] == said["n"] == "10" and re.fullmatch(r"[+-]\d+\.\d\d to [+-]\d+\.\d\d", line[6])
    numbers = [float(line[k]) for k in (5, 7, 8, 9)]
    assert numbers == pytest.approx([float(said[key]) for key in ("vs_random", "p", "p_holm", "better")], abs=0.006)
    assert "over repetitions and test images, the same" in page and "†: so few" not in page
    blocks = Html(folder=STUDY, resamples=50, block=30).render(guided_and_random())
    assert "blocks of 30 neighbouring test images" in blocks
    few = Html().render([one for one in guided_and_random() if one["spec"]["seed"] < 3])
    assert [line[7] for line in rows_of(few, "tests")] == ["0.2500†"] * 2 and "†: so few" in few
    assert "Against random + real</h2>" not in Html().render([record(), record("a")])


def guided_and_random() -> list[dict[str, Any]]:
    """The methods balanced + guided and random + real, by two architectures."""
    methods = [("balanced", "guided"), ("random", "real")]
    found = ((one, one["spec"]) for one in study() if one["spec"]["rate"] == 0.01)
    return [
        one
        for one, spec in found
        if (spec["selector"]["name"], spec["synth"]["name"]) in methods
        and spec["evaluator"]["options"].get("labels", "hard") == "hard"
    ]


def rows_of(page: str, table: str) -> list[list[str]]:
    """The texts of the cells in the body of a table."""
    body = page.split(f'id="{table}"')[1].split("<tbody>")[1].split("</tbody>")[0]
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in body.split("<tr>")[1:]]
    return [[re.sub(r"<.*?>", "", cell) for cell in row] for row in rows]


@pytest.mark.parametrize(
    "options",
    [
        {"most": 1},
        {"resamples": -1},
        {"block": 0},
        {"kinds": ("pie",)},
        {"pictures": -1},
        {"records": "javascript:alert(1)//"},
    ],
)
def test_options_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="renderer html"):
        Html(**options).render([record()])


@pytest.mark.parametrize("records", [[], [record(miou=None)]])
def test_nothing_finished(records: list[dict[str, Any]]) -> None:
    assert "No record is finished." in Html().render(records)


# --- the gallery -----------------------------------------------------------------------------------------------------


def a_set(folder: Path, key: str, redistributable: bool | None) -> dict[str, Any]:
    place = folder / "store" / "distilled" / key
    place.mkdir(parents=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 1000, 3), np.uint8)).save(place / "preview.png")
    rights = {} if redistributable is None else {"redistributable": redistributable}
    (place / "manifest.json").write_text(json.dumps({"dataset": {"name": "scenes"} | rights}))
    np.savez(folder / "counts.npz", per_image=np.ones((2, 1, 1), np.int64))
    one = record("balanced", "guided")
    one["provenance"]["distilled"] = key
    return one


@pytest.mark.parametrize(
    ("rights", "options", "shown"),
    [
        (True, {}, 1),
        (False, {}, 0),
        (None, {}, 0),
        (None, {"may_pass_on": ("scenes",)}, 1),
        (True, {"pictures": 0}, 0),
    ],
)
def test_only_pictures_that_may_be_passed_on(
    tmp_path: Path, rights: bool | None, options: dict[str, Any], shown: int
) -> None:
    page = Html(folder=tmp_path, **options).render([a_set(tmp_path, "a" * 64, rights)])
    pictures = [attributes for tag, attributes in Tags(page).found if tag == "img"]
    assert len(pictures) == shown
    assert all(str(a["src"]).startswith("data:image/webp;base64,") and a["width"] == "400" for a in pictures)
    assert ("nothing says that their images may be passed on: scenes" in page) == (rights is not True and not shown)


def test_a_record_cannot_lead_the_gallery_out_of_the_store(tmp_path: Path) -> None:
    one = a_set(tmp_path, "a" * 64, True)
    one["provenance"]["distilled"] = f"../distilled/{'a' * 64}"
    assert "<img" not in Html(folder=tmp_path).render([one])


@pytest.mark.parametrize("broken", ["preview.png", "manifest.json"])
def test_a_broken_set_is_told(tmp_path: Path, broken: str) -> None:
    one = a_set(tmp_path, "a" * 64, True)
    (tmp_path / "store" / "distilled" / ("a" * 64) / broken).write_text("[")
    with pytest.raises(StoreError, match=broken):
        Html(folder=tmp_path).render([one])


# --- in a browser ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    if PROGRAM is None:
        pytest.skip("needs chromium")
    with Chromium(tmp_path_factory.mktemp("profile")) as chromium:
        yield chromium


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    (folder / "study.html").write_text(Html(folder=STUDY).render(study()), encoding="utf-8")
    (folder / "hostile.html").write_text(Html().render(hostile()), encoding="utf-8")
    return folder


def first_column(browser: Chromium) -> list[str]:
    names: list[str] = browser.run("[...board.tBodies[0].rows].filter(r => !r.hidden).map(r => r.cells[0].textContent)")
    return names


def scores(browser: Chromium, column: int) -> list[float]:
    found: list[float] = browser.run(
        f"[...board.tBodies[0].rows].map(row => Number(row.cells[{column + 1}].dataset.score))"
    )
    return found


def focus(browser: Chromium, selector: str) -> None:
    browser.run(f"document.querySelector({json.dumps(selector)}).focus()")


def test_nothing_is_loaded_and_nothing_goes_wrong(browser: Chromium, pages: Path) -> None:
    browser.requests.clear()
    browser.problems.clear()
    browser.open(pages / "study.html")
    assert [request for request in browser.requests if request != "about:blank"] == [(pages / "study.html").as_uri()]
    assert browser.problems == []


def test_sorted_by_keyboard(browser: Chromium, pages: Path) -> None:
    browser.open(pages / "study.html")
    focus(browser, "thead [data-column='1']")
    browser.press("Enter")
    assert scores(browser, 1) == sorted(scores(browser, 1), reverse=True)
    assert browser.run("document.querySelector('[aria-sort]').ariaSort") == "descending"
    browser.press("Enter")
    assert scores(browser, 1) == sorted(scores(browser, 1))
    focus(browser, "thead [data-column='-1']")
    browser.press("Enter")
    assert first_column(browser) == sorted(first_column(browser))
    assert browser.run("document.querySelectorAll('[aria-sort]').length") == 1


def test_sorted_by_average_rank(browser: Chromium, pages: Path) -> None:
    browser.open(pages / "study.html")
    browser.run("document.querySelector('#by-rank button').click()")
    ranks = browser.run("[...board.tBodies[0].rows].map(row => row.lastElementChild.textContent)")
    known = [float(rank) for rank in ranks if rank]
    assert len(known) == 7 and known == sorted(known) and ranks[-1] == ""
    browser.run("""{const list = document.querySelector("[data-facet='arch']");
        list.value = 'unet'; list.dispatchEvent(new Event('change'))}""")
    assert browser.run("board.tBodies[0].rows[0].querySelectorAll('td:not([hidden])').length") == 3


def test_what_a_column_does_not_know_comes_last_either_way(browser: Chromium, pages: Path) -> None:
    browser.open(pages / "study.html")
    browser.run("document.getElementById('sort-by').value = 'delta'")
    for _ in range(2):
        browser.run("document.querySelector(\"thead [data-column='0']\").click()")
        assert {"random + real", "full + real"} == set(first_column(browser)[-2:])


def test_filtered(browser: Chromium, pages: Path) -> None:
    browser.open(pages / "study.html")
    focus(browser, "#filter")
    browser.type("Balanced gui")
    assert first_column(browser) == ["balanced + guided, soft labels", "balanced + guided"]
    assert browser.run("document.getElementById('shown').textContent") == "2 of 8 rows"
    browser.run("""{const list = document.querySelector("[data-facet='rate']");
        list.value = '5 %'; list.dispatchEvent(new Event('change'))}""")
    heads = "[...board.tHead.querySelectorAll('[data-columns]')].filter(c => !c.hidden)"
    assert browser.run(f"{heads}.map(c => c.textContent.trim().split('\\n')[0])")[:3] == ["scenes", "5 %", "unet"]
    assert browser.run(f"{heads}.every(c => c.colSpan === 1)")
    assert browser.run("board.tBodies[0].rows[0].querySelectorAll('td:not([hidden])').length") == 2  # and the rank


def test_a_number_opens_what_it_is_from_and_escape_leads_back(browser: Chromium, pages: Path) -> None:
    browser.open(pages / "study.html")
    focus(browser, "#board tbody a.score")
    browser.press("Enter")
    assert browser.run("new Promise(done => setTimeout(() => done(dialog.open), 50))")
    links = browser.run("[...dialog.querySelectorAll('tbody a')].map(a => a.getAttribute('href'))")
    assert len(links) == 10 and all((STUDY / link).is_file() for link in links)
    record = json.loads((STUDY / links[0]).read_text(encoding="utf-8"))
    assert browser.run("dialog.querySelector('code').textContent") == record["provenance"]["command"]
    assert browser.run("dialog.querySelectorAll('meter').length") == len(record["spec"]["dataset"]["classes"])
    browser.run("window.left = new Promise(done => dialog.addEventListener('close', () => setTimeout(done))), 0")
    browser.press("Escape")
    assert browser.run("left.then(() => [dialog.open, location.hash])") == [False, ""]
    assert "score" in browser.run("document.activeElement.className")


def test_a_link_to_a_number_opens_it(browser: Chromium, pages: Path) -> None:
    browser.open(pages / "study.html")
    link = browser.run("document.querySelector('#board tbody a.score').getAttribute('href')")
    browser.open(pages / "study.html", fragment=link)
    assert browser.run("dialog.open") and not browser.problems


def test_a_phone_shows_the_page_without_scrolling_sideways(browser: Chromium, pages: Path) -> None:
    for page in ("study.html", "hostile.html"):
        browser.open(pages / page, width=360, height=740)
        assert browser.run("document.documentElement.scrollWidth") <= 360
        assert browser.run("document.querySelector('.stub').getBoundingClientRect().width") < 180
    small = "[...document.querySelectorAll('thead button, select, input')].filter(b => b.offsetHeight < 32).length"
    assert browser.run(small) == 0


def test_hostile_names_are_texts(browser: Chromium, pages: Path) -> None:
    browser.problems.clear()
    browser.open(pages / "hostile.html")
    browser.run("[...document.querySelectorAll('#board a.score')].forEach(a => show(a.getAttribute('href').slice(1)))")
    assert browser.run("document.title") == "Leaderboard"
    assert browser.run("document.querySelectorAll('script').length") == 2
    assert browser.problems == []
    shown = " ".join(first_column(browser))
    assert all(name in shown for name in HOSTILE[:6]) and "\u202e" not in shown
    assert browser.run("dialog.textContent.includes('rm -rf')") and not browser.run(
        "[...dialog.querySelectorAll('code')].some(c => c.textContent.includes('\\n'))"
    )


def test_a_score_that_is_no_number_is_said_to_be_none(browser: Chromium, pages: Path) -> None:
    browser.open(pages / "hostile.html")
    assert browser.run("[...document.querySelectorAll('#board a.score')].map(a => a.textContent)").count("nan") == 1


def test_curves_have_names_for_those_who_do_not_see_them() -> None:
    records = [
        *(record(miou=10.0 + s + r, seed=s, rate=r / 100) for s in (0, 1) for r in (1, 2, 5)),
        record("full", miou=40.0, iterations=CONVERGED),
    ]
    tags = Tags(Html().render(records)).found
    labels = [str(a["aria-label"]) for tag, a in tags if tag == "svg" and a.get("role") == "img"]
    assert any(label.startswith("mIoU (%) against rate: scenes, unet") for label in labels)
