"""The distilled set: streamed, resumed after a kill, refused when it was changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from d3s2bench import DatasetError, DistilledSet, Sample, StageError
from d3s2bench.files import file_sha256, write_json
from d3s2bench.interfaces import no_progress
from d3s2bench.sets.distilled import JOURNAL, MANIFEST, manifest, write_samples

PALETTE = ((10, 20, 30), (40, 50, 60), (70, 80, 90))
TOTAL = 5


def sample(k: int) -> Sample:
    rng = np.random.default_rng(k)
    image = rng.integers(0, 256, (6, 8, 3), np.uint8)
    return Sample(image, rng.integers(0, 3, (6, 8)).astype(np.uint8), (k, 10 + k), {"steps": k})


class Synthesis:
    """Samples from a number on; remembers which it was asked for, stops as if killed before ``dies``."""

    def __init__(self, total: int = TOTAL, dies: int = 10**6) -> None:
        self.total, self.dies = total, dies
        self.made: list[int] = []

    def __call__(self, start: int) -> Iterator[Sample]:
        for k in range(start, self.total):
            if k == self.dies:
                raise KeyboardInterrupt
            self.made.append(k)
            yield sample(k)


def written(folder: Path, synthesis: Callable[[int], Iterator[Sample]], total: int = TOTAL) -> list[dict[str, Any]]:
    return write_samples(folder, total, synthesis, PALETTE, no_progress)


def finished(folder: Path) -> DistilledSet:
    """A whole set with its manifest."""
    folder.mkdir()
    write_json(folder / MANIFEST, manifest(written(folder, Synthesis()), {"synth": {"name": "fake"}}))
    (folder / JOURNAL).unlink()
    return DistilledSet.open(folder, 3)


def test_a_set_comes_back_as_it_was_made(tmp_path: Path) -> None:
    pairs = finished(tmp_path / "set")
    assert len(pairs) == TOTAL
    for k in range(TOTAL):
        assert np.array_equal(pairs.image(k), sample(k).image)
        assert np.array_equal(pairs.mask(k), sample(k).mask)
        assert pairs.item_name(k) == f"{k:06d}"
    assert pairs.pixels == TOTAL * 48
    files = [file for part in ("images", "annotations") for file in (tmp_path / "set" / part).iterdir()]
    assert pairs.bytes == sum(file.stat().st_size for file in files)


def test_the_rows_say_where_each_came_from(tmp_path: Path) -> None:
    row = written(tmp_path, Synthesis())[3]
    assert row["name"] == "000003"
    assert row["sources"] == [3, 13]
    assert row["provenance"] == {"steps": 3}
    assert row["sha256"]["images"] == file_sha256(tmp_path / "images" / "000003.png")


def test_samples_are_written_as_they_come(tmp_path: Path) -> None:
    """A set larger than memory works: when sample k is asked for, sample k - 1 is on disk."""

    def watched(start: int) -> Iterator[Sample]:
        for k in range(start, TOTAL):
            assert len(list((tmp_path / "images").glob("*.png"))) == k
            yield sample(k)

    assert len(written(tmp_path, watched)) == TOTAL


@given(st.integers(0, TOTAL - 1), st.integers(0, 200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
def test_a_stopped_run_goes_on_at_the_next_sample(
    tmp_path_factory: pytest.TempPathFactory, dies: int, torn: int
) -> None:
    folder, whole = tmp_path_factory.mktemp("stopped"), tmp_path_factory.mktemp("whole")
    with pytest.raises(KeyboardInterrupt):
        written(folder, Synthesis(dies=dies))
    with (folder / JOURNAL).open("a") as journal:
        journal.write(json.dumps({"name": "x" * 200})[:torn])  # the kill tore a line
    again = Synthesis()
    assert written(folder, again) == written(whole, Synthesis())
    assert again.made == list(range(dies, TOTAL))


def test_a_torn_journal_loses_only_what_was_torn(tmp_path: Path) -> None:
    expected = written(tmp_path, Synthesis())
    lines = (tmp_path / JOURNAL).read_text().splitlines()
    (tmp_path / JOURNAL).write_text("\n".join([*lines[:3], lines[3][:40]]))
    again = Synthesis()
    assert written(tmp_path, again) == expected
    assert again.made == [3, 4]


def test_a_finished_set_is_not_asked_for_again(tmp_path: Path) -> None:
    written(tmp_path, Synthesis())
    again = Synthesis()
    assert len(written(tmp_path, again)) == TOTAL
    assert again.made == []


@pytest.mark.parametrize(("given", "said"), [(4, "4"), (6, "more than 5"), (0, "0")])
def test_a_wrong_number_of_samples_is_refused_each_time(tmp_path: Path, given: int, said: str) -> None:
    for _ in range(2):
        with pytest.raises(StageError, match=f"gave {said} samples, not 5: it must give one for each selected image"):
            written(tmp_path, Synthesis(given))
    assert len(written(tmp_path, Synthesis())) == TOTAL
    assert len(DistilledSet.open(tmp_path, 3)) == TOTAL


def test_image_and_mask_of_different_size_are_refused(tmp_path: Path) -> None:
    wrong = Sample(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5), np.uint8), (0,))
    with pytest.raises(StageError, match=r"sample 000000: image \(4, 4\) and mask \(4, 5\) differ in size"):
        written(tmp_path, lambda start: iter([wrong]), 1)


# --- sets made elsewhere ---------------------------------------------------------------------------------------------


def test_a_set_without_manifest_is_read(tmp_path: Path) -> None:
    finished(tmp_path / "set")
    (tmp_path / "set" / MANIFEST).unlink()
    assert len(DistilledSet.open(tmp_path / "set", 3)) == TOTAL


def tamper(part: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        other = sample(99)
        from d3s2bench.files import mask_png, png

        content = png(other.image) if part == "images" else mask_png(other.mask, PALETTE)
        (folder / part / "000002.png").write_bytes(content)

    return change


def remove_pair(folder: Path) -> None:
    for part in ("images", "annotations"):
        (folder / part / "000002.png").unlink()


def add_pair(folder: Path) -> None:
    for part in ("images", "annotations"):
        (folder / part / "zz.png").write_bytes((folder / part / "000002.png").read_bytes())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (tamper("images"), r"images/000002\.png is not the file of the manifest: restore it, or delete manifest\.json"),
        (tamper("annotations"), r"annotations/000002\.png is not the file of the manifest"),
        (remove_pair, r"its manifest differ in 000002\.png"),
        (add_pair, r"its manifest differ in zz\.png"),
        (
            lambda f: (f / "images" / "000001.png").unlink(),
            r"images/000001\.png is missing: every image needs its mask",
        ),
        (lambda f: (f / "annotations" / "000001.png").unlink(), r"annotations/000001\.png is missing"),
        (lambda f: (f / MANIFEST).write_text("[]"), r"manifest\.json is no manifest: delete it, it is optional"),
        (lambda f: (f / MANIFEST).write_text("{}"), r"manifest\.json is no manifest"),
        (lambda f: (f / MANIFEST).write_text('{"samples": [{"name": 1}]}'), r"manifest\.json is no manifest"),
        (lambda f: (f / MANIFEST).write_text('{"samples": 3}'), r"manifest\.json is no manifest"),
    ],
)
def test_a_changed_set_is_refused(tmp_path: Path, change: Callable[[Path], None], message: str) -> None:
    finished(tmp_path / "set")
    change(tmp_path / "set")
    with pytest.raises(DatasetError, match=message):
        DistilledSet.open(tmp_path / "set", 3)


def test_an_empty_folder_is_no_set(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"is no distilled set: expected images/\*\.png and annotations/\*\.png"):
        DistilledSet.open(tmp_path, 3)


def test_bad_files_of_a_foreign_set_are_named(tmp_path: Path) -> None:
    from PIL import Image as Pillow

    finished(tmp_path / "set")
    (tmp_path / "set" / MANIFEST).unlink()
    masks = tmp_path / "set" / "annotations"
    Pillow.fromarray(np.zeros((5, 5), np.uint8)).save(masks / "000000.png")
    Pillow.fromarray(np.full((6, 8), 7, np.uint8)).save(masks / "000001.png")
    (tmp_path / "set" / "images" / "000002.png").write_bytes(b"")
    pairs = DistilledSet.open(tmp_path / "set", 3)
    with pytest.raises(DatasetError, match=r"annotations/000000\.png is 5×5, but its image is 8×6"):
        pairs.mask(0)
    with pytest.raises(DatasetError, match=r"annotations/000001\.png holds label 7"):
        pairs.mask(1)
    with pytest.raises(DatasetError, match=r"images/000002\.png is corrupt"):
        pairs.image(2)
