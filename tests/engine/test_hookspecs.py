"""The hooks: each has a line about it, each is called, each gives components of its kind."""

from __future__ import annotations

import inspect
from types import ModuleType

import pluggy
import pytest

from d3s2bench import Component, hookspecs
from d3s2bench.hookspecs import PROJECT, hookimpl
from d3s2bench.plugins import KINDS, _components

HOOKS = [name for name, _ in inspect.getmembers(hookspecs, inspect.isfunction) if name.startswith("register_")]


def plugin_with(*hooks: str) -> ModuleType:
    """A module that registers one component of the kind of each hook."""
    module = ModuleType("plugin")
    for hook in hooks:
        kind = hook.removeprefix("register_").removesuffix("s")
        component = Component(kind, f"my-{kind}", "module:Class", "")
        setattr(module, hook, hookimpl(_returning(component), specname=hook))
    return module


def _returning(component: Component):  # type: ignore[no-untyped-def]
    return lambda: [component]


class Point:
    """What an entry point offers."""

    name = "plugin"

    def __init__(self, module: ModuleType) -> None:
        self.module = module

    def load(self) -> ModuleType:
        return self.module


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_and_a_known_kind(hook: str) -> None:
    assert inspect.getdoc(getattr(hookspecs, hook))
    assert hook.removeprefix("register_").removesuffix("s") in KINDS


def test_every_kind_has_a_hook() -> None:
    assert {hook.removeprefix("register_").removesuffix("s") for hook in HOOKS} == set(KINDS)


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_called(hook: str) -> None:
    (component,) = _components(Point(plugin_with(hook)))  # type: ignore[arg-type]
    assert component.kind == hook.removeprefix("register_").removesuffix("s")


def test_one_plugin_may_bring_all_kinds() -> None:
    assert {c.kind for c in _components(Point(plugin_with(*HOOKS)))} == set(KINDS)  # type: ignore[arg-type]


def test_a_specification_itself_gives_nothing() -> None:
    for hook in HOOKS:
        with pytest.raises(NotImplementedError):
            getattr(hookspecs, hook)()


def test_a_plugin_without_hooks_brings_nothing() -> None:
    assert _components(Point(ModuleType("empty"))) == []  # type: ignore[arg-type]


def test_the_markers_carry_the_project_name() -> None:
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(plugin_with(*HOOKS))
    assert all(getattr(manager.hook, hook)() for hook in HOOKS)
