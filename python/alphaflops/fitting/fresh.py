"""What memory costs that the system hands out page by page: PyTorch's on a processor, in Linux.

glibc asks the system for every tensor of 32 MiB and more, and gives it back once it is let go. Each
of its pages is then cleared and mapped when it is first touched, which takes several times as long
as to write what a batch_norm writes. So such rows take no part in the fit of a form; what they take
beside it has a price for each byte written, for each byte read, which is let go of, and for each
byte of a convolution's weights, which it sorts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from alphaflops import _core
from alphaflops._core import Launches
from alphaflops.fitting.forms import CALL, MOVING, Rows
from alphaflops.fitting.kinds import KindFit
from alphaflops.fitting.metrics import Floats
from alphaflops.fitting.residual import domain_of
from alphaflops.measuring.torch_operators import IN_PLACE
from alphaflops.table import Table

__all__ = ["in_fits", "may_be_fresh", "with_fresh_memory"]

#: The most that glibc's M_MMAP_THRESHOLD grows to by itself (mallopt(3), on 64 bits).
FROM_BYTES = 2.0**25
_LEAST_ROWS = 2  # of a kind; one may be of anything
#: Their inputs are several, and none is as large as all together.
_OF_SEVERAL = ("elementwise", "copy", "matmul", "attention")
#: PyTorch's convolutions sort their weights in each call, into memory of their own.
_SORTS_WEIGHTS = ("conv_1x1", "conv_spatial", "conv_grouped")
_PRICES = ("seconds_per_byte_read", "seconds_per_byte_written", "seconds_per_weight_byte")


def may_be_fresh(table: Table) -> bool:
    """Tell whether rows of a table may lie in fresh memory."""
    names = table.dtype.names or ()
    return "on" in names and bool(
        (table["backend"] == "torch").all() and (table["on"] == "cpu").all()
    )


def lies_in_fresh_memory(rows: Rows) -> NDArray[np.bool_]:
    """Return of which rows [n] that is true."""
    found: NDArray[np.bool_] = _fresh_bytes(rows).sum(axis=1) > 0
    return found


def _fresh_bytes(rows: Rows) -> Floats:
    """Return bytes read, written and of weights that lie there [n, 3], as of _PRICES."""
    pass_ = _pass_of(rows)
    own = ~np.isin(rows.op, _in_place(pass_)) & (pass_ != "optimizer")
    # A gradient reads several tensors, and those that it reads outlive it.
    of_one = own & ~np.isin(rows.kind, _OF_SEVERAL) & (pass_ == "forward")
    takes = np.stack([of_one, own, own & np.isin(rows.kind, _SORTS_WEIGHTS)])
    nbytes = np.stack([rows.bytes_read - rows.weight_bytes, rows.bytes_written, rows.weight_bytes])
    found: Floats = np.where(takes & (nbytes >= FROM_BYTES), nbytes, 0.0).T
    return found


def _pass_of(rows: Rows) -> str:
    """Return the pass of rows, which are of one; forward where there are none."""
    return _core.PASSES[int(rows.work.passes[0]) if len(rows) else 0]


def _in_place(pass_: str) -> list[str]:
    """Return what writes over its input; gradients have memory of their own."""
    return sorted(IN_PLACE) if pass_ == "forward" else []


def in_fits(rows: Rows) -> NDArray[np.bool_]:
    """Return which rows [n] fits of forms see: those in other memory, and of kinds without, all."""
    fresh = lies_in_fresh_memory(rows)
    for kind in np.unique(rows.kind):
        own = rows.kind == kind
        if np.count_nonzero(~fresh[own]) < _LEAST_ROWS:
            fresh[own] = False
    return ~fresh


def with_fresh_memory(
    kinds: Mapping[str, KindFit], rows: Rows, time_s: Floats, kept: NDArray[np.bool_]
) -> dict[str, KindFit]:
    """Return fits to the rows `kept`, `in_fits`, with the prices that the others [n] ask for.

    A kind all of whose rows lie there has none: its form has it already.
    """
    has_it = set(np.unique(rows.kind[lies_in_fresh_memory(rows) & kept]).tolist())
    prices: dict[str, Floats] = {}
    found = dict(kinds)
    for kind, fit in kinds.items():
        own = ~kept & (rows.kind == kind)
        if np.count_nonzero(own) >= _LEAST_ROWS:
            prices[kind] = _prices(fit, rows[own], time_s[own])
            found[kind] = _widened(fit, rows[own], time_s[own])
    # What writes and no more is cleared at the same pace, whatever it is.
    others = [prices[kind] for kind in MOVING if kind in prices]
    typical = np.median(others, axis=0) if others else np.zeros(len(_PRICES))
    for kind, fit in kinds.items():
        donor = fit.borrowed_from or kind
        if kind == CALL or donor in has_it:
            continue
        fresh = dict(zip(_PRICES, prices.get(donor, typical).tolist(), strict=True))
        if kind in _OF_SEVERAL:
            fresh["seconds_per_byte_read"] = 0.0
        if kind not in _SORTS_WEIGHTS:
            fresh["seconds_per_weight_byte"] = 0.0
        about = {"from_bytes": FROM_BYTES, "in_place": _in_place(_pass_of(rows))}
        found[kind] = replace(found[kind], fresh_memory=fresh | about)
    return found


def _prices(fit: KindFit, rows: Rows, time_s: Floats) -> Floats:
    """Return _PRICES of least relative errors, all at least 0."""
    amounts = _fresh_bytes(rows) / time_s[:, None]
    scale = amounts.max()
    prices, _ = nnls(amounts / scale, 1 - fit.predict(rows) / time_s)
    found: Floats = prices / scale
    return found


def _widened(fit: KindFit, rows: Rows, time_s: Floats) -> KindFit:
    """Return a fit whose domain holds the rows as well."""
    if fit.domain is None:
        return fit
    own = domain_of(Launches(rows.work).traits(time_s))
    low = np.minimum(fit.domain["low"], own["low"]).tolist()
    high = np.maximum(fit.domain["high"], own["high"]).tolist()
    return replace(fit, domain={"low": low, "high": high})
