"""Values as texts of a Markdown table that also reads well in a terminal; what is not known is blank."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from d3s2bench import plain

LONGEST = 80
SPECIAL = re.compile(r"[\\|`<\[]")
"""What begins something else than text: a cell, code, HTML, a link."""


def cut(text: str, longest: int = LONGEST) -> str:
    """With three dots where it is too long for a cell."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def escape(text: str) -> str:
    """One line without what would end a cell, be read as HTML or as a link, or steer a terminal."""
    return SPECIAL.sub(r"\\\g<0>", plain(text)).strip()


def percent(rate: float) -> str:
    return f"{100 * rate:.3g} %"


def span(numbers: Iterable[int]) -> str:
    """Such as ``10``, or ``1 to 10``."""
    known = sorted({*numbers})
    return f"{known[0]}" if len(known) == 1 else f"{known[0]} to {known[-1]}"


def size(size: float) -> str:
    """Bytes in a unit that fits; what is no number is said to be none."""
    if math.isnan(size):
        return "nan"
    power = min(int(math.log10(max(size, 1))) // 3, 4)
    return f"{size / 1000**power:.4g} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"


def quantity(value: float, unit: str, sign: str = "") -> str:
    """A number of a metric in its unit; ``+`` for one that is a difference."""
    match unit:
        case "bytes":
            return ("-" if value < 0 else sign) + size(abs(value))
        case "seconds":
            return f"{value:{sign}.1f} s"
    return f"{value:{sign}.2f}"


def spread(mean: float, std: float, sign: str = "", unit: str = "percent") -> str:
    """Mean ± standard deviation; blank without a mean."""
    if math.isnan(mean):
        return ""
    return quantity(mean, unit, sign) + ("" if math.isnan(std) else f" ± {quantity(std, unit)}")


def table(columns: Mapping[str, Sequence[str]], left: Collection[str]) -> str:
    """Columns that are blank in every row are left out; those not in ``left`` are aligned to the right."""
    import pandas as pd

    known = {header: cells for header, cells in columns.items() if any(cells)}
    aligned = ["left" if header in left else "right" for header in known]
    text: str = pd.DataFrame(known, dtype=object).to_markdown(index=False, disable_numparse=True, colalign=aligned)
    return text
