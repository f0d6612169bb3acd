"""Photographs under a teacher's labels, as DFSS trains on them.

Sun & Wu, "Seeing the Whole Picture: Distribution-Guided Data-Free Distillation for Semantic Segmentation", arXiv
2512.13175: the samples drawn have no annotation, the teacher's predictions take its place.

Re-implementation. Each pixel gets the class that the teacher finds most likely, ties: the lowest id; those that the
annotation ignores get one, too. With the selector ``dfss`` the whole set is made without a look at a mask. A student
that learns from the teacher's softmax in place of its choice is an option of the evaluator (soft labels).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from d3s2bench import IGNORE, Context, Image, Mask, Sample, Selection


@dataclass(frozen=True)
class PseudoLabels:
    """The selected photographs at their own size; the provenance of each tells the share of its labelled pixels whose
    class is that of the annotation (None: it labels none)."""

    deterministic: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("teacher",)
    sources_per_image: ClassVar[int] = 1
    preserves_mask: ClassVar[bool] = False
    generative: ClassVar[bool] = False

    def synthesize(self, selection: Selection, context: Context, start: int = 0) -> Iterator[Sample]:
        """Raises ModelError for a teacher of other classes than the dataset's."""
        train = context.dataset.split("train")
        for i in map(int, selection.indices[start:]):
            image, truth = train.image(i), train.mask(i)
            read = teacher_labels(image, context)
            labelled = truth != IGNORE
            agreement = float((read == truth)[labelled].mean()) if labelled.any() else None
            yield Sample(image, read, (i,), {"agreement": agreement})


def teacher_labels(image: Image, context: Context) -> Mask:
    """``(H, W) uint8``: the teacher's most likely class at each pixel of ``(H, W, 3)``."""
    from d3s2bench_synthesizers.teacher_loss import teacher_logits

    labels: Mask = teacher_logits(image[None].copy(), context)[0].argmax(dim=0).byte().cpu().numpy()
    return labels
