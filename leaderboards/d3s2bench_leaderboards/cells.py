"""Values as texts of a Markdown table that also reads well in a terminal; what is not known is blank."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence


def escape(text: str) -> str:
    """One line without what would end a cell or steer a terminal."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return printable.replace("\\", "\\\\").replace("|", "\\|").strip()


def percent(rate: float) -> str:
    return f"{100 * rate:.3g} %"


def size(size: float) -> str:
    """Bytes in a unit that fits."""
    power = min(int(math.log10(max(size, 1))) // 3, 4)
    return f"{size / 1000**power:.4g} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"


def spread(mean: float, std: float, sign: str = "") -> str:
    """Mean ± standard deviation; blank without a mean."""
    if math.isnan(mean):
        return ""
    return f"{mean:{sign}.2f}" + ("" if math.isnan(std) else f" ± {std:.2f}")


def table(columns: Mapping[str, Sequence[str]], left: Collection[str]) -> str:
    """Columns that are blank in every row are left out; those not in ``left`` are aligned to the right."""
    import pandas as pd

    known = {header: cells for header, cells in columns.items() if any(cells)}
    aligned = ["left" if header in left else "right" for header in known]
    text: str = pd.DataFrame(known).to_markdown(index=False, disable_numparse=True, colalign=aligned)
    return text
