"""Texts and numbers as LaTeX in plain ASCII: they need no encoding, no font and no package."""

from __future__ import annotations

import re
import unicodedata

from d3s2bench import plain
from d3s2bench_leaderboards import cells

SPECIAL = {
    "\\": r"$\backslash$",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\^{}",
    "~": r"\~{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    '"': "{''}",
    "`": "{`}",
    "'": "{'}",
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
}
"""Those in braces would join with a neighbour into another character, or be taken for an argument."""
LETTERS = {
    "ß": r"\ss{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "œ": r"\oe{}",
    "Œ": r"\OE{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
    "ı": r"\i{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "−": "$-$",
    "→": r"$\to$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "∞": r"$\infty$",
    "…": r"\ldots{}",
    "–": "-{}-",
    "’": "{'}",
}
ACCENTS = {
    "\u0300": r"\`",
    "\u0301": r"\'",
    "\u0302": r"\^",
    "\u0303": r"\~",
    "\u0304": r"\=",
    "\u0306": r"\u",
    "\u0307": r"\.",
    "\u0308": r"\"",
    "\u030a": r"\r",
    "\u030b": r"\H",
    "\u030c": r"\v",
    "\u0327": r"\c",
}
JOINED = re.compile("(?<=-)-|(?<=,),")
"""What would become a dash or a quotation mark."""
# fmt: off
GREEK = {
    "α": r"\alpha", "β": r"\beta", "γ": r"\gamma", "δ": r"\delta", "ε": r"\epsilon", "ζ": r"\zeta", "η": r"\eta",
    "θ": r"\theta", "ι": r"\iota", "κ": r"\kappa", "λ": r"\lambda", "μ": r"\mu", "ν": r"\nu", "ξ": r"\xi",
    "π": r"\pi", "ρ": r"\rho", "σ": r"\sigma", "τ": r"\tau", "υ": r"\upsilon", "φ": r"\phi", "χ": r"\chi",
    "ψ": r"\psi", "ω": r"\omega", "µ": r"\mu", "Γ": r"\Gamma", "Δ": r"\Delta", "Θ": r"\Theta", "Λ": r"\Lambda",
    "Ξ": r"\Xi", "Π": r"\Pi", "Σ": r"\Sigma", "Υ": r"\Upsilon", "Φ": r"\Phi", "Ψ": r"\Psi", "Ω": r"\Omega",
}
# fmt: on


def escape(text: str, longest: int = cells.LONGEST) -> str:
    """One line that LaTeX prints as it is; cut where it is too long, and a character without a command by its number.

    >>> escape("50%_Å")
    '50\\\\%\\\\_\\\\r{A}'
    """
    printable = plain(cells.cut(text, longest))
    text = "".join(map(_character, unicodedata.normalize("NFC", printable.strip())))
    return JOINED.sub(r"{}\g<0>", text)


def _character(c: str) -> str:
    if c in SPECIAL or c in LETTERS:
        return SPECIAL.get(c) or LETTERS[c]
    if c.isascii():
        return c
    if c in GREEK:
        return f"${GREEK[c]}$"
    base, accent = unicodedata.normalize("NFD", c)[:1], unicodedata.normalize("NFD", c)[1:]
    if accent in ACCENTS and base.isascii() and base.isalpha():
        return f"{ACCENTS[accent]}{{{base}}}"
    return f"{{[}}U+{ord(c):04X}{{]}}"


def number(value: float, form: str = ".2f") -> str:
    """Rounded, with a minus sign that is none of a word; large ones in powers of ten.

    >>> number(-1.234)
    '$-$1.23'
    """
    large = abs(value) >= 1e6
    return signed(format(value, form.replace("f", "g") if large else form))


def signed(text: str) -> str:
    """A written number with signs that are none of a word."""
    return text.replace("-", "$-$").replace("+", "$+$")
