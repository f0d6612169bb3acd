"""The option ``features`` of selectors that compare images: one vector per image, from the teacher or a backbone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from d3s2bench import ConfigError, Context

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FEATURES = "pooled last stage of the teacher"


@dataclass(frozen=True)
class ImageFeatures:
    """What the distances are between, said in each record.

    ``features`` is the teacher's last encoder stage, averaged over height and width; or a vision backbone of
    ``transformers``, as a folder or by its name on the Hugging Face hub, and then the teacher is not needed.
    ``sha256`` identifies the backbone's files: it is filled in when left empty, and checked when given.

    Raises:
        ModelError: there is no such backbone, or its files are not those of ``sha256``.
        ConfigError: ``sha256`` is given for the teacher.
    """

    features: str = FEATURES
    sha256: str = ""

    def __post_init__(self) -> None:
        if self.features != FEATURES:
            from d3s2bench_selectors.backbone_features import identify

            object.__setattr__(self, "sha256", identify(self.features, self.sha256))
        elif self.sha256:
            raise ConfigError("option sha256 identifies a backbone, but features come from the teacher: leave it out")

    @property
    def needs(self) -> tuple[str, ...]:
        """The teacher, unless a backbone takes its place."""
        return ("teacher",) if self.features == FEATURES else ("torch",)

    def read(self, context: Context) -> NDArray[np.float64]:
        """``(N, D) float64``, a row for each image of the train split."""
        if self.features == FEATURES:
            from d3s2bench_selectors.teacher_features import pooled

            return pooled(context)
        from d3s2bench_selectors.backbone_features import backbone_features

        return backbone_features(self.features, context)
