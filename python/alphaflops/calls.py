"""The row of calls in a table of launches: what a host does beside operators, in eager mode.

It launches nothing: modules that hold others or return their input, views, and what is computed of
sizes and constants alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alphaflops import _core
from alphaflops.errors import UnsupportedError

#: What a report calls the row, and its operator.
NAME, OPERATOR = "(containers and views)", "call"


def launches(work: _core.WorkTable) -> NDArray[np.bool_]:
    """Return which rows [n] launch something."""
    return np.asarray(work.kind != _core.KINDS.index("call"))


def shape_of(work: _core.WorkTable, row: int) -> str:
    """Return what stands in place of a shape: how many calls it is."""
    return f"{int(work.spatial[row])} calls"


def refuse(graph: _core.Graph) -> None:
    """Raise UnsupportedError for calls: on a GPU a host makes them meanwhile."""
    if graph.calls:
        raise UnsupportedError(
            f"{graph.name}: it launches nothing; the torch backend times calls on a processor"
        )


def assumptions(work: _core.WorkTable, time_s: NDArray[np.float64]) -> list[str]:
    """Say so where calls have no price."""
    calls = int(work.spatial[~launches(work) & np.isnan(time_s)].sum())
    if calls == 0:
        return []
    return [f"{calls} calls of containers and views are not priced, as none were timed"]
