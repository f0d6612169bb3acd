"""What selectors, synthesizers and evaluators give is held against what they must give, in one line that names them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from d3s2bench import Budget, Counts, Sample, Selection, StageError
from d3s2bench.files import read_json, write_json
from d3s2bench.interfaces import no_progress
from d3s2bench.sets.distilled import JOURNAL, write_samples
from d3s2bench.sets.given import Origin, check_counts, check_selection, resized
from d3s2bench.testing.tiny import TinySplit

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
    samples = [Sample(IMAGE, MASK, (2 * k, 2 * k + 1)) for k in range(3)]
    said = r"gave more than 2 samples, not 2: it must give one for each 2 selected images$"
    with pytest.raises(StageError, match=said):
        write_samples(
            tmp_path,
            2,
            lambda start: iter(samples),
            PALETTE,
            no_progress,
            origin=Origin(TinySplit(4), np.arange(4), 2, False, False),
        )


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


# --- where samples come from -----------------------------------------------------------------------------------------

TRAIN = TinySplit(6)
CHOSEN = np.array([4, 1, 3, 0])


def of(*sources: int, mask: Any = None, scale: int = 1) -> Sample:
    found = np.repeat(np.repeat(TRAIN.mask(sources[0]) if mask is None else mask, scale, 0), scale, 1)
    return Sample(np.zeros((*found.shape, 3), np.uint8), found, sources)


@pytest.mark.parametrize(
    ("number", "sample", "per_image", "keeps", "said"),
    [
        (0, of(4), 1, True, None),
        (1, of(1, mask=resized(TRAIN.mask(1), (5, 7))), 1, True, None),
        (1, of(3, 0, mask=TRAIN.mask(2)), 2, False, None),
        (1, of(4), 1, True, r": its sources are \[4\], chosen for it were \[1\]$"),
        (0, of(1, 4), 2, False, r": its sources are \[1, 4\], chosen for it were \[4, 1\]$"),
        (
            0,
            of(4, mask=TRAIN.mask(1)),
            1,
            True,
            r": it says that it preserves the mask, but this one is not that of 4$",
        ),
        (0, of(4, scale=2), 1, False, r": it has \d+ pixels, the largest photograph that it is made of \d+: a rate"),
    ],
)
def test_a_sample_is_of_what_was_chosen_for_it(
    number: int, sample: Sample, per_image: int, keeps: bool, said: str | None
) -> None:
    origin = Origin(TRAIN, CHOSEN, per_image, keeps, generative=False)
    if said is None:
        origin.check(number, sample, "it")
    else:
        with pytest.raises(StageError, match=f"^it{said}"):
            origin.check(number, sample, "it")


def test_a_generator_paints_at_a_size_of_its_own() -> None:
    mask = TRAIN.mask(4)
    larger = of(4, mask=resized(mask, (4 * mask.shape[0], 4 * mask.shape[1])))
    Origin(TRAIN, CHOSEN, 1, keeps_mask=True, generative=True).check(0, larger, "it")


# --- counts ----------------------------------------------------------------------------------------------------------

TRUTH = np.array([[5, 2, 0], [0, 0, 7]])
RIGHT = np.zeros((2, 3, 3), np.int64)
RIGHT[0, 0], RIGHT[0, 1], RIGHT[1, 2] = (4, 1, 0), (0, 0, 2), (7, 0, 0)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (RIGHT, "must return Counts, not"),
        (Counts(RIGHT[:1]), r"its counts must be a NumPy int64 array \(2, 3, 3\), .*, not \(1, 3, 3\) int64"),
        (Counts(RIGHT.astype(float)), r"not \(2, 3, 3\) float64"),  # type: ignore[arg-type]
        (Counts(np.pad(RIGHT, ((0, 0), (0, 1), (0, 1)))), r"not \(2, 4, 4\) int64"),
        (Counts(RIGHT.transpose(0, 2, 1)), "it counted 4 pixels of class 0 in image 0, its mask has 5: predictions"),
        (Counts(RIGHT // 2), "it counted 2 pixels of class 0 in image 0, its mask has 5: predictions are scored at"),
        (Counts(RIGHT - 5 * np.eye(3, dtype=np.int64)), "its counts hold negative numbers"),
    ],
)
def test_an_evaluator_counts_every_labelled_pixel_once(found: Any, said: str) -> None:
    check_counts(Counts(RIGHT), TRUTH, "evaluator 'mine'")
    with pytest.raises(StageError, match=f"^evaluator 'mine'.*{said}"):
        check_counts(found, TRUTH, "evaluator 'mine'")


def test_scores_are_finite() -> None:
    with pytest.raises(StageError, match="its scores must be finite"):
        check_selection(Selection(INDICES, np.array([1, np.nan, 0, 2])), Budget(4, 9, 0.5), "it")
