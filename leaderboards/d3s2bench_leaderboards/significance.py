"""Whether methods differ: tests over the repetitions that both have, corrected for how many are compared."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from d3s2bench_leaderboards.controls import FULL
from d3s2bench_leaderboards.rows import Row

ALPHA = 0.05
EXACT = 16
"""Up to so many repetitions every assignment of signs is enumerated; beyond, as many are drawn as 16 have."""
ROUNDING = 1e-12
"""Share of the sum of absolute differences by which equal sums may differ in floating point."""


def sign_flip(differences: Sequence[float]) -> float:
    """Two-sided p of paired differences under the hypothesis that each is as likely to have the other sign.

    The share of all 2^n assignments of signs whose sum is at least as far from 0 as the observed one (Fisher's
    randomisation test, The Design of Experiments, 1935, § 21). Exact up to n = ``EXACT``; beyond, (1 + hits) /
    (1 + draws) of seeded draws. NaN without a difference and for differences that are not finite.
    """
    given = np.asarray(differences, dtype=np.float64)
    with np.errstate(over="ignore"):
        bound = np.abs(given).sum()
    if not given.size or not math.isfinite(bound):
        return math.nan
    sums = np.abs(_signs(given.size) @ given)
    hits = int((sums >= abs(given.sum()) - ROUNDING * bound).sum())
    observed = int(given.size > EXACT)  # a draw like the others, where not all are enumerated
    return (observed + hits) / (observed + len(sums))


def resolution(n: int) -> float:
    """The least p that ``sign_flip`` can give for n differences: all of one sign. 1 for none and for one."""
    if n <= EXACT:
        return min(1.0, math.ldexp(2, -n))
    return 1 / (1 + math.ldexp(1, EXACT - 1))


@lru_cache(maxsize=4)
def _signs(n: int) -> NDArray[np.float64]:
    """``(S, n)`` assignments of signs, all or drawn.

    The last sign of all stays +, since the opposite assignment has the same absolute sum.
    """
    if n > EXACT:
        bits = np.random.default_rng(0).integers(0, 2, (2 ** (EXACT - 1), n))
    else:
        bits = np.arange(2 ** (n - 1))[:, None] >> np.arange(n) & 1
    return np.asarray(1 - 2 * bits, dtype=np.float64)


def holm(p: Sequence[float]) -> list[float]:
    """p values corrected for all of them being looked at (Holm, Scandinavian Journal of Statistics 6, 1979).

    NaN stays NaN and counts as no comparison.
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")[: int((~np.isnan(values)).sum())]
    stepped = values[order] * np.arange(len(order), 0, -1)
    corrected = np.full(len(values), math.nan)
    corrected[order] = np.minimum(np.maximum.accumulate(stepped), 1)
    return corrected.tolist()


@lru_cache
def t_quantile(freedom: int) -> float:
    """How many standard errors a two-sided 95 % t interval reaches."""
    from scipy import special  # type: ignore[import-untyped]  # scipy.stats takes a second to load

    return float(special.stdtrit(freedom, 1 - ALPHA / 2))


def improvement(a: Iterable[float], b: Iterable[float]) -> float:
    """Probability that a repetition of a beats one of b: the share of all pairs, ties half; NaN without pairs.

    Agarwal et al., Deep Reinforcement Learning at the Edge of the Statistical Precipice, NeurIPS 2021, § 4.3.
    """
    gaps = np.subtract.outer(np.fromiter(a, np.float64), np.fromiter(b, np.float64))
    if not gaps.size or np.isnan(gaps).any():
        return math.nan
    share: np.float64 = ((gaps > 0) + 0.5 * (gaps == 0)).mean()
    return float(share)


def average_ranks(means: pd.DataFrame) -> pd.Series[Any]:
    """Mean over the columns of each row's rank, 1 = highest, ties shared; only rows without a gap are ranked."""
    complete = means.dropna()
    return complete.rank(ascending=False, method="average").mean(axis=1).reindex(means.index)


def noise_floor(rows: Iterable[Row]) -> float:
    """Standard deviation over training seeds where nothing else varies, pooled over the rows of distilled sets; NaN for
    less than two degrees of freedom: two repetitions of one row say nothing of a spread."""
    seeded = (row for row in rows if row.varies == ("train",) and row.setting.selector.name != FULL.name)
    measured = [(len(row.scores) - 1, row.std) for row in seeded if math.isfinite(row.std)]
    freedom = sum(df for df, _ in measured)
    return math.sqrt(sum(df * std * std for df, std in measured) / freedom) if freedom > 1 else math.nan
