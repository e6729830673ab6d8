"""Batches for a design: one image leaves most of a GPU idle, and fits a processor's caches."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from alphaflops.measuring.shapes import graphs_of, largest_bytes, weight_bytes
from alphaflops.table import Table, work_table

__all__ = ["in_batches", "with_heavy", "with_large"]

#: Factors of a row's batch, of which each row gets one.
_FACTORS = (1, 1, 4, 16, 64)
_MOST_MACS = 4e10
_MOST_ELEMENTS = 4e7  # of everything that a row reads and writes

#: Of each operator, one row in so many stands in the design a second time, with a batch.
_LARGE_OF = 8
_LARGE_MACS = 1e9
_LARGE_BATCH = 256
#: Of the larger tensor, at most. The first half lies in memory that a process keeps; the other is
#: memory that it asks the system for each time (fitting/fresh.py).
_LARGE_BYTES = (2.0**22, 2.0**25, 2.0**26)

#: Of convolutions over a pixel and over more, each: with weights of so much, from so much on.
_HEAVY_ROWS = 3
_HEAVY_BYTES = (2.0**25, 2.0**26.5)
_HEAVY_FROM_BYTES = 2.0**21
_HEAVY_MACS = 2e9
_HEAVY_LEAST = 7  # of an extent: on 1 and on 4 pixels PyTorch sorts no weights
_HEAVY_LEAST_CHANNELS = 16  # of the input: of fewer, the next eight would be far too many


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


def with_large(shapes: Table, *, seed: int = 0) -> Table:
    """Return a design and more rows: those of large batches, of which no cache holds a tensor.

    As many of each operator as an eighth of its rows, in all passes that it has there. Half of them
    have a tensor of 32 to 64 MiB, the others one of 4 to 32, as far as 1 GMAC and 256 images allow.
    """
    random = np.random.default_rng(seed)
    names = [name for name in shapes.dtype.names or () if name != "pass"]
    kept = shapes[_has_large(shapes)]
    # Rows that differ in the pass alone have one batch.
    _, first, of = np.unique(kept[names], return_index=True, return_inverse=True)
    tensor_bytes = np.array([largest_bytes(graph) for graph in graphs_of(kept[first])], float)
    most = np.minimum(
        _LARGE_MACS / np.maximum(work_table(kept[first]).macs, 1),
        _LARGE_BATCH / kept["batch"][first],
    )
    least, fresh, largest = np.log2(_LARGE_BYTES)
    reach = np.log2(np.maximum(most - 1, 1) * tensor_bytes)
    factors = np.ones(len(first), np.int64)
    ops = kept["op"][first]
    for op in np.unique(ops):
        rows = random.permutation(np.flatnonzero((ops == op) & (reach >= least))).tolist()
        wanted_rows = -(-int(np.count_nonzero(ops == op)) // _LARGE_OF)
        for i in range(min(len(rows), wanted_rows)):
            may_be_fresh = [row for row in rows if reach[row] >= fresh] if i % 2 == 0 else []
            rows.remove(row := (may_be_fresh or rows)[0])
            octaves = (fresh, largest) if may_be_fresh else (least, fresh)
            wanted = 2.0 ** random.uniform(*octaves) / tensor_bytes[row]
            factors[row] = max(1, np.ceil(min(wanted, most[row] - 1)))
    factors = factors[of.reshape(-1)]
    kept["batch"] *= factors
    return np.concatenate([shapes, kept[factors > 1]])


def _has_large(shapes: Table) -> npt.NDArray[np.bool_]:
    """Tell of each row whether a batch is run as an image is.

    PyTorch convolves one volume, and one image in groups by a pixel, in ways of their own: several
    of them take up to seven times less each.
    """
    by_group = (shapes["groups"] > 1) & (shapes["k_h"] == 1) & (shapes["op"] == "conv2d")
    apart = np.isin(shapes["op"], ["call", "conv3d"]) | by_group
    has_large: npt.NDArray[np.bool_] = ~apart & (shapes["pass"] != "optimizer")
    return has_large


def with_heavy(shapes: Table, *, seed: int = 0) -> Table:
    """Return a design and six rows more: convolutions with weights of 32 to 90 MiB.

    PyTorch sorts them in each call, into memory that it asks the system for. They are rows of the
    design with more channels.
    """
    random = np.random.default_rng(seed)
    work = work_table(shapes)
    nbytes = weight_bytes(work)
    least, most = np.log2(_HEAVY_BYTES).tolist()
    wanted = 2.0 ** random.uniform(least, most, len(shapes))
    factors = wanted / np.maximum(nbytes, 1)
    fits = (shapes["op"] == "conv2d") & (shapes["groups"] == 1) & (shapes["batch"] == 1)
    fits &= (shapes["h_in"] >= _HEAVY_LEAST) & (shapes["c_in"] >= _HEAVY_LEAST_CHANNELS)
    fits &= (nbytes >= _HEAVY_FROM_BYTES) & (factors > 1) & (work.macs * factors <= _HEAVY_MACS)
    heavy = []
    for of_a_pixel in (True, False):
        rows = np.flatnonzero(fits & ((work.kernel_volume == 1) == of_a_pixel))
        heavy += random.permutation(rows)[:_HEAVY_ROWS].tolist()
    added = shapes[heavy]
    for channels in ("c_in", "c_out"):
        added[channels] = np.ceil(added[channels] * np.sqrt(factors[heavy]) / 8) * 8
    return np.concatenate([shapes, added])
