"""The synthesizers `real`, `layout` and `guided`, and the generator family `pixel`."""

from __future__ import annotations

from d3s2bench import Component, hookimpl


@hookimpl
def register_synthesizers() -> list[Component]:
    return [
        Component("synthesizer", "real", "d3s2bench_synthesizers.real:Real", "The untouched photographs (control)"),
        Component(
            "synthesizer",
            "layout",
            "d3s2bench_synthesizers.layout:Layout",
            "Layout-to-image diffusion without guidance",
        ),
        Component(
            "synthesizer",
            "guided",
            "d3s2bench_synthesizers.guided:Guided",
            "Layout-to-image diffusion guided by a teacher (D3S2 stage 2)",
        ),
    ]


@hookimpl
def register_generators() -> list[Component]:
    return [
        Component(
            "generator",
            "pixel",
            "d3s2bench_synthesizers.pixel_family:PixelFamily",
            "A small mask-conditioned diffusion model in pixel space",
        )
    ]
