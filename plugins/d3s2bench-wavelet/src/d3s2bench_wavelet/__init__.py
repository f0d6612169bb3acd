"""Photographs from few wavelet coefficients: a synthesizer for d3s2bench."""

from __future__ import annotations

from d3s2bench import Component, hookimpl

d3s2bench_api = 1


@hookimpl
def register_synthesizers() -> list[Component]:
    target = "d3s2bench_wavelet.synthesizer:Wavelet"
    return [Component("synthesizer", "wavelet", target, "Photographs from few wavelet coefficients", ("pywt",))]
