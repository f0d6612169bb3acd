"""The control that makes selector × synthesizer a factorial design: the selected photographs themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from d3s2bench import Context, Sample, Selection


@dataclass(frozen=True)
class Real:
    """The selected pairs of the train split, untouched, at their own size."""

    deterministic: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ()
    sources_per_image: ClassVar[int] = 1
    preserves_mask: ClassVar[bool] = True
    generative: ClassVar[bool] = False

    def synthesize(self, selection: Selection, context: Context, start: int = 0) -> Iterator[Sample]:
        train = context.dataset.split("train")
        for i in map(int, selection.indices[start:]):
            yield Sample(train.image(i), train.mask(i), (i,))
