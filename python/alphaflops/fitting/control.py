"""Rows of a table that are timed again when its profile is held against networks.

A processor among others moves in speed within minutes. What these rows take later, over what they
took in the table, says how far.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from alphaflops import _core
from alphaflops.calls import OPERATOR as CALL
from alphaflops.table import Table, work_table
from alphaflops.table.columns import INTEGERS

_ROWS = 32
_SHORTEST_S, _LONGEST_S = 2e-6, 5e-3  # seen by the clock, and soon over
_LARGEST_BYTES = 8 << 20  # as of single images; larger ones tell how fast memory is
_FEWEST = 5  # of which a median has an interval


def control_of(table: Table) -> dict[str, list[Any]] | None:
    """Return a checked table's control as columns, or None where it has none.

    Rows are picked at equal steps of summed time, so that each stands for as much of it, among the
    forward passes of inference between 2 us and 5 ms, of tensors up to 8 MiB, of a table that a
    campaign measured. Those that are not settled count too: where a device's speed moves, hardly
    any is.
    """
    if "samples" not in (table.dtype.names or ()):
        return None
    eligible = (table["pass"] == "forward") & (table["training"] == 0)
    eligible &= (table["time_s"] >= _SHORTEST_S) & (table["time_s"] <= _LONGEST_S)
    eligible &= table["op"] != CALL
    work = work_table(table)
    elements = np.maximum(work.activations_read, work.elements_written)
    eligible &= elements * np.array(_core.DTYPE_BYTES)[work.dtype] <= _LARGEST_BYTES
    rows = table[eligible]
    if len(rows) < _FEWEST:
        return None
    rows = rows[np.lexsort((rows["time_s"], rows["op"]))]
    upto = np.cumsum(rows["time_s"])
    picked = np.unique(np.searchsorted(upto, (np.arange(_ROWS) + 0.5) / _ROWS * upto[-1]))
    if len(picked) < _FEWEST:
        return None
    columns = ("op", *INTEGERS, "dtype", "time_s")
    return {name: rows[name][picked].tolist() for name in columns}
