"""Rows of a work table that can be compared, whatever their order."""

from __future__ import annotations

import numpy as np

import alphaflops as af
from alphaflops import _core
from alphaflops.calls import launches

SIZES = ("batch", "groups", "c_in", "c_out", "spatial", "kernel_volume", "stride")
COLUMNS = ("kind", "activations_read", "weights_read", "elements_written", "macs", "flops")
COLUMNS += ("params",)


def rows_of(graph, mode="eager", training=None):
    """Every launch, sorted; of copies only how many elements, as their shape is one of many."""
    work = launched(af.lower(graph, mode, training))
    table = np.stack([getattr(work, c).astype(np.int64) for c in (*SIZES, *COLUMNS)], axis=1)
    table[work.kind == _core.KINDS.index("copy"), : len(SIZES)] = 0
    return sorted(table.tolist())


def launched(work):
    """Return the rows that launch something: not those of calls, which only modules make."""
    return work.take(np.flatnonzero(launches(work)))


def products(graph):
    """MACs of every row that has some; as exporters write attention and recurrences.

    Attention is two products of matrices, and each layer of a recurrence is an operator.
    """
    work = af.lower(graph)
    found, recurrent = [], 0
    for kind, macs in zip(np.array(_core.KINDS)[work.kind], work.macs.tolist(), strict=True):
        if kind in {"recurrent", "lstm"}:
            recurrent += macs
        elif macs:
            found += [macs // 2, macs // 2] if kind == "attention" else [macs]
    return sorted(found), recurrent
