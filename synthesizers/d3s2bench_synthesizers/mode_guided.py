"""Mode-guided diffusion: MGD3.

Chan-Santiago et al., "MGD3: Mode-Guided Dataset Distillation using Diffusion Models", ICML 2025 (arXiv 2505.18963):
mode discovery, mode guidance, stop guidance. Its constants (0.1, the first half of 50 steps) are the defaults; the
update is the one for deterministic sampling, clean estimate ← clean estimate + strength · (mode - clean estimate).
Guided are the first 25 of 50 steps; code that is public (ManifoldGD's, which builds on it) guides 24.

Re-implementation, carried over from classification, where k-means finds as many modes of each class in the latents of
its images as the set is to hold. An image to segment has no class of its own: here all train photographs share the
modes, as many as images are asked for, and each mask is guided to the mode that its photograph belongs to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from d3s2bench import Context, Sample, Selection
from d3s2bench_synthesizers.options import check_options
from d3s2bench_synthesizers.window import holds_a_step


@dataclass(frozen=True)
class ModeGuided:
    """A new image for each selected mask, pulled towards a mode of the train photographs; the teacher takes no part.

    Attributes:
        steps: DDIM steps.
        strength: share of the way to the mode that a guided step goes.
        window: the guided steps, as fractions of all; it ends where "stop guidance" begins.
        pool: train photographs, drawn at random, that modes are discovered in; so memory is bounded.
        batch: images painted together.
    """

    steps: int = 50
    strength: float = 0.1
    window: tuple[float, float] = (0.0, 0.5)
    pool: int = 2000
    batch: int = 4

    deterministic: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ("generator",)
    sources_per_image: ClassVar[int] = 1
    preserves_mask: ClassVar[bool] = True
    generative: ClassVar[bool] = True

    def __post_init__(self) -> None:
        valid = {
            "steps": (self.steps >= 1, "1 or more"),
            "batch": (self.batch >= 1, "1 or more"),
            "pool": (self.pool >= 1, "1 or more"),
            "strength": (0 <= self.strength <= 1, "0 to 1"),
            "window": (
                holds_a_step(self.steps, self.window),
                "two rising fractions that hold a step, as [0,0.5]",
            ),
        }
        check_options("synth.mode-guided", vars(self), valid)

    def synthesize(self, selection: Selection, context: Context, start: int = 0) -> Iterator[Sample]:
        """Raises ModelError for a generator of other classes."""
        from d3s2bench_synthesizers.modes import ModeGuidance, discover
        from d3s2bench_synthesizers.painting import paint

        modes = discover(context, len(selection.indices), self.pool)
        guidance = ModeGuidance(modes, self.strength, self.window)
        yield from paint(selection, context, start, self.steps, self.batch, guidance)
