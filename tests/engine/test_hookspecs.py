"""The hooks: each has a line about it, each is called, each gives components of its kind."""

from __future__ import annotations

import inspect
from types import ModuleType

import pluggy
import pytest

from d3s2bench import Component, PluginError, hookspecs
from d3s2bench.discovery import KINDS, Plugin, components
from d3s2bench.hookspecs import PROJECT, hookimpl

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


def brought_by(module: ModuleType) -> list[Component]:
    return components(Plugin("plugin", "module", "package", "1.0", lambda: module))


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_and_a_known_kind(hook: str) -> None:
    assert inspect.getdoc(getattr(hookspecs, hook))
    assert hook.removeprefix("register_").removesuffix("s") in KINDS


def test_every_kind_has_a_hook() -> None:
    assert {hook.removeprefix("register_").removesuffix("s") for hook in HOOKS} == set(KINDS)


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_called(hook: str) -> None:
    (component,) = brought_by(plugin_with(hook))
    assert component.kind == hook.removeprefix("register_").removesuffix("s")


def test_one_plugin_may_bring_all_kinds() -> None:
    assert {component.kind for component in brought_by(plugin_with(*HOOKS))} == set(KINDS)


def test_a_specification_itself_gives_nothing() -> None:
    for hook in HOOKS:
        with pytest.raises(NotImplementedError):
            getattr(hookspecs, hook)()


def test_a_plugin_without_hooks_brings_nothing() -> None:
    assert brought_by(ModuleType("empty")) == []


STATED = [(None, True), (hookspecs.API, True), (0, False), (hookspecs.API + 1, False)]


@pytest.mark.parametrize(("stated", "fits"), STATED)
def test_a_plugin_for_another_version_of_the_hooks_is_refused(stated: int | None, fits: bool) -> None:
    module = plugin_with("register_selectors")
    if stated is not None:
        module.d3s2bench_api = stated  # type: ignore[attr-defined]
    if fits:
        assert len(brought_by(module)) == 1
    else:
        with pytest.raises(PluginError, match=f"made for plugin API {stated}, this d3s2bench has {hookspecs.API}"):
            brought_by(module)


def test_the_markers_carry_the_project_name() -> None:
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(plugin_with(*HOOKS))
    assert all(getattr(manager.hook, hook)() for hook in HOOKS)
