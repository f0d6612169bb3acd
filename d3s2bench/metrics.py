"""The one definition of every score: from the confusion counts of a whole split, never from means over images.

mIoU is the mean over the classes that have ground truth in the split; a class that is only predicted there lowers the
scores of the others, but has no score of its own. detectron2's SemSegEvaluator does the same. mmsegmentation's
IoUMetric counts such a class, with an IoU of 0; its mean stands beside ours as ``miou_mmseg`` and is at most as high.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from d3s2bench.errors import DatasetError

THIRDS = ("miou_head", "miou_mid", "miou_tail")


def scores(confusion: NDArray[np.int64], train_share: NDArray[np.float64] | None = None) -> dict[str, Any]:
    """Scores in percent, unrounded, of a ``(C, C) int64`` confusion matrix, rows = truth, columns = prediction.

    With ``train_share``, ``(C,) float64``, each class's share of the labelled train pixels, the mean IoU of the head,
    mid and tail thirds of the classes is given too: largest share first, equal shares in the order of their ids, cut
    by ``np.array_split``. A third in which no class has ground truth scores None, and so does such a class.

    >>> scores(np.array([[3, 1], [0, 4]]))["pixel_accuracy"]
    87.5

    Raises:
        DatasetError: no pixel has ground truth.
    """
    truth = confusion.sum(axis=1)
    hits = np.diagonal(confusion)
    if not truth.sum():
        raise DatasetError("nothing to score: every pixel of the split is ignored; check its masks")
    present = np.flatnonzero(truth)
    union = truth + confusion.sum(axis=0) - hits
    iou = {int(c): 100 * float(hits[c] / union[c]) for c in present}
    result = {
        "miou": _mean(iou.values()),
        "miou_mmseg": 100 * float((hits[union > 0] / union[union > 0]).mean()),
        "per_class_iou": [iou.get(c) for c in range(len(truth))],
        "pixel_accuracy": 100 * float(hits.sum() / truth.sum()),
        "mean_accuracy": 100 * float((hits[present] / truth[present]).mean()),
    }
    return result if train_share is None else result | _by_third(iou, train_share)


def _by_third(iou: dict[int, float], train_share: NDArray[np.float64]) -> dict[str, float | None]:
    order = np.argsort(-train_share, kind="stable")
    thirds = zip(THIRDS, np.array_split(order, 3), strict=True)
    return {name: _mean(iou[int(c)] for c in third if int(c) in iou) for name, third in thirds}


def _mean(values: Iterable[float]) -> float | None:
    present = list(values)
    return float(np.mean(present)) if present else None
