"""Sums of the counts of a table, which may exceed 64 bits where no row does."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alphaflops import _core
from alphaflops.errors import OverflowError

_BYTES = np.array(_core.DTYPE_BYTES, dtype=np.int64)  # of an element
_MOST = 2**63 - 1
_SAFE = 2**58  # elements whose bytes, read twice over, are fewer than _MOST


class Totals(NamedTuple):
    """Counts of all rows, and the bytes [n] of each."""

    macs: int
    flops: int
    params: int
    bytes_read: NDArray[np.int64]
    bytes_written: NDArray[np.int64]


def totals_of(work: _core.WorkTable, name: str) -> Totals:
    """Add up a table.

    Raises
    ------
    OverflowError
        The MACs, FLOPs, parameters or bytes of all rows exceed 2^63 - 1.
    """
    counts = {"MACs": work.macs, "FLOPs": work.flops, "parameters": work.params}
    elements = (work.activations_read, work.weights_read, work.elements_written)
    widths = _BYTES[work.dtype]
    largest = np.maximum.reduce(np.concatenate((*counts.values(), *elements)), initial=0)
    if int(largest) * len(work) >= _SAFE:
        _refuse_overflow(name, counts, elements, widths)
    macs, flops, params = (int(column.sum()) for column in counts.values())
    activations_read, weights_read, elements_written = elements
    return Totals(
        macs, flops, params, (activations_read + weights_read) * widths, elements_written * widths
    )


def _refuse_overflow(
    name: str,
    counts: dict[str, NDArray[np.int64]],
    elements: tuple[NDArray[np.int64], ...],
    widths: NDArray[np.int64],
) -> None:
    exact = {count: sum(column.tolist()) for count, column in counts.items()}
    exact["bytes"] = sum(int((column.astype(object) * widths).sum()) for column in elements)
    for count, total in exact.items():
        if total > _MOST:
            raise OverflowError(
                f"{name}: {total:.3g} {count} in all exceed the largest 64-bit count (2^63 - 1); "
                "use a smaller batch"
            )
