"""LaTeX: the board as a booktabs table for a paper, with tests, noise floor and the numbers that others published."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from d3s2bench import ConfigError, Json
from d3s2bench_leaderboards.view import View

PAGE = r"""\documentclass{article}
\usepackage{booktabs,colortbl,graphicx}
\makeatletter
%% One page, as large as what stands on it: all is set twice, first to measure the widest tabular.
\belowcaptionskip=\medskipamount
\renewenvironment{table}[1][]{\def\@captype{table}\centering}{\par\bigskip}
\renewenvironment{table*}{\table}{\endtable}
\newdimen\widest \widest=12cm
\newcommand\widen[3]{\sbox2{#3}\ifdim\wd2>\widest\global\widest=\wd2\fi}
\newcommand\onepage[1]{%%
  {\let\resizebox\widen\sbox0{\begin{minipage}{27cm}#1\end{minipage}}}\setcounter{table}{0}%%
  \ifdim\widest>27cm \widest=27cm \fi
  \setbox0\vbox{\hbox{\begin{minipage}{\widest}#1\unskip\end{minipage}}}%%
  \pdfhorigin=1cm \pdfvorigin=1cm
  \pdfpagewidth=\dimexpr\wd0+2cm\relax \pdfpageheight=\dimexpr\ht0+\dp0+2cm\relax
  \shipout\box0 }
\begin{document}
\onepage{%%
%s}
\end{document}
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
    """A document that pdflatex compiles, one page of the table's size, rather than a table to be included."""
    wide: bool = False
    """Over both columns of a two-column article, ``table*``."""
    groups: int = 4
    """Columns of dataset, rate, architecture and protocol beside each other; more go below."""
    tests: bool = False
    """A second table with what stands behind the stars."""
    gains: bool = False
    """Another one that splits the gain over random + real into its parts."""
    claims: bool = True
    """Numbers that others published on the same datasets."""
    resamples: int = 2000
    """Of the bootstrap over repetitions and test images, for ``tests`` with a ``folder``."""
    block: int = 1
    """So many neighbouring test images are drawn together: frames of a video are no independent images."""
    folder: Path | None = None
    """Where the counts lie beside the records; without it there are no intervals."""

    def render(self, records: Iterable[Json]) -> str:
        """Raises ConfigError for a label that LaTeX does not take, or groups, resamples or block below 1."""
        from d3s2bench_leaderboards import latex_tables
        from d3s2bench_leaderboards.scope import Scope

        self._check()
        body = latex_tables.tables(Scope.of(records, self), self)
        return PAGE % body if self.standalone else body

    def _check(self) -> None:
        if not LABEL.fullmatch(self.label):
            raise ConfigError(f"renderer latex: label '{self.label}': use letters, digits and : . _ / - alone")
        if min(self.groups, self.resamples, self.block) < 1:
            given = f"groups {self.groups}, resamples {self.resamples}, block {self.block}"
            raise ConfigError(f"renderer latex: {given}: give 1 or more")
