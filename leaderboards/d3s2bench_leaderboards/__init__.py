"""The formats that d3s2bench prints its records in.

Reading order: rows, names, controls; tables, gains, stability; then the formats (cells and sections are Markdown's).
"""

from __future__ import annotations

from d3s2bench import Component, hookimpl


@hookimpl
def register_renderers() -> list[Component]:
    """Markdown for people, CSV for programs."""
    home = "d3s2bench_leaderboards"
    return [
        Component("renderer", "markdown", f"{home}.markdown:Markdown", "Aligned table with mean ± standard deviation"),
        Component("renderer", "csv", f"{home}.csv:Csv", "The same table, unrounded"),
    ]
