"""What stands in the Markdown files: their code blocks, the commands in them, their links and headings."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`(d3s2bench\s[^`]+)`")
LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#+ (?P<text>.+)$", re.MULTILINE)


def files() -> list[Path]:
    """Every Markdown file that people read: the site's pages and those in the root and beside the benchmarks."""
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("benchmarks/*.md"), *(ROOT / "docs").rglob("*.md")])


def where(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def blocks(text: str, *languages: str) -> list[str]:
    return [found["text"] for found in BLOCK.finditer(text) if found["language"] in languages]


def prose(text: str) -> str:
    """A page without its code blocks."""
    return BLOCK.sub("", text)


@dataclass(frozen=True)
class Shown:
    """A command as a page shows it, and the words it consists of."""

    page: str
    text: str
    words: tuple[str, ...]


def commands(file: Path) -> Iterator[Shown]:
    """Every ``d3s2bench …`` of a page: one for each line of a shell block and for each alternative ``a|b``."""
    text = file.read_text(encoding="utf-8")
    lines = [line for block in blocks(text, "sh") for line in block.replace("\\\n", " ").splitlines()]
    lines += [" ".join(found.replace("\\|", "|").split()) for found in INLINE.findall(prose(text))]
    for line in lines:
        for part in re.split(r"\s*&&\s*", line):
            words = shlex.split(part, comments=True)
            if words[:1] == ["d3s2bench"]:
                yield from (Shown(where(file), part, each) for each in _alternatives(words))


def _alternatives(words: list[str]) -> Iterator[tuple[str, ...]]:
    """``ls|verify|gc`` and ``[--rerun]`` as they would be typed; an ellipsis stands for nothing."""
    typed = [re.sub(r"^\[(--.*)\]$", r"\1", word) for word in words if word != "…"]
    return product(*(word.split("|") if re.fullmatch(r"[a-z|-]+", word) else [word] for word in typed))


def links(text: str) -> list[str]:
    return [found["target"] for found in LINK.finditer(prose(text))]


def anchors(text: str) -> set[str]:
    """What MkDocs calls the headings."""
    return {slug(found["text"]) for found in HEADING.finditer(prose(text))}


def slug(heading: str) -> str:
    plain = re.sub(r"[^\w\s-]", "", heading).strip().lower()
    return re.sub(r"[-\s]+", "-", plain)
