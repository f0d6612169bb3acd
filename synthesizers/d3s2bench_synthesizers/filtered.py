"""FreeMask's filter: pixels that a generator got wrong are ignored.

Yang et al., "FreeMask: Synthetic Images with Dense Annotations Make Stronger Segmentation Models", NeurIPS 2023
(arXiv 2310.15160), on filtering noisy synthetic regions; details from the authors' code (github.com/LiheYoung/FreeMask,
preprocess/filter.py).

As there, a network trained on the real train split, here the teacher, gives the mean cross-entropy of each class: over
all pixels of that class in all real train pairs. A pixel of a synthetic image is ignored when its cross-entropy exceeds
``tolerance`` (1.25) times the mean of its class.

Re-implementation. Real pairs are read at the size of the generator's images, masks with nearest neighbour, so that the
two losses differ by content and not by resolution. FreeMask's re-sampling, more images for the harder masks, is left
out: a budget here counts images.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar
from weakref import ref

import numpy as np
from numpy.typing import NDArray

from d3s2bench import IGNORE, ConfigError, Context, Mask, Sample, Selection, Teacher, configure, options_of
from d3s2bench_synthesizers.guided import Guided
from d3s2bench_synthesizers.layout import Layout
from d3s2bench_synthesizers.options import check_options
from d3s2bench_synthesizers.resize import resize_image, resize_mask

BASES: dict[str, type[Layout | Guided]] = {"layout": Layout, "guided": Guided}
CHUNK = 16
"""Real pairs held in memory."""


@dataclass(frozen=True)
class Filtered:
    """The images of another synthesizer, with what the teacher does not recognise taken out of their masks.

    Attributes:
        base: the synthesizer whose images are filtered: ``"layout"`` or ``"guided"``.
        options: the options of ``base`` (``synth.filtered.options.steps=50``); those left out are filled in.
        tolerance: the greatest loss of a pixel that is kept, as a multiple of the mean of its class on real images.
    """

    base: str = "layout"
    options: dict[str, Any] = field(default_factory=dict)
    tolerance: float = 1.25

    deterministic: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ("generator", "teacher")
    sources_per_image: ClassVar[int] = 1
    preserves_mask: ClassVar[bool] = False
    generative: ClassVar[bool] = True

    def __post_init__(self) -> None:
        valid = {
            "tolerance": (self.tolerance > 0, "more than 0"),
            "base": (self.base in BASES, f"one of {', '.join(BASES)}"),
        }
        check_options("synth.filtered", {**vars(self), "base": repr(self.base)}, valid)
        object.__setattr__(self, "options", options_of(self.painter()))

    def painter(self) -> Layout | Guided:
        """What paints the images. Raises ConfigError for options that ``base`` does not have or take."""
        try:
            painter: Layout | Guided = configure(BASES[self.base], "the base", self.options)
        except ConfigError as error:
            raise ConfigError(f"synth.filtered.options, of '{self.base}': {error}") from error
        return painter

    def synthesize(self, selection: Selection, context: Context, start: int = 0) -> Iterator[Sample]:
        """Raises ModelError for models of other classes than the dataset's."""
        from d3s2bench_synthesizers.teacher_loss import pixel_losses

        limits = self.tolerance * class_losses(context)
        for sample in self.painter().synthesize(selection, context, start):
            losses = pixel_losses([sample.image], [sample.mask], context)[0]
            mask, share = without_noise(sample.mask, losses, limits)
            yield replace(sample, mask=mask, provenance={**sample.provenance, "filtered": share})


def without_noise(mask: Mask, losses: NDArray[np.float32], limits: NDArray[np.float64]) -> tuple[Mask, float]:
    """The mask ``(H, W)`` with 255 where the loss exceeds its class's limit, and the share of labelled pixels that
    this takes out. ``limits`` is ``(C,)``."""
    labelled = mask != IGNORE
    noisy = labelled & (losses > limits[np.where(labelled, mask, 0)])
    return np.where(noisy, IGNORE, mask).astype(np.uint8), float(noisy.sum() / max(labelled.sum(), 1))


_KNOWN: list[tuple[ref[Teacher], tuple[str, tuple[int, int]], NDArray[np.float64]]] = []
"""What a teacher gives for the content of a dataset and the size of a generator: one pass serves all sets that a
process makes."""


def class_losses(context: Context) -> NDArray[np.float64]:
    """``(C,)``: the teacher's mean cross-entropy over the pixels of each class in the real train pairs, at the size of
    the generator's images; NaN for a class without pixels."""
    teacher, given = context.teacher, (context.dataset.fingerprint, context.generator.size)
    for known, key, losses in _KNOWN:
        if known() is teacher and key == given:
            return losses
    found = _class_losses(context)
    _KNOWN.append((ref(teacher), given, found))
    return found


def _class_losses(context: Context) -> NDArray[np.float64]:
    from d3s2bench_synthesizers.teacher_loss import pixel_losses

    train, size = context.dataset.split("train"), context.generator.size
    total, pixels = np.zeros(256), np.zeros(256)
    for first in range(0, len(train), CHUNK):
        numbers = range(first, min(first + CHUNK, len(train)))
        masks = [resize_mask(train.mask(i), size) for i in numbers]
        losses = pixel_losses([resize_image(train.image(i), size) for i in numbers], masks, context)
        labels = np.stack(masks).ravel()
        total += np.bincount(labels, losses.ravel(), minlength=256)
        pixels += np.bincount(labels, minlength=256)
        context.progress(numbers.stop, len(train), "losses of real images")
    classes = len(context.dataset.classes)
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN: the class is absent
        found: NDArray[np.float64] = total[:classes] / pixels[:classes]
    return found
