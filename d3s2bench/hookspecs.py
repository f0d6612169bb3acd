"""The hooks a plugin may implement. Each returns descriptors, so that listing imports nothing heavy.

    from d3s2bench import Component, hookimpl

    @hookimpl
    def register_selectors():
        return [Component("selector", "mine", "my_package.mine:Mine", "One line about it")]

The module with the hooks is named by an entry point of the group ``d3s2bench``.
"""

from __future__ import annotations

from collections.abc import Sequence

import pluggy

from d3s2bench.component import Component

PROJECT = "d3s2bench"
API = 1
"""The version of these hooks and of the interfaces behind them. A plugin says which it is made for by an attribute
``d3s2bench_api`` of its module, 1 where it has none; one of another version is not used."""
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a plugin's implementation of a hook."""


@hookspec
def register_selectors() -> Sequence[Component]:
    """Components that choose which images of the train split to keep."""
    raise NotImplementedError


@hookspec
def register_synthesizers() -> Sequence[Component]:
    """Components that turn a selection into the images and masks of a distilled set."""
    raise NotImplementedError


@hookspec
def register_evaluators() -> Sequence[Component]:
    """Components that train students on a distilled set and count their predictions."""
    raise NotImplementedError


@hookspec
def register_datasets() -> Sequence[Component]:
    """Components that read a dataset."""
    raise NotImplementedError


@hookspec
def register_generators() -> Sequence[Component]:
    """Families of layout-to-image diffusion models."""
    raise NotImplementedError


@hookspec
def register_renderers() -> Sequence[Component]:
    """Formats that records can be printed in."""
    raise NotImplementedError


@hookspec
def register_executors() -> Sequence[Component]:
    """Components that decide where the stages of a run are worked on."""
    raise NotImplementedError


@hookspec
def register_observers() -> Sequence[Component]:
    """Components that are told of each finished record."""
    raise NotImplementedError
