"""Scores against numbers worked out by hand, and the properties every definition of them must have."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from d3s2bench import Counts, DatasetError, scores

SIZES = st.integers(1, 7)


def confusions(size: int, images: int | None = None) -> st.SearchStrategy[np.ndarray]:
    shape = (size, size) if images is None else (images, size, size)
    return arrays(np.int64, shape, elements=st.integers(0, 50)).filter(lambda counts: counts.sum() > 0)


def test_two_classes_by_hand() -> None:
    # truth 0: 3 right, 1 taken for 1; truth 1: 4 right -> IoU 3/4 and 4/5, recall 3/4 and 1
    got = scores(np.array([[3, 1], [0, 4]]))
    assert got["per_class_iou"] == pytest.approx([75.0, 80.0])
    assert got["miou"] == pytest.approx(77.5)
    assert got["pixel_accuracy"] == pytest.approx(87.5)
    assert got["mean_accuracy"] == pytest.approx(87.5)


def test_a_class_without_ground_truth_has_no_score_but_lowers_the_others() -> None:
    got = scores(np.array([[2, 0, 2], [0, 4, 0], [0, 0, 0]]))
    assert got["per_class_iou"] == [50.0, 100.0, None]
    assert got["miou"] == 75.0
    assert got["miou_mmseg"] == pytest.approx((50 + 100 + 0) / 3)
    assert got["mean_accuracy"] == 75.0
    assert got["pixel_accuracy"] == 75.0


def test_thirds_by_train_share() -> None:
    # 7 classes -> thirds of 3, 2, 2 by share: [6, 4, 2], [0, 1], [3, 5]; classes 4 and 3, 5 have no ground truth
    confusion = np.diag([4, 4, 1, 0, 0, 0, 4])
    confusion[2, 0] = 1  # IoU of class 2 is 1/2, of class 0 it is 4/5
    got = scores(confusion, np.array([0.10, 0.10, 0.15, 0.05, 0.20, 0.05, 0.35]))
    assert got["miou_head"] == pytest.approx((100 + 50) / 2)
    assert got["miou_mid"] == pytest.approx((80 + 100) / 2)
    assert got["miou_tail"] is None


def test_fewer_classes_than_thirds() -> None:
    got = scores(np.array([[5]]), np.array([1.0]))
    assert (got["miou_head"], got["miou_mid"], got["miou_tail"]) == (100.0, None, None)


def test_thirds_are_left_out_without_train_share() -> None:
    got = scores(np.eye(2, dtype=np.int64))
    assert got.keys() == {"miou", "miou_mmseg", "per_class_iou", "pixel_accuracy", "mean_accuracy"}


def test_nothing_to_score() -> None:
    with pytest.raises(DatasetError, match="every pixel of the split is ignored"):
        scores(np.zeros((3, 3), dtype=np.int64))


@given(st.data())
def test_renaming_the_classes_changes_no_mean(data: st.DataObject) -> None:
    size = data.draw(SIZES)
    confusion = data.draw(confusions(size))
    order = np.array(data.draw(st.permutations(range(size))))
    share = np.linspace(1.0, 2.0, size)  # distinct, so that the thirds have one order
    before, after = scores(confusion, share), scores(confusion[np.ix_(order, order)], share[order])
    assert [before["per_class_iou"][c] for c in order] == after["per_class_iou"]
    for name in set(before) - {"per_class_iou"}:
        assert after[name] == (None if before[name] is None else pytest.approx(before[name]))


@given(st.data())
def test_mmsegs_mean_differs_only_by_classes_that_are_predicted_alone(data: st.DataObject) -> None:
    confusion = data.draw(confusions(data.draw(SIZES)))
    got = scores(confusion)
    invented = (confusion.sum(axis=1) == 0) & (confusion.sum(axis=0) > 0)
    known = sum(iou is not None for iou in got["per_class_iou"])
    assert got["miou_mmseg"] == pytest.approx(got["miou"] * known / (known + invented.sum()))


@given(st.data())
def test_both_means_are_those_of_their_tools(data: st.DataObject) -> None:
    """mmsegmentation: nanmean of intersect / union; detectron2: over the classes that have ground truth."""
    confusion = data.draw(confusions(data.draw(SIZES)))
    hits, truth, said = np.diagonal(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    with np.errstate(invalid="ignore"):
        iou = hits / (truth + said - hits)
    assert scores(confusion)["miou_mmseg"] == pytest.approx(100 * np.nanmean(iou))
    assert scores(confusion)["miou"] == pytest.approx(100 * iou[truth > 0].sum() / (truth > 0).sum())


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=8).filter(any))
def test_a_perfect_prediction_scores_100(pixels: list[int]) -> None:
    got = scores(np.diag(np.array(pixels, dtype=np.int64)))
    assert got["miou"] == got["pixel_accuracy"] == got["mean_accuracy"] == 100
    assert got["per_class_iou"] == [100.0 if n else None for n in pixels]


@given(st.data())
def test_scores_depend_on_the_total_alone(data: st.DataObject) -> None:
    per_image = data.draw(confusions(data.draw(SIZES), images=data.draw(st.integers(1, 4))))
    assert scores(Counts(per_image).total) == scores(Counts(per_image[::-1]).total) == scores(per_image.sum(axis=0))


@given(SIZES.flatmap(confusions))
def test_every_score_is_a_percentage_and_iou_never_exceeds_accuracy(confusion: np.ndarray) -> None:
    got = scores(confusion)
    assert 0 <= got["miou"] <= got["mean_accuracy"] + 1e-9 <= 100 + 2e-9
    assert 0 <= got["pixel_accuracy"] <= 100
