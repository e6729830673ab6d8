"""Batches for a design: one image leaves most of a GPU idle."""

from __future__ import annotations

import numpy as np

from alphaflops.table import Table, work_table

__all__ = ["in_batches"]

#: Factors of a row's batch, of which each row gets one.
_FACTORS = (1, 1, 4, 16, 64)
_MOST_MACS = 4e10
_MOST_ELEMENTS = 4e7  # of everything that a row reads and writes


def in_batches(shapes: Table, *, seed: int = 0) -> Table:
    """Return a design whose rows have batches, without calls: a host makes them meanwhile.

    Two rows in five stay as they are. A factor is made smaller, down to one, where a row would take
    more than 40 GMACs or 40 million elements.
    """
    shapes = shapes[shapes["op"] != "call"]
    work = work_table(shapes)
    elements = work.activations_read + work.weights_read + work.elements_written
    room = np.minimum(
        _MOST_MACS / np.maximum(work.macs, 1), _MOST_ELEMENTS / np.maximum(elements, 1)
    )
    factors = np.random.default_rng(seed).choice(_FACTORS, len(shapes))
    powers = np.exp2(np.floor(np.log2(np.maximum(room, 1.0)))).astype(np.int64)
    batched = shapes.copy()
    batched["batch"] *= np.minimum(factors, powers)
    return batched
