"""What the shell offers when one presses the tabulator: the names of components, each with its line."""

from __future__ import annotations

from collections.abc import Callable

Offered = list[tuple[str, str]]


def components(*kinds: str) -> Callable[[str], Offered]:
    """Completes the names of all installed components of these kinds."""

    def complete(incomplete: str) -> Offered:
        from d3s2bench.plugins import registry

        rows = [row.component for row in registry().rows if row.usable and row.component.kind in kinds]
        return sorted((each.name, each.summary) for each in rows if each.name.startswith(incomplete))

    return complete


def any_component(incomplete: str) -> Offered:
    from d3s2bench.plugins import KINDS

    return components(*KINDS)(incomplete)


def kinds(incomplete: str) -> list[str]:
    from d3s2bench.plugins import KINDS

    return [kind for kind in KINDS if kind.startswith(incomplete)]
