"""Rows and tables of LaTeX from cells that are LaTeX already."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

SHRUNK = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"


def line(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def spanning(texts: Sequence[tuple[str, int]], first: int) -> list[str]:
    """A header over several columns and its rules, from texts with their widths; ``first`` counts from 1."""
    rules, start = [], first
    for _, width in texts:
        rules.append(rf"\cmidrule(lr){{{start}-{start + width - 1}}}")
        start += width
    header = [""] * (first - 1) + [rf"\multicolumn{{{width}}}{{c}}{{{text}}}" for text, width in texts]
    return [line(header), "".join(rules)]


def tabular(columns: str, head: Sequence[str], blocks: Iterable[Sequence[str]]) -> str:
    """Blocks of rows between rules; made smaller where it is wider than the text."""
    body = "\n\\midrule\n".join("\n".join(block) for block in blocks if block)
    inner = "\n".join([r"\toprule", *head, r"\midrule", body, r"\bottomrule"])
    return f"{SHRUNK}\n\\begin{{tabular}}{{{columns}}}\n{inner}\n\\end{{tabular}}}}\n"


def note(*sentences: str) -> str:
    text = "\n".join(sentences)
    return f"\\parbox{{\\linewidth}}{{\\footnotesize\\raggedright\n{text}}}\n"


def table(parts: Iterable[str], caption: str, label: str, wide: bool) -> str:
    """A float with its caption above; a ``wide`` one spans both columns of a page."""
    name, body = "table*" if wide else "table", "\\par\\medskip\n".join(parts)
    head = f"\\begin{{{name}}}[tbp]\n\\centering\n\\caption{{{caption}}}\n\\label{{{label}}}\n"
    return f"{head}{body}\\end{{{name}}}\n"
