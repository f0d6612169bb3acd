"""``d3s2bench datasets``: the list, the look at a dataset in numbers, and its picture."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from dataset_trees import write_ade20k, write_camvid, write_mask, write_voc2012
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow
from typer.testing import CliRunner

from d3s2bench import D3S2Error, DatasetError
from d3s2bench.cli.datasets import datasets_app
from d3s2bench.datasets.camvid import CamVid
from d3s2bench.datasets.folder import Folder
from d3s2bench.sets.inspection import describe, inspect_split, spaced
from d3s2bench.sets.inspection_picture import BARS, bar_length, draw_inspection

AGAIN = """\
from d3s2bench import Component, hookimpl
from d3s2bench.datasets.camvid import CamVid

@hookimpl
def register_datasets():
    return [Component("dataset", "again", "camvid_again:CamVid", "CamVid once more")]
"""
"""A dataset in one file."""


def command(*arguments: str) -> str:
    result = CliRunner().invoke(datasets_app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@given(st.integers(1, 10_000), st.integers(1, 100))
def test_spaced_indices_differ_and_are_even(total: int, wanted: int) -> None:
    found = spaced(total, wanted)
    assert len(found) == min(total, wanted)
    assert found[0] == 0
    assert found[-1] < total
    gaps = np.diff(found)
    assert len(gaps) == 0 or (gaps.min() >= 1 and gaps.max() - gaps.min() <= 1)


def test_the_report_has_the_numbers_of_the_masks(tmp_path: Path) -> None:
    """Two train masks of 24 pixels: columns 0, 10, then 4 of 11 = void; and one of class 10 alone."""
    write_camvid(tmp_path)
    write_mask(tmp_path / "CamVid/trainannot/0016E5_1.png", [10])
    dataset = CamVid(tmp_path)
    report = inspect_split(dataset, "train", pairs=0)
    assert report.ignored == pytest.approx(16 / 48)
    assert report.images_with.tolist() == [1, *[0] * 9, 2]
    assert report.order[:2].tolist() == [10, 0]
    lines = describe(dataset, [report]).splitlines()
    assert lines[0] == "camvid: 11 classes, test is scored"
    assert lines[3].split() == ["train", "2", "367", "2", "33.3%"]
    assert lines[4] == "warning: train has 2 images, the official release 367: is all of it there?"
    assert [line.split() for line in lines[7:9]] == [["87.5000%", "2", "Bicyclist"], ["12.5000%", "1", "Sky"]]
    assert lines[9].startswith("9 absent: Building, Pole")


def test_a_release_that_is_whole_and_a_folder_of_ones_own_are_no_matter_of_warning(
    tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_camvid(tmp_path)
    monkeypatch.setattr(CamVid, "official_images", {"train": 2})
    for dataset in (CamVid(tmp_path), Folder(tiny)):
        assert "warning" not in describe(dataset, [inspect_split(dataset, "train", pairs=0)])


def test_so_many_masks_are_read(tmp_path: Path) -> None:
    write_camvid(tmp_path)
    report = inspect_split(CamVid(tmp_path), "train", pairs=1)
    assert (report.images, len(report.index)) == (2, 1)


def test_an_image_that_does_not_decode_is_told_wherever_it_is(tmp_path: Path) -> None:
    write_camvid(tmp_path)
    image = tmp_path / "CamVid" / "train" / "0016E5_1.png"
    image.write_bytes(image.read_bytes()[:45])  # its header is whole
    inspect_split(CamVid(tmp_path), "train", pairs=1)
    with pytest.raises(DatasetError, match=r"0016E5_1\.png is corrupt"):
        inspect_split(CamVid(tmp_path), "train", pairs=0)


def test_a_missing_split_that_would_be_scored_is_told(tiny: Path) -> None:
    shutil.rmtree(tiny / "images" / "test")
    dataset = Folder(tiny)
    lines = describe(dataset, [inspect_split(dataset, "train", pairs=1)]).splitlines()
    assert lines[4] == "warning: there is no test: runs need --eval-split val or --holdout PATTERN"


def test_bars_are_logarithmic() -> None:
    assert [bar_length(share) for share in (1, 0.1, 1e-3, 1e-6, 1e-9, 0)] == [BARS, BARS * 5 // 6, BARS // 2, 0, 0, 0]


def test_the_picture_shows_bars_and_masks_in_the_colours_of_the_classes(tmp_path: Path) -> None:
    write_camvid(tmp_path)
    dataset = CamVid(tmp_path)
    draw_inspection(tmp_path / "look.png", dataset, [inspect_split(dataset, name, 0) for name in dataset.splits])
    colours = {colour for _, colour in Pillow.open(tmp_path / "look.png").getcolors(1 << 20)}
    assert {dataset.palette[0], dataset.palette[10]} <= colours
    assert dataset.palette[3] not in colours  # no road in these masks


def test_the_list_says_where_and_how(tmp_path: Path) -> None:
    text = command()
    for word in ("ade20k:", "licence", "ADEChallengeData2016.zip", "may not be passed on", "scenes: Procedural"):
        assert word in text
    rows = {row["name"]: row for row in json.loads(command("--json"))}
    assert rows["ade20k"]["images"] == {"train": 20210, "val": 2000}
    assert rows["scenes"]["status"] == "ok"
    assert "where" not in rows["scenes"]
    assert "never mix it with 164k" in " ".join(text.split())
    named = {name for name, row in rows.items() if row.get("where") and row["licence"] and row["tree"]}
    assert named == {
        *("ade20k", "coco-stuff-164k", "coco-stuff-10k", "cityscapes", "voc2012", "camvid", "nyuv2", "hf"),
    }


def test_the_list_imports_nothing_heavy() -> None:
    code = (
        "import sys; from d3s2bench.cli.datasets import datasets_app; datasets_app([], standalone_mode=False); "
        "print(sorted({'numpy', 'torch', 'PIL'} & set(sys.modules)))"
    )
    made = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert made.stdout.splitlines()[-1] == "[]"


def test_a_look_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_voc2012(tmp_path / "data")
    options = ("--data-root", str(tmp_path / "data"), "--out", "look.png")
    text = command("inspect", "voc2012", *options, "--set", "train_set=trainaug")
    assert text == command("inspect", "voc2012", *options, "--set", "dataset.voc2012.train_set=trainaug"), "as in run"
    assert "voc2012: 21 classes, val is scored" in text
    assert ["train", "2", "10,582", "2", "25.0%"] in [line.split() for line in text.splitlines()]
    assert "note: Background" in text
    assert Pillow.open(tmp_path / "look.png").format == "PNG"
    assert not (tmp_path / "runs").exists()


def test_a_folder_of_ones_own(tiny: Path, tmp_path: Path) -> None:
    text = command("inspect", "mine", "--data-root", str(tiny))
    assert "mine: 4 classes, test is scored" in text
    assert ["train", "20", "-", "20"] in [line.split()[:4] for line in text.splitlines()]


def test_one_from_a_file_is_listed_and_looked_at(tmp_path: Path) -> None:
    write_camvid(tmp_path)
    file = tmp_path / "camvid_again.py"
    file.write_text(AGAIN)
    assert "again: CamVid once more" in command("--plugin", str(file))
    assert "once more" not in command()
    text = command("inspect", "again", "--plugin", str(file), "--data-root", f"again={tmp_path}")
    assert "camvid: 11 classes, test is scored" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("voc2012", "--data-root", "nowhere"), "--data-root nowhere: there is no folder nowhere"),
        (("voc2012",), "dataset 'voc2012' reads files: give --data-root voc2012=DIR"),
        (("ade20k", "--data-root", ".", "--out", "look.jpg"), "the picture is a PNG"),
        (("voc2013",), "unknown dataset 'voc2013': did you mean 'voc2012'?"),
        (("ade20k", "--data-root", ".", "--set", "size=3"), "unknown option of dataset 'ade20k' 'size'"),
    ],
)
def test_wrong_arguments(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_ade20k(tmp_path)
    with pytest.raises(D3S2Error) as caught:
        command("inspect", *arguments)
    assert message in str(caught.value)
