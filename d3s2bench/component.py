"""What a plugin registers; imports nothing, so that listing plugins is fast."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Component:
    """Where a component lives, without importing it.

    ``target`` is ``"package.module:Class"``; ``requires`` names the importable modules it needs beyond the core.
    """

    kind: str
    name: str
    target: str
    summary: str
    requires: tuple[str, ...] = ()
