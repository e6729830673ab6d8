"""The measurement table at both ends of a campaign: the shapes it takes, the times it gives."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from alphaflops.measuring.readings import Reading, summarise
from alphaflops.table import PROVENANCE, Table, TableLike, check_table, table_of

__all__ = ["measured_table", "shapes_of"]

_NAMED = 20  # rows that a warning lists

#: What a measurement adds to the shapes.
_QUANTITIES = ("time_s", "time_lo_s", "time_hi_s", "steal_s", "clock_hz")
_MEASURED = {*_QUANTITIES, "samples", "unstable", "energy_j", "backend", "device", *PROVENANCE}
_MEASURED -= {"training"}  # which rows to time, and not only how they were


def shapes_of(table: TableLike) -> Table:
    """Return the shapes of a table, checked, without what an earlier measurement said of them."""
    table = table_of(table, "table")
    if table.dtype.names is not None:
        names = [n for n in table.dtype.names if n not in _MEASURED]
        stripped = np.empty(table.shape, [(n, table.dtype[n]) for n in names])
        for name in names:
            stripped[name] = table[name]
        table = stripped
    return check_table(table, need_time=False)


def measured_table(
    shapes: Table,
    readings: Sequence[Sequence[Reading]],
    provenance: Mapping[str, str | int],
    *,
    by_mode: bool,
    energy_j: npt.NDArray[np.float64] | None = None,
    refused: Mapping[int, Exception],
) -> Table:
    """Reduce readings to the table that `measure` returns; warn of rows without any."""
    reached = [i for i, taken in enumerate(readings) if taken]
    for i, error in list(refused.items())[:_NAMED]:
        warnings.warn(
            f"row {i + 1} ({shapes['op'][i]}) did not run and is left out: {error}",
            RuntimeWarning,
            stacklevel=3,
        )
    left_out = [str(i + 1) for i, taken in enumerate(readings) if not (taken or i in refused)]
    if left_out:
        named = ", ".join(left_out[:_NAMED])
        more = f" and {len(left_out) - _NAMED} more" if len(left_out) > _NAMED else ""
        warnings.warn(
            f"the budget did not reach {len(left_out)} of {len(readings)} rows, which are left "
            f"out: {named}{more}; give more time",
            RuntimeWarning,
            stacklevel=3,
        )
    summaries = [summarise(readings[i], by_mode=by_mode) for i in reached]
    columns: dict[str, npt.NDArray[Any]] = {
        n: shapes[n][reached] for n in shapes.dtype.names or () if n not in _MEASURED
    }
    for name in _QUANTITIES:
        columns[name] = np.array([getattr(s, name) for s in summaries], np.float64)
    columns["samples"] = np.array([s.samples for s in summaries], np.int64)
    columns["unstable"] = np.array([s.is_unstable for s in summaries], np.int64)
    if energy_j is not None:
        columns["energy_j"] = energy_j[reached]
    for name, text in provenance.items():
        columns[name] = np.full(len(reached), text)
    result = np.empty(len(reached), [(n, c.dtype) for n, c in columns.items()])
    for name, values in columns.items():
        result[name] = values
    return result
