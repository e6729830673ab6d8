"""What memory costs that the system hands out page by page: PyTorch's on a processor, in Linux.

glibc asks the system for every tensor of 32 MiB and more, and gives it back once it is let go. Each
of its pages is then cleared and mapped when it is first touched, which takes several times as long
as to write what a batch_norm writes. So such rows take no part in the fit of a form; what they take
beside it has a price for each byte written, and for each byte read, which is let go of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from alphaflops import _core
from alphaflops._core import Launches
from alphaflops.fitting.forms import MOVING, Rows
from alphaflops.fitting.kinds import KindFit
from alphaflops.fitting.metrics import Floats
from alphaflops.fitting.residual import domain_of
from alphaflops.measuring.torch_operators import IN_PLACE
from alphaflops.table import Table

__all__ = ["lies_in_fresh_memory", "may_be_fresh", "with_fresh_memory"]

#: The most that glibc's M_MMAP_THRESHOLD grows to by itself (mallopt(3), on 64 bits).
FROM_BYTES = 2.0**25
_LEAST_ROWS = 3  # of a kind; fewer say nothing of it
#: Their inputs are several, and none is as large as all together.
_OF_SEVERAL = ("elementwise", "copy", "matmul", "attention")
_PLAIN = ("macs", "published")


def may_be_fresh(table: Table) -> bool:
    """Tell whether rows of a table may lie in fresh memory."""
    names = table.dtype.names or ()
    return "on" in names and bool(
        (table["backend"] == "torch").all() and (table["on"] == "cpu").all()
    )


def lies_in_fresh_memory(rows: Rows) -> NDArray[np.bool_]:
    """Return of which rows [n] that is true, of kinds that have others as well."""
    read, written = _fresh_bytes(rows)
    found = (read + written) > 0
    for kind in np.unique(rows.kind):
        own = rows.kind == kind
        if np.count_nonzero(~found[own]) < _LEAST_ROWS:
            found[own] = False
    return found


def _fresh_bytes(rows: Rows) -> tuple[Floats, Floats]:
    """Return bytes [n] read and written that lie there."""
    own = ~np.isin(rows.op, _in_place(rows))
    activations = rows.bytes_read - rows.weight_bytes
    of_one = own & ~np.isin(rows.kind, _OF_SEVERAL)
    read: Floats = np.where(of_one & (activations >= FROM_BYTES), activations, 0.0)
    written: Floats = np.where(own & (rows.bytes_written >= FROM_BYTES), rows.bytes_written, 0.0)
    return read, written


def with_fresh_memory(
    forms: Mapping[str, Mapping[str, KindFit]], rows: Rows, time_s: Floats
) -> dict[str, dict[str, KindFit]]:
    """Return fits of rows in other memory with the prices that `rows` [n] ask for, by form.

    Forms that others published stay as they are.
    """
    return {
        form: dict(kinds) if form in _PLAIN else _priced(kinds, rows, time_s)
        for form, kinds in forms.items()
    }


def _priced(kinds: Mapping[str, KindFit], rows: Rows, time_s: Floats) -> dict[str, KindFit]:
    found: dict[str, KindFit] = {}
    prices: dict[str, tuple[float, float]] = {}
    for kind, fit in kinds.items():
        own = rows.kind == kind
        if np.count_nonzero(own) >= _LEAST_ROWS:
            prices[kind] = _prices(fit, rows[own], time_s[own])
            found[kind] = _widened(fit, rows[own], time_s[own])
    # What writes and no more is cleared at the same pace, whatever it is.
    others = [prices[kind] for kind in MOVING if kind in prices]
    typical = tuple(np.median(others, axis=0).tolist()) if others else (0.0, 0.0)
    for kind, fit in kinds.items():
        read_s, written_s = prices.get(fit.borrowed_from or kind, typical)
        if kind in _OF_SEVERAL:
            read_s = 0.0
        fresh = {
            "from_bytes": FROM_BYTES,
            "seconds_per_byte_read": read_s,
            "seconds_per_byte_written": written_s,
            "in_place": _in_place(rows),
        }
        found[kind] = replace(found.get(kind, fit), fresh_memory=fresh)
    return found


def _in_place(rows: Rows) -> list[str]:
    """Return what writes over its input, of a pass; gradients have memory of their own."""
    return sorted(IN_PLACE) if _core.PASSES[rows.work.passes[0]] == "forward" else []


def _prices(fit: KindFit, rows: Rows, time_s: Floats) -> tuple[float, float]:
    """Return seconds per byte read and written, of least relative errors."""
    amounts = np.stack(_fresh_bytes(rows), axis=1) / time_s[:, None]
    left = 1 - fit.predict(rows) / time_s
    scale = amounts.max()
    prices, _ = nnls(amounts / scale, left)
    read_s, written_s = (prices / scale).tolist()
    return read_s, written_s


def _widened(fit: KindFit, rows: Rows, time_s: Floats) -> KindFit:
    """Return a fit whose domain holds the rows as well."""
    if fit.domain is None:
        return fit
    own = domain_of(Launches(rows.work).traits(time_s))
    low = np.minimum(fit.domain["low"], own["low"]).tolist()
    high = np.maximum(fit.domain["high"], own["high"]).tolist()
    return replace(fit, domain={"low": low, "high": high})
