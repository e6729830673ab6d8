"""How well predicted times agree with measured ones.

With the relative error e = predicted / measured - 1: `mape` is the mean of |e|, `mdape` its median,
`within_10pct` the share of |e| <= 0.10; `spearman` is the rank correlation of the times, and
`coverage_90` the share of measured times inside their 90 % intervals. All are fractions.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from alphaflops.errors import TableError
from alphaflops.profiles import Profile, ProfileLike, as_profile
from alphaflops.rows import price
from alphaflops.table import TableLike, check_table

if TYPE_CHECKING:
    from alphaflops.fitting import Fit

Floats = NDArray[np.float64]

LEVEL = 0.9  # of the intervals that coverage_90 speaks of


@dataclass(frozen=True)
class Errors:
    """Errors over `n` rows; NaN where a quantity is not defined (no rows, no intervals)."""

    mape: float
    mdape: float
    within_10pct: float
    spearman: float
    coverage_90: float
    n: int

    def to_json(self) -> dict[str, float | int | None]:
        """Return the fields by name, None for NaN."""
        return {k: None if np.isnan(v) else v for k, v in self.__dict__.items()}


def relative_errors(predicted_s: Floats, measured_s: Floats) -> Floats:
    """Return |predicted / measured - 1| for every row."""
    return np.abs(predicted_s / measured_s - 1)


def errors_of(
    predicted_s: Floats, measured_s: Floats, covered: NDArray[np.bool_] | None = None
) -> Errors:
    """Summarise predictions; rows predicted NaN are left out of every figure and of `n`.

    Parameters
    ----------
    predicted_s, measured_s
        Seconds, of one shape [rows].
    covered
        Whether each measured time lies in its interval; None where there are no intervals.
    """
    scored = ~np.isnan(predicted_s)
    n = int(scored.sum())
    if n == 0:
        return Errors(np.nan, np.nan, np.nan, np.nan, np.nan, 0)
    predicted_s, measured_s = predicted_s[scored], measured_s[scored]
    error = relative_errors(predicted_s, measured_s)
    return Errors(
        mape=float(error.mean()),
        mdape=float(np.median(error)),
        within_10pct=float((error <= 0.10).mean()),  # noqa: PLR2004
        spearman=spearman(predicted_s, measured_s),
        coverage_90=np.nan if covered is None else float(covered[scored].mean()),
        n=n,
    )


def spearman(a: Floats, b: Floats) -> float:
    """Return the rank correlation, ties at their average rank; NaN where a side is constant."""
    ranks = [_ranks(values) - (len(values) - 1) / 2 for values in (a, b)]
    spread = float(np.sqrt((ranks[0] ** 2).sum() * (ranks[1] ** 2).sum()))
    return float((ranks[0] * ranks[1]).sum()) / spread if spread > 0 else np.nan


def _ranks(values: Floats) -> Floats:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    average: Floats = (last - (counts + 1) / 2)[inverse]
    return average


def evaluate(profile: ProfileLike | Fit, table: TableLike) -> Errors:
    """Hold a profile against measured times.

    Rows that the profile declares out of scope are left out, and not counted in `n`.

    Parameters
    ----------
    profile
        A profile, a shipped one's name or a path; or a fit, whose profile is taken.
    table
        Measurement table with ``time_s`` in seconds.

    Returns
    -------
    Errors
        `coverage_90` is NaN where the profile has no 90 % intervals.

    Raises
    ------
    TableError
        The table is malformed, or the profile prices none of its rows.
    ProfileError
        The profile lacks an operator kind or dtype of the table.
    """
    if not isinstance(profile, (Profile, str, os.PathLike)):
        profile = profile.profile
    profile = as_profile(profile)
    core = profile.core
    table = check_table(table)
    prices = price(table, profile)
    time_s, measured_s = prices["time_s"], table["time_s"]
    if np.isnan(time_s).all():
        raise TableError(
            f"table: profile '{core.name}' prices none of its {len(table)} rows; every operator "
            "kind in it is out of the profile's scope"
        )
    covered = None
    if core.interval_level == LEVEL:
        covered = (prices["time_lo_s"] <= measured_s) & (measured_s <= prices["time_hi_s"])
    return errors_of(time_s, measured_s, covered)
