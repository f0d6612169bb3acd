"""What selectors and synthesizers give is held against what they must give, in one line that names them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from d3s2bench import Budget, Sample, Selection, StageError
from d3s2bench.files import read_json, write_json
from d3s2bench.interfaces import no_progress
from d3s2bench.sets.distilled import JOURNAL, write_samples
from d3s2bench.sets.given import check_selection

PALETTE = ((10, 20, 30), (40, 50, 60), (70, 80, 90))
IMAGE, MASK = np.zeros((6, 8, 3), np.uint8), np.zeros((6, 8), np.uint8)
INDICES = np.arange(4)


def tensor(array: Any) -> Any:
    import torch

    return torch.from_numpy(array.copy())


def written(folder: Path, sample: Any) -> dict[str, Any]:
    (row,) = write_samples(folder, 1, lambda start: iter([sample]), PALETTE, no_progress, "synthesizer 'mine'")
    return row


@pytest.mark.parametrize(
    ("sample", "said"),
    [
        (None, " must be a Sample, not NoneType"),
        ((IMAGE, MASK), " must be a Sample, not tuple"),
        (Sample(IMAGE[..., 0], MASK, (0,)), ": its image must be a NumPy uint8 array (H, W, 3), not (6, 8) uint8"),
        (Sample(IMAGE / 255, MASK, (0,)), ": its image must be a NumPy uint8 array (H, W, 3), not (6, 8, 3) float64"),
        (Sample(tensor(IMAGE), MASK, (0,)), ": its image must be a NumPy uint8 array (H, W, 3), not Tensor"),
        (Sample(IMAGE[:0], MASK[:0], (0,)), ": its image must be a NumPy uint8 array (H, W, 3), not (0, 8, 3) uint8"),
        (Sample(IMAGE, MASK.astype(int), (0,)), ": its mask must be a NumPy uint8 array (H, W), not (6, 8) int64"),
        (Sample(IMAGE, MASK - np.int16(1), (0,)), ": its mask must be a NumPy uint8 array (H, W), not (6, 8) int16"),
        (Sample(IMAGE, tensor(MASK), (0,)), ": its mask must be a NumPy uint8 array (H, W), not Tensor"),
        (Sample(IMAGE, MASK + np.uint8(200), (0,)), ": its mask holds [200]: labels are 0 to 2 and 255"),
        (Sample(IMAGE, MASK, ()), ": its sources must be a tuple of train indices, one at least, not ()"),
        (Sample(IMAGE, MASK, 3), ": its sources must be a tuple of train indices, one at least, not 3"),
        (Sample(IMAGE, MASK, (0.5,)), ": its sources must be a tuple of train indices, one at least, not (0.5,)"),
        (Sample(IMAGE, MASK, (0,), None), ": its provenance must be a mapping, not NoneType"),
        (
            Sample(IMAGE, MASK, (0,), {"steps": 3, "loss": np.float32(1)}),
            ": its provenance 'loss' cannot be written as JSON (Object of type float32 is not JSON serializable): "
            "give Python's numbers, text, lists",
        ),
        (
            Sample(IMAGE, MASK, (0,), {"loss": float("nan")}),
            ": its provenance 'loss' cannot be written as JSON (Out of range float values are not JSON compliant",
        ),
    ],
)
def test_what_is_no_sample_is_refused(tmp_path: Path, sample: Any, said: str) -> None:
    with pytest.raises(StageError) as caught:
        written(tmp_path, sample)
    assert str(caught.value).startswith(f"synthesizer 'mine', sample 000000{said}")
    assert not (tmp_path / "images").exists()


def test_whole_numbers_of_numpy_are_sources(tmp_path: Path) -> None:
    row = written(tmp_path, Sample(IMAGE, MASK, tuple(np.arange(2))))
    write_json(tmp_path / "row.json", row)
    assert read_json(tmp_path / "row.json")["sources"] == [0, 1]


def test_a_set_without_a_labelled_pixel_is_refused_each_time(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(StageError, match=r"^synthesizer 'mine' gave no labelled pixel: all masks are 255"):
            written(tmp_path, Sample(IMAGE, np.full_like(MASK, 255), (0,)))
        assert not (tmp_path / JOURNAL).exists()


def test_a_wrong_number_says_how_many_images_make_one(tmp_path: Path) -> None:
    samples = [Sample(IMAGE, MASK, (0,))] * 3
    said = r"gave more than 2 samples, not 2: it must give one for each 2 selected images$"
    with pytest.raises(StageError, match=said):
        write_samples(tmp_path, 2, lambda start: iter(samples), PALETTE, no_progress, sources_per_image=2)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (INDICES, " must return a Selection, not (4,) int64"),
        (None, " must return a Selection, not NoneType"),
        (Selection(INDICES.tolist()), ": its indices must be a NumPy int64 array (K,), not list"),
        (Selection(INDICES[:, None]), ": its indices must be a NumPy int64 array (K,), not (4, 1) int64"),
        (Selection(INDICES / 1), ": its indices must be a NumPy int64 array (K,), not (4,) float64"),
        (Selection(INDICES > 1), ": its indices must be a NumPy int64 array (K,), not (4,) bool"),
        (Selection(np.repeat(INDICES, 2)), " gave 8 indices, 4 of them distinct, for a budget of 4"),
        (Selection(np.arange(5)), " gave 5 images for a budget of 4"),
        (Selection(INDICES, np.zeros(20)), ": its scores must be float64, one per image (4,), not (20,) float64"),
        (Selection(INDICES, [0.0] * 4), ": its scores must be float64, one per image (4,), not list"),
    ],
)
def test_what_is_no_selection_is_refused(found: Any, said: str) -> None:
    with pytest.raises(StageError) as caught:
        check_selection(found, Budget(4, 20, 0.2), "selector 'mine'")
    assert str(caught.value) == f"selector 'mine'{said}"


@pytest.mark.parametrize("scores", [None, np.zeros(4)])
def test_a_selection_as_it_should_be_passes(scores: Any) -> None:
    check_selection(Selection(INDICES, scores), Budget(4, 20, 0.2), "selector 'mine'")
