"""D3S2's second stage (arXiv 2605.25022), re-implemented from the abstract: layout-to-image diffusion, guided."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from d3s2bench import ConfigError, Context, Sample, Selection, Teacher
from d3s2bench_synthesizers.choice import KEEP, Choice
from d3s2bench_synthesizers.options import check_options
from d3s2bench_synthesizers.window import holds_a_step

if TYPE_CHECKING:
    from torch import Tensor

    from d3s2bench_synthesizers.guidance import Guidance
    from d3s2bench_synthesizers.terms import Term


@dataclass(frozen=True)
class Guided:
    """A new image for each selected mask; a teacher pulls it towards the mask (segmentation consistency) and towards
    the feature statistics of real images (class-wise feature matching). The paper's constants are unpublished: all
    are options.

    Attributes:
        steps: DDIM steps.
        scale: length of a guidance step; its unit depends on ``normalise``.
        seg: weight of segmentation consistency; 0 leaves it out.
        feat: weight of class-wise feature matching; 0 leaves it out.
        class_balanced: whether each class of a mask counts the same in segmentation consistency.
        layers: the teacher's layers to match; empty = all.
        window: the guided steps, as fractions of all.
        normalise: ``"estimate"``, ``"eps"`` or ``"none"``; see ``Guidance``. The last two divide by the share of the
            image that is left in the noise, so they want a window that starts at 0.3 or later.
        through_generator: whether the gradient passes through the generator: a little better, 1.7 times as long.
        every: 1 guides each step of the window, 2 every second one, which halves what guidance costs; at the same
            ``scale`` it moves an image less far, too.
        batch: images painted together.
        candidates: images painted for each mask, from seeds of their own, of which one is kept; the time grows with
            them.
        keep: which one. ``"faithful"``: of the lowest weighted sum of the losses, what the teacher finds most
            realistic (as RDED does with patches, Sun et al. 2024, arXiv 2312.03526). ``"hard"``: of the highest
            cross-entropy of the teacher (``seg``, which must weigh more than 0): what it finds most informative, or
            least like the mask.
    """

    steps: int = 25
    scale: float = 0.3
    seg: float = 1.0
    feat: float = 1.0
    class_balanced: bool = False
    layers: tuple[str, ...] = ()
    window: tuple[float, float] = (0.0, 1.0)
    normalise: str = "estimate"
    through_generator: bool = False
    every: int = 1
    batch: int = 4
    candidates: int = 1
    keep: str = "faithful"

    deterministic: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ("generator", "teacher")
    sources_per_image: ClassVar[int] = 1
    preserves_mask: ClassVar[bool] = True
    generative: ClassVar[bool] = True

    def __post_init__(self) -> None:
        valid = {
            "steps": (self.steps >= 1, "1 or more"),
            "batch": (self.batch >= 1, "1 or more"),
            "every": (self.every >= 1, "1 or more"),
            "candidates": (self.candidates >= 1, "1 or more"),
            "scale": (self.scale >= 0, "0 or more"),
            "seg": (self.seg >= 0, "0 or more"),
            "feat": (self.feat >= 0 and self.feat + self.seg > 0, "0 or more, and not 0 together with 'seg'"),
            "window": (
                holds_a_step(self.steps, self.window),
                "two rising fractions that hold a step, as [0.2,0.8]",
            ),
            "normalise": (self.normalise in ("estimate", "eps", "none"), "'estimate', 'eps' or 'none'"),
            "keep": (
                self.keep in KEEP and (self.seg > 0 or self.keep != "hard"),
                "'faithful', or 'hard' with 'seg' > 0",
            ),
        }
        check_options("synth.guided", vars(self), valid)

    def synthesize(self, selection: Selection, context: Context, start: int = 0) -> Iterator[Sample]:
        from d3s2bench_synthesizers.painting import paint

        choice = Choice(self.candidates, self.keep)
        yield from paint(selection, context, start, self.steps, self.batch, self.guidance(context), choice)

    def guidance(self, context: Context) -> Guidance:
        """The correction that these options and the context's teacher make. Raises ModelError for other classes."""
        from d3s2bench_synthesizers.guidance import Guidance
        from d3s2bench_synthesizers.painting import require_classes

        teacher = context.teacher
        for mean, _ in teacher.class_features.values():
            require_classes("teacher", len(mean), context)
        return Guidance(
            teacher, self._terms(teacher), self.scale, self.window, self.normalise, self.through_generator, self.every
        )

    def _terms(self, teacher: Teacher) -> tuple[Term, ...]:
        from d3s2bench_synthesizers.terms import ClassFeatureMatching, SegmentationConsistency

        terms: list[Term] = []
        if self.seg:
            terms.append(SegmentationConsistency(self.seg, self.class_balanced))
        if self.feat:
            terms.append(ClassFeatureMatching(self._reference(teacher), self.feat))
        return tuple(terms)

    def _reference(self, teacher: Teacher) -> dict[str, tuple[Tensor, Tensor]]:
        layers = self.layers or teacher.layers
        unknown = set(layers) - set(teacher.class_features)
        if unknown:
            known = ", ".join(teacher.class_features)
            raise ConfigError(f"synth.guided.layers names {', '.join(sorted(unknown))}: the teacher has {known}")
        return {layer: teacher.class_features[layer] for layer in layers}
