"""What an activation costs in the launch of the product before it.

A product that is followed by a SiLU computes exponentials where its results still are in registers:
no byte moves, but the instructions take their time. By itself, the activation takes at least that,
and where nothing else held it up, no more. So the row with the fewest seconds an element tells it,
less what an elementwise operator takes for the same bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from alphaflops import _core
from alphaflops.fitting.forms import Rows
from alphaflops.fitting.kinds import KindFit
from alphaflops.fitting.metrics import Floats
from alphaflops.table import Table


def epilogues_of(
    table: Table, rows: Rows, time_s: Floats, elementwise: KindFit | None
) -> list[dict[str, Any]]:
    """Return a profile's ``epilogues``: of what was timed and takes longer than its bytes do.

    `elementwise` is the fit of that kind; without one nothing can be told.
    """
    modes = table["mode"] if "mode" in (table.dtype.names or ()) else np.array([""])
    is_folded = table["pass"][0] == "forward" and (modes != "eager").any()
    if elementwise is None or not is_folded:
        return []
    size = rows.bytes_written / rows.work.elements_written
    rates = elementwise.parameters
    byte_s = rates["seconds_per_byte_read"] + rates["seconds_per_byte_written"]
    found = []
    for name in _core.ACTIVATIONS:
        own = (table["op"] == name) & (rows.kind == "transcendental")
        if own.any():
            seconds = (time_s[own] - rates.get("floor_s", 0.0)) / rows.work.elements_written[own]
            beyond = float((seconds - byte_s * size[own]).min())
            if beyond > 0:
                dtype = str(table["dtype"][0])
                found.append({"activation": name, "dtype": dtype, "seconds_per_element": beyond})
    return found
