"""The synthesizers that come with d3s2bench, what a distilled set is made of, and the generators they paint with."""

from __future__ import annotations

from d3s2bench import Component, hookimpl

HOME = "d3s2bench_synthesizers"


@hookimpl
def register_synthesizers() -> list[Component]:
    """One file each; its docstring says where the method comes from and what in it is a re-implementation."""
    methods = [
        ("real", "real:Real", "The untouched photographs (control)"),
        ("pseudo-labels", "pseudo_labels:PseudoLabels", "The photographs under the teacher's labels (DFSS)"),
        ("layout", "layout:Layout", "Layout-to-image diffusion without guidance"),
        ("guided", "guided:Guided", "Layout-to-image diffusion guided by a teacher (D3S2 stage 2)"),
        ("mode-guided", "mode_guided:ModeGuided", "Layout-to-image diffusion towards modes of the photographs (MGD3)"),
        ("filtered", "filtered:Filtered", "Generated images without what the teacher does not recognise (FreeMask)"),
        ("rded", "rded:Rded", "The most realistic patches of several photographs, tiled (RDED)"),
        ("foreground", "foreground:Foreground", "Photographs whole or zoomed in on their foreground, tiled"),
    ]
    return [Component("synthesizer", name, f"{HOME}.{target}", summary) for name, target, summary in methods]


@hookimpl
def register_generators() -> list[Component]:
    """Families of layout-to-image diffusion models."""
    families = [
        ("pixel", "pixel_family:PixelFamily", "A small mask-conditioned diffusion model in pixel space"),
        ("controlnet", "latent_families:ControlNetFamily", "Stable Diffusion 1.5 with ControlNet-seg (pretrained)"),
        ("t2i-adapter", "latent_families:AdapterFamily", "Stable Diffusion 1.4 with T2I-Adapter seg (pretrained)"),
        ("freestyle", "latent_families:FreestyleFamily", "FreestyleNet: rectified cross-attention (pretrained)"),
    ]
    return [Component("generator", name, f"{HOME}.{target}", summary) for name, target, summary in families]
