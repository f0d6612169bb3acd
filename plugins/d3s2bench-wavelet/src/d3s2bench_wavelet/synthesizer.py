"""Photographs from their largest wavelet coefficients: hard thresholding of the orthogonal transform of Mallat, "A
Theory for Multiresolution Signal Decomposition: The Wavelet Representation", TPAMI 1989.

With an orthogonal wavelet and periodic borders, this is the best approximation in the least squares with so many
coefficients. Colours are transformed channel by channel and share one threshold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pywt
from d3s2bench import ConfigError, Context, Image, Sample, Selection

BORDER = "periodization"


@dataclass(frozen=True)
class Wavelet:
    """The selected pairs, each image from few coefficients.

    Attributes:
        keep: share of the coefficients of an image that are kept.
        wavelet: an orthogonal wavelet of PyWavelets.
    """

    keep: float = 0.05
    wavelet: str = "db2"

    deterministic: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ()
    sources_per_image: ClassVar[int] = 1
    preserves_mask: ClassVar[bool] = True
    generative: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0 < self.keep <= 1:
            raise ConfigError(f"synthesizer wavelet: keep is {self.keep:g}, must be above 0 and at most 1")
        if self.wavelet not in pywt.wavelist(kind="discrete") or not pywt.Wavelet(self.wavelet).orthogonal:
            raise ConfigError(f"synthesizer wavelet: '{self.wavelet}' is no orthogonal wavelet: give one as db2")

    def synthesize(self, selection: Selection, context: Context, start: int = 0) -> Iterator[Sample]:
        train = context.dataset.split("train")
        for i in map(int, selection.indices[start:]):
            yield Sample(approximation(train.image(i), self.keep, self.wavelet), train.mask(i), (i,))


def approximation(image: Image, keep: float, wavelet: str) -> Image:
    """``(H, W, 3) uint8`` from the ``keep`` largest of its coefficients."""
    coefficients = pywt.wavedec2(image.astype(float), wavelet, BORDER, axes=(0, 1))
    array, places = pywt.coeffs_to_array(coefficients, axes=(0, 1))
    count = max(1, round(keep * array.size))
    threshold = np.partition(np.abs(array), array.size - count, axis=None)[array.size - count]
    kept = pywt.array_to_coeffs(np.where(np.abs(array) >= threshold, array, 0), places, "wavedec2")
    whole = pywt.waverec2(kept, wavelet, BORDER, axes=(0, 1))
    height, width = image.shape[:2]
    return np.clip(np.rint(whole[:height, :width]), 0, 255).astype(np.uint8)
