"""It keeps what every synthesizer promises; its approximations are those that one computes by hand."""

from __future__ import annotations

import numpy as np
import pytest
from d3s2bench import ConfigError
from d3s2bench.testing import SynthesizerContract, contract

from d3s2bench_wavelet.synthesizer import Wavelet, approximation

DRAW = np.random.default_rng(0)


class TestWavelet(SynthesizerContract):
    component = Wavelet()


class TestHaar(SynthesizerContract):
    component = Wavelet(keep=0.5, wavelet="haar")


def test_it_is_registered() -> None:
    assert type(contract("synthesizer", "wavelet").component) is Wavelet


@pytest.mark.parametrize("size", [(16, 24), (15, 23), (1, 7)])
def test_all_coefficients_give_the_photograph(size: tuple[int, int]) -> None:
    image = DRAW.integers(0, 256, (*size, 3), dtype=np.uint8)
    assert np.array_equal(approximation(image, 1, "db2"), image)


def test_one_coefficient_of_haar_is_the_mean() -> None:
    image = np.kron([[10, 30], [20, 40]], np.ones((4, 4)))[..., None].astype(np.uint8).repeat(3, axis=2)
    image[..., 1:] = 0  # its one largest coefficient is that of the red mean
    expected = np.zeros_like(image)
    expected[..., 0] = 25
    assert np.array_equal(approximation(image, 1 / image.size, "haar"), expected)


def test_more_coefficients_come_nearer() -> None:
    image = DRAW.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    errors = [np.square(approximation(image, keep, "db2") - image.astype(float)).sum() for keep in (0.02, 0.2, 0.6)]
    assert errors[0] > errors[1] > errors[2] > 0


@pytest.mark.parametrize("options", [{"keep": 0}, {"keep": 1.1}, {"wavelet": "no"}, {"wavelet": "bior2.2"}])
def test_options_out_of_range(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="synthesizer wavelet: "):
        Wavelet(**options)  # type: ignore[arg-type]
