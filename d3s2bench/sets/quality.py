"""The quality of a distilled set, measured without training on it: what a judge makes of its images.

The judge is a network of another architecture than the teacher, trained on the full train split, that took no part in
making the images. Few images differ from a whole split by chance alone, so a number means something beside that of as
many photographs under the same judge. How near the images come to train photographs is measured in ``nearest``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from d3s2bench.errors import DatasetError, ModelError
from d3s2bench.interfaces import Split, Teacher, no_progress
from d3s2bench.metrics import scores
from d3s2bench.values import IGNORE, Image

if TYPE_CHECKING:
    from torch import Tensor

    Shown = tuple[Sequence[int], Tensor, Mapping[str, Tensor]]
    """The items of a batch, their logits ``(B, C, H, W)`` and layer → features ``(B, D, h, w)``."""

BATCH = 16
LOGITS_PER_BATCH = 2**23
"""Bounds the memory of a batch of logits (32 MiB): large images are shown to the judge one by one."""
MIN_PIXELS = 4
"""A class with fewer pixels than this in the whole set, at a layer's resolution, has no statistics there."""

Floats = NDArray[np.float64]
Progress = Callable[[int, int, str], None]


def measure(
    pairs: Split,
    photographs: Split,
    sources: Sequence[int],
    judge: Teacher,
    num_classes: int,
    device: str = "cpu",
    progress: Progress = no_progress,
) -> dict[str, float | None]:
    """The qualities of ``pairs``, a set whose mask i was taken from the train split ``photographs`` at ``sources[i]``.

    - ``judge_accuracy``, ``judge_miou``: how far the judge's argmax agrees with the masks at their resolution, in
      percent, from one confusion over the set.
    - ``feature_distance``: how far the judge's features of each class are from those of the train split, 0 = not at
      all. The mean over layers, and over the classes of the set, of

          ( ‖mean - real mean‖² + ‖std - real std‖² ) / (D · v)

      the Fréchet distance (Heusel et al., NeurIPS 2017) of Gaussians with diagonal covariances; D is the layer's width
      and v its mean variance within classes on real images, which makes layers comparable.
    - ``diversity``: mean Euclidean distance between the images' pooled features, over the same of the photographs
      ``sources``; 1 = as varied as these. None where they are at no distance, as a single one is.
    - ``within_class_diversity``: the std of the judge's first features, such as colour and texture, within a class over
      that of the train split, mean over the classes of the set; 1 = a class looks as varied as there.

    A class with fewer than ``MIN_PIXELS`` pixels in the set, at a layer's resolution, is left out of the class-wise
    numbers, and so is one that the train split lacks; they are None when none is left.

    Raises:
        DatasetError: the set is empty, its sources are not of these photographs, or no pixel has a label.
        ModelError: the judge does not know ``num_classes`` classes.
    """
    _check(pairs, photographs, sources, judge, num_classes)
    show = partial(_shown, judge, num_classes, device, progress)
    confusion, sums, pooled = _observed(judge, num_classes, pairs, show(pairs, range(len(pairs)), "images"))
    once, places = np.unique(sources, return_inverse=True)
    real = [_pooled(judge, features) for _, _, features in show(photographs, once.tolist(), "photographs")]
    agreement = scores(confusion)
    return {
        "judge_accuracy": agreement["pixel_accuracy"],
        "judge_miou": agreement["miou"],
        "feature_distance": _feature_distance(judge, sums),
        "diversity": _diversity(pooled, np.concatenate(real)[places]),
        "within_class_diversity": _within_class_diversity(judge, sums),
    }


def _check(pairs: Split, photographs: Split, sources: Sequence[int], judge: Teacher, num_classes: int) -> None:
    if not len(pairs):
        raise DatasetError("nothing to measure: the distilled set has no image; make it again")
    if len(sources) != len(pairs) or not all(0 <= i < len(photographs) for i in sources):
        raise DatasetError(
            f"the {len(sources)} sources of {len(pairs)} images are not among the {len(photographs)} train images: "
            "measure the set with the dataset that it was made from"
        )
    known = {len(mean) for mean, _ in judge.class_features.values()}
    if known != {num_classes}:
        found = ", ".join(map(str, sorted(known))) or "no"
        raise ModelError(f"the judge knows {found} classes, not the dataset's {num_classes}: give one trained on it")


# --- what the judge sees ---------------------------------------------------------------------------------------------


def _shown(
    judge: Teacher,
    num_classes: int,
    device: str,
    progress: Progress,
    split: Split,
    items: Sequence[int],
    note: str,
) -> Iterator[Shown]:
    import torch

    done = 0
    for batch in _batches(split, items, num_classes):
        images = torch.from_numpy(np.stack([image for _, image in batch])).to(device).permute(0, 3, 1, 2)
        with torch.no_grad():
            logits, features = judge.features(images.float() / 255)
        yield [i for i, _ in batch], logits, features
        done += len(batch)
        progress(done, len(items), note)


def _batches(split: Split, items: Sequence[int], classes: int) -> Iterator[list[tuple[int, Image]]]:
    """Neighbours with images of one size together."""
    batch: list[tuple[int, Image]] = []
    for i in items:
        image = split.image(i)
        most = min(BATCH, LOGITS_PER_BATCH // (classes * image[..., 0].size))
        if batch and (len(batch) >= most or image.shape != batch[0][1].shape):
            yield batch
            batch = []
        batch.append((i, image))
    if batch:
        yield batch


def _observed(
    judge: Teacher, num_classes: int, pairs: Split, shown: Iterable[Shown]
) -> tuple[NDArray[np.int64], dict[str, Floats], Floats]:
    """Confusion ``(C, C)``, layer → sums by class ``(C, 1 + 2 D)``, and pooled features ``(N, D)``."""
    import torch

    confusion = np.zeros((num_classes, num_classes), np.int64)
    sums: dict[str, Any] = dict.fromkeys(judge.class_features, 0)
    pooled = []
    for items, logits, features in shown:
        masks = torch.from_numpy(np.stack([pairs.mask(i) for i in items])).to(logits.device).long()
        confusion += _confusion(logits, masks)
        sums = {layer: total + _class_sums(features[layer], masks, num_classes) for layer, total in sums.items()}
        pooled.append(_pooled(judge, features))
    return confusion, sums, np.concatenate(pooled)


def _confusion(logits: Tensor, masks: Tensor) -> NDArray[np.int64]:
    """``(C, C) int64``, rows = mask, columns = the judge's reading."""
    import torch

    classes = logits.shape[1]
    cells = (masks * classes + logits.argmax(1))[masks != IGNORE]
    return torch.bincount(cells, minlength=classes**2).view(classes, classes).cpu().numpy()


# --- classes ---------------------------------------------------------------------------------------------------------


def _feature_distance(judge: Teacher, sums: Mapping[str, Floats]) -> float | None:
    layers = [_layer_distance(sums[layer], *_numpy(real)) for layer, real in judge.class_features.items()]
    known = [distance for distance in layers if distance is not None]
    return float(np.mean(known)) if known else None


def _layer_distance(sums: Floats, real_mean: Floats, real_std: Floats) -> float | None:
    known, mean, std = _statistics(sums)
    known &= np.isfinite(real_mean).all(axis=1)
    if not known.any():
        return None
    distance = (mean - real_mean)[known] ** 2 + (std - real_std)[known] ** 2
    return float(distance.mean() / max(np.nanmean(real_std**2), 1e-12))


def _within_class_diversity(judge: Teacher, sums: Mapping[str, Floats]) -> float | None:
    """A ratio of means over channels: one channel that hardly varies on real images cannot outweigh the rest."""
    first = judge.layers[0]
    (counted, _, std), (_, real_std) = _statistics(sums[first]), _numpy(judge.class_features[first])
    counted &= real_std.sum(axis=1) > 0  # False for NaN
    return float(np.mean(std[counted].sum(axis=1) / real_std[counted].sum(axis=1))) if counted.any() else None


def _class_sums(features: Tensor, masks: Tensor, classes: int) -> Floats:
    """``(C, 1 + 2 D)``: pixels, sums and sums of squares of features ``(B, D, h, w)`` by class.

    Masks are brought to the layer's resolution with nearest neighbour, as for the judge's own statistics.
    """
    import torch
    from torch.nn.functional import interpolate

    labels = interpolate(masks[:, None].double(), features.shape[-2:], mode="nearest-exact").long().flatten()
    members = (labels == torch.arange(classes, device=labels.device)[:, None]).double()
    rows = features.permute(0, 2, 3, 1).flatten(0, 2).double()
    return (members @ torch.cat([torch.ones_like(rows[:, :1]), rows, rows.square()], dim=1)).cpu().numpy()


def _statistics(sums: Floats) -> tuple[NDArray[np.bool_], Floats, Floats]:
    """Which classes have enough pixels ``(C,)``; mean and std of the population, each ``(C, D)``."""
    pixels = sums[:, :1]
    mean, square = np.split(sums[:, 1:] / np.maximum(pixels, 1), 2, axis=1)
    return pixels[:, 0] >= MIN_PIXELS, mean, np.sqrt(np.maximum(square - mean**2, 0))


def _numpy(real: tuple[Tensor, Tensor]) -> tuple[Floats, Floats]:
    return real[0].double().cpu().numpy(), real[1].double().cpu().numpy()


# --- images ----------------------------------------------------------------------------------------------------------


def _pooled(judge: Teacher, features: Mapping[str, Tensor]) -> Floats:
    """``(B, D)``: the spatial mean."""
    pooled: Floats = features[judge.pooled_layer].double().mean(dim=(2, 3)).cpu().numpy()
    return pooled


def _diversity(made: Floats, real: Floats) -> float | None:
    """The ratio of sums is that of means: there are as many of both."""
    reference = _distances(real)
    return _distances(made) / reference if reference else None


def _distances(vectors: Floats) -> float:
    """Sum of the Euclidean distances of all pairs of rows."""
    return sum(float(np.linalg.norm(vectors[i + 1 :] - row, axis=1).sum()) for i, row in enumerate(vectors))
