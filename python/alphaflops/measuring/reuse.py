"""Rows that tell what caches give where a network finds its weights there.

All other rows are timed with weights from memory. These use the same weights again after so many
bytes, the reuse distance; each stands beside the same shape from memory.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from alphaflops.fitting.forms import WEIGHTED, rows_of
from alphaflops.measuring.shapes import Shape, to_table
from alphaflops.table import Table, work_table

__all__ = ["with_reuse"]

#: Linear layers that use each weight once: channels in and out, and distances in multiples of their
#: weights. In fp32, 256 KiB to 128 MiB.
_USED_ONCE = {256: (1, 2), 512: (1, 2), 1024: (1, 2, 4, 8, 16, 32)}
#: Of the last of these, at twice its weights: others who share a cache take it away in time.
_LATE_S = (0.008, 0.024, 0.072)
_OF_A_KIND = 8
_MOST_S = 1024  # what uses its weights more often hardly waits for them
_LEAST_WEIGHTS, _MOST_WEIGHTS = 4 << 10, 4 << 20  # bytes
_MOST_MACS = 5e7
#: Of rows that use their weights more often, in turns. Where others share a last-level cache, what
#: takes longer loses more of it, so that no single distance will do.
_DISTANCES = (1 << 20, 4 << 20, 16 << 20, 64 << 20)
_MOST_TURNS = 64  # calls until weights are used again, all of which come before a sample


def with_reuse(shapes: Table) -> Table:
    """Return the shapes and a few more, with ``reuse_bytes``, NaN from memory, and ``reuse_s``.

    Parameters
    ----------
    shapes
        As ``sample_shapes`` gives them.
    """
    once = to_table([Shape("linear", width, 1, width) for width in _USED_ONCE])
    once["dtype"] = shapes["dtype"][0]
    multiples = list(_USED_ONCE.values())
    again = np.repeat(once, [len(m) for m in multiples])
    late = np.repeat(once[-1:], len(_LATE_S))
    several = shapes[_chosen(shapes)]
    rows = np.concatenate([shapes, once, again, several, late])
    wanted = np.resize(_DISTANCES, len(several))
    weights = _weight_bytes(several)
    near = np.clip(wanted, weights, _MOST_TURNS * weights)
    distances = np.concatenate(
        [_weight_bytes(again) * np.concatenate(multiples), near, 2 * _weight_bytes(late)]
    )
    added = [("reuse_bytes", np.float64), ("reuse_s", np.float64)]
    table = np.empty(len(rows), [*rows.dtype.descr, *added])
    for name in rows.dtype.names or ():
        table[name] = rows[name]
    table["reuse_bytes"] = table["reuse_s"] = np.nan
    table["reuse_bytes"][-len(distances) :] = distances
    table["reuse_s"][-len(late) :] = _LATE_S
    return table


def _weight_bytes(shapes: Table) -> npt.NDArray[np.float64]:
    return rows_of(work_table(shapes)).weight_bytes


def _chosen(shapes: Table) -> npt.NDArray[np.int64]:
    """Return rows of each kind that has weights, evenly over how often these are used."""
    rows = rows_of(work_table(shapes))
    fits = (rows.s > 1) & (rows.s <= _MOST_S) & (rows.macs <= _MOST_MACS)
    fits &= (rows.weight_bytes >= _LEAST_WEIGHTS) & (rows.weight_bytes <= _MOST_WEIGHTS)
    chosen = []
    for kind in WEIGHTED:
        own = np.flatnonzero(fits & (rows.kind == kind))
        own = own[np.argsort(rows.s[own], kind="stable")]
        even = np.linspace(0, len(own) - 1, min(_OF_A_KIND, len(own)))
        chosen.append(own[even.round().astype(np.int64)])
    return np.concatenate(chosen)
