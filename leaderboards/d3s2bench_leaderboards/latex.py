"""LaTeX: the board as a booktabs table for a paper, with tests, noise floor and the numbers that others published."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from d3s2bench import ConfigError, Json
from d3s2bench_leaderboards.view import View

PREAMBLE = r"""\documentclass{article}
\usepackage{booktabs,colortbl,graphicx}
\usepackage[paperwidth=29.7cm,paperheight=%dcm,margin=1.5cm]{geometry}
\pagestyle{empty}
\makeatletter\setlength\@fptop{0pt}\setlength\@fpsep{1cm}\makeatother
\begin{document}
"""
LABEL = re.compile(r"[A-Za-z0-9:._/-]+")


@dataclass(frozen=True)
class Latex(View):
    """Needs the packages booktabs, colortbl and graphicx; plain ASCII, so any engine and encoding will do."""

    caption: str = "Methods by dataset, rate and architecture."
    """LaTeX, taken as it is."""
    label: str = "tab:leaderboard"
    """Of the table, for \\ref."""
    standalone: bool = False
    """A document that pdflatex compiles, rather than a table to be included."""
    groups: int = 4
    """Columns of dataset, rate, architecture and protocol beside each other; more go below."""
    tests: bool = False
    """A second table with what stands behind the stars."""
    claims: bool = True
    """Numbers that others published on the same datasets."""
    resamples: int = 1000
    """Of the bootstrap over repetitions and test images, for ``tests`` with a ``folder``."""
    folder: Path | None = None
    """Where the counts lie beside the records; without it there are no intervals."""

    def render(self, records: Iterable[Json]) -> str:
        """Raises ConfigError for a label that LaTeX does not take, or groups or resamples below 1."""
        from d3s2bench_leaderboards import latex_tables
        from d3s2bench_leaderboards.scope import Scope

        self._check()
        body = latex_tables.tables(Scope.of(records, self), self)
        # Half a centimetre for each line; TeX knows no length beyond 575 cm.
        height = min(500, 16 + body.count("\n") // 2)
        return f"{PREAMBLE % height}{body}\\end{{document}}\n" if self.standalone else body

    def _check(self) -> None:
        if not LABEL.fullmatch(self.label):
            raise ConfigError(f"renderer latex: label '{self.label}': use letters, digits and : . _ / - alone")
        if self.groups < 1 or self.resamples < 1:
            raise ConfigError(f"renderer latex: groups {self.groups}, resamples {self.resamples}: give 1 or more")
