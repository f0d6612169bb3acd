"""What the shell offers when one presses the tabulator: the names of components, each with its line."""

from __future__ import annotations

from collections.abc import Callable

import typer

Offered = list[tuple[str, str]]


def components(*kinds: str) -> Callable[[typer.Context, str], Offered]:
    """Completes the names of all components of these kinds that are installed or in a ``--plugin`` of the line."""

    def complete(ctx: typer.Context, incomplete: str) -> Offered:
        return _offered(kinds, ctx, incomplete)

    return complete


def any_component(ctx: typer.Context, incomplete: str) -> Offered:
    from d3s2bench.plugins import KINDS

    return _offered(KINDS, ctx, incomplete)


def _offered(kinds: tuple[str, ...], context: typer.Context, incomplete: str) -> Offered:
    """A file that does not work is left to the command to complain of."""
    from d3s2bench.errors import PluginError
    from d3s2bench.plugins import registry

    try:
        found = registry(tuple(context.params.get("plugin") or ()))
    except PluginError:
        found = registry()
    rows = [row.component for row in found.rows if row.usable and row.component.kind in kinds]
    return sorted((each.name, each.summary) for each in rows if each.name.startswith(incomplete))


def kinds(incomplete: str) -> list[str]:
    from d3s2bench.plugins import KINDS

    return [kind for kind in KINDS if kind.startswith(incomplete)]
