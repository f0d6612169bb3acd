"""Layout-to-image diffusion without guidance: what the generator alone can give."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from d3s2bench import Context, Sample, Selection
from d3s2bench_synthesizers.options import check_options


@dataclass(frozen=True)
class Layout:
    """A new image for each selected mask, from the generator alone.

    Attributes:
        steps: DDIM steps.
        batch: images painted together.
    """

    steps: int = 25
    batch: int = 4

    deterministic: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ("generator",)
    sources_per_image: ClassVar[int] = 1
    preserves_mask: ClassVar[bool] = True
    generative: ClassVar[bool] = True

    def __post_init__(self) -> None:
        valid = {"steps": (self.steps >= 1, "1 or more"), "batch": (self.batch >= 1, "1 or more")}
        check_options("synth.layout", vars(self), valid)

    def synthesize(self, selection: Selection, context: Context, start: int = 0) -> Iterator[Sample]:
        from d3s2bench_synthesizers.painting import paint

        yield from paint(selection, context, start, self.steps, self.batch)
