"""What a measurement table cannot teach, and times that contradict each other or their unit."""

from __future__ import annotations

import warnings

import numpy as np

from alphaflops.errors import TableError
from alphaflops.fitting.folds import numbered
from alphaflops.fitting.forms import MULTIPLYING, Rows
from alphaflops.fitting.metrics import Floats
from alphaflops.table import Table
from alphaflops.table.columns import INTEGERS

_MOST_FLOPS = 1e16  # a second; no device does more, in any dtype
_LEAST_FLOPS = 1e6  # of the fastest row; a microcontroller does as many
_PLAUSIBLE_FLOPS = 1e8  # of the fastest row, with times in the right unit
_UNITS = (("milliseconds", 1e3), ("microseconds", 1e6), ("nanoseconds", 1e9))
_CONTRADICTION = 2.0  # ratio of times of one shape
_SHOWN = 3
_SIZES = ("batch", "c_in", "h_in", "w_in", "c_out")


def check_times(table: Table, rows: Rows) -> list[str]:
    """Return what a user of the fit has to know of its table; warn of what looks wrong.

    Parameters
    ----------
    table
        Checked measurement table [n] with ``time_s``.
    rows
        The same, counted.

    Raises
    ------
    TableError
        The times imply more operations a second than any device does.
    """
    suspicious = [*_slow(table, rows), *_contradictions(table)]
    for text in suspicious:
        warnings.warn(text, stacklevel=3)
    return [*suspicious, *_constants(table, rows)]


def _rates(table: Table, rows: Rows) -> Floats:
    multiplies = np.isin(rows.kind, MULTIPLYING)
    rates: Floats = 2 * rows.macs[multiplies] / table["time_s"][multiplies]
    if len(rates) and np.median(rates) > _MOST_FLOPS:
        row = int(np.flatnonzero(multiplies)[rates.argmax()])
        factor = 1e3 ** np.ceil(np.log(np.median(rates) / _MOST_FLOPS) / np.log(1e3))
        raise TableError(
            f"table: row {row + 1}: time_s {table['time_s'][row]:.3g} means {rates.max():.1e} "
            f"FLOP/s, and half of the rows more than {_MOST_FLOPS:.0e}: no device does that. "
            f"time_s is in seconds; these look divided by {factor:,.0f} too often"
        )
    return rates


def _slow(table: Table, rows: Rows) -> list[str]:
    rates = _rates(table, rows)
    if len(rates) == 0 or rates.max() >= _LEAST_FLOPS:
        return []
    fitting = [n for n, factor in _UNITS if rates.max() * factor >= _PLAUSIBLE_FLOPS]
    unit = fitting[0] if fitting else _UNITS[-1][0]
    return [
        f"table: the fastest row does {rates.max():.1e} FLOP/s, less than any device; time_s is in "
        f"seconds, these look like {unit}"
    ]


def _contradictions(table: Table) -> list[str]:
    shape, time_s = numbered(table, ["op", "pass", *INTEGERS]), table["time_s"]
    count = int(shape.max()) + 1
    least, most = np.full(count, np.inf), np.zeros(count)
    np.minimum.at(least, shape, time_s)
    np.maximum.at(most, shape, time_s)
    found = np.flatnonzero(most > _CONTRADICTION * least)
    if len(found) == 0:
        return []
    pairs = []
    for number in found[np.argsort(-(most / least)[found], kind="stable")][:_SHOWN]:
        own = np.flatnonzero(shape == number)
        fast, slow = own[time_s[own].argmin()], own[time_s[own].argmax()]
        pairs.append(
            f"rows {fast + 1} and {slow + 1} ({time_s[fast]:.3g} s and {time_s[slow]:.3g} s)"
        )
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return [
        f"table: times of one shape differ by more than {_CONTRADICTION:.0f} times: "
        f"{', '.join(pairs)}{more}; measure them again, or remove what was disturbed"
    ]


def _constants(table: Table, rows: Rows) -> list[str]:
    multiplies = np.isin(rows.kind, MULTIPLYING)
    if multiplies.sum() < 2:  # noqa: PLR2004
        return []
    own = table[multiplies]
    same = [f"{name} {own[name][0]}" for name in _SIZES if (own[name] == own[name][0]).all()]
    if not same:
        return []
    return [
        f"every row that multiplies has {', '.join(same)}: how time changes with "
        f"{'it' if len(same) == 1 else 'them'} is not learned"
    ]
