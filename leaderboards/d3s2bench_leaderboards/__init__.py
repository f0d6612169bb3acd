"""The formats that d3s2bench prints its records in.

Reading order: metrics, intake, rows, names, controls; tables, gains, stability; significance, comparisons, columns,
bootstrap, claims; view, marks, grid, scope: what all formats share; styles, panels: the curves; then the formats (cells
and sections are Markdown's; tex and latex_* are LaTeX's; page*, svg, gallery and templates/ are HTML's; drawing is that
of the figures).
"""

from __future__ import annotations

from d3s2bench import Component, hookimpl


@hookimpl
def register_renderers() -> list[Component]:
    """Markdown for people, CSV for programs, LaTeX and figures for papers, HTML for reviewers."""
    home = "d3s2bench_leaderboards"
    return [
        Component("renderer", "markdown", f"{home}.markdown:Markdown", "Aligned table with mean ± standard deviation"),
        Component("renderer", "csv", f"{home}.csv:Csv", "The same table, unrounded"),
        Component("renderer", "latex", f"{home}.latex:Latex", "Table for a paper, with tests and published numbers"),
        Component("renderer", "html", f"{home}.html:Html", "One page to sort and filter, with curves and pictures"),
        Component("renderer", "figures", f"{home}.figures:Figures", "Curves as PDF and PNG", requires=("matplotlib",)),
    ]
