"""The formats that d3s2bench prints its records in.

Reading order: rows, names, controls; tables, gains, stability; significance, comparisons, columns, bootstrap, claims;
then the formats (cells and sections are Markdown's; tex and latex_* are LaTeX's).
"""

from __future__ import annotations

from d3s2bench import Component, hookimpl


@hookimpl
def register_renderers() -> list[Component]:
    """Markdown for people, CSV for programs, LaTeX for papers."""
    home = "d3s2bench_leaderboards"
    return [
        Component("renderer", "markdown", f"{home}.markdown:Markdown", "Aligned table with mean ± standard deviation"),
        Component("renderer", "csv", f"{home}.csv:Csv", "The same table, unrounded"),
        Component("renderer", "latex", f"{home}.latex:Latex", "Table for a paper, with tests and published numbers"),
    ]
