"""Price rows without a graph: of work tables, of measurement tables, and of NumPy columns."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alphaflops import _core
from alphaflops.errors import TableError
from alphaflops.profiles import ProfileLike, as_profile
from alphaflops.table import Table, TableLike, check_table, work_table

#: Columns of a row, as a work table has them; ``alpha`` by itself, without a
#: domain, a cache or fresh memory, reads the first four.
COLUMNS = _core.LAUNCH_COLUMNS

_PRICE = [
    *((name, np.float64) for name in ("time_s", "time_lo_s", "time_hi_s", "alpha")),
    ("extrapolated", np.bool_),
]


def price(
    rows: _core.WorkTable | TableLike,
    profile: ProfileLike,
    *,
    reuse_bytes: float | None = None,
) -> Table:
    """Return what every row of a table takes on a device.

    Parameters
    ----------
    rows
        What ``lower`` or ``work_table`` gives; or a measurement table, as ``check_table`` takes it,
        of which times are not looked at.
    profile
        A profile, a shipped one's name, or a path.
    reuse_bytes
        What is touched between two uses of the same weights; inf: they come from memory. By
        default, in a work table that is of a graph, what its rows touch, as ``estimate`` has it of
        all of them (of a part, give the whole's); in a measurement table its columns
        ``reuse_bytes`` and ``reuse_s``; inf in any other.

    Returns
    -------
    structured array
        In the order of the rows: ``time_s``, ``time_lo_s`` and ``time_hi_s`` (s; its interval at
        the profile's level, and `time_s` where it has none), ``alpha`` (NaN where the form has
        none), ``extrapolated`` (far from all that was measured). Times are NaN where the kind is
        out of the profile's scope. What networks take beside their launches is in none.

    Raises
    ------
    ProfileError
        The profile lacks a kind or dtype of the rows.
    ShapeError
        `reuse_bytes` is no number of bytes.
    TableError
        The measurement table is malformed.

    Examples
    --------
    >>> layer = {"batch": 1, "c_in": 64, "h_in": 56, "w_in": 56, "c_out": 64, "k_h": 3, "k_w": 3}
    >>> price(layer | {"pad_h": 1, "pad_w": 1}, "quadro-t2000")["time_s"]
    array([0.00013422])
    """
    core = as_profile(profile).core
    if isinstance(rows, _core.WorkTable):
        if reuse_bytes is None and (rows.node >= 0).any():
            reuse_bytes = _core.reuse_distance_bytes(rows)
        return _priced(rows, core, reuse_bytes)
    if isinstance(rows, _core.Graph):
        raise TableError(
            f"a graph, {rows.name}, is no table of rows; take estimate(graph, profile).layers, or "
            "give lower(graph)"
        )
    table = check_table(rows, need_time=False)
    work = work_table(table)
    prices = _priced(work, core, reuse_bytes)
    if reuse_bytes is None and "reuse_bytes" in (table.dtype.names or ()):
        _use_again(prices, table, work, core)
    return prices


def _priced(work: _core.WorkTable, core: _core.Profile, reuse_bytes: float | None) -> Table:
    found = _core.predict(work, core, reuse_bytes=math.inf if reuse_bytes is None else reuse_bytes)
    prices = np.empty(len(work), _PRICE)
    for name, _ in _PRICE[:-1]:
        prices[name] = getattr(found, name)
    prices["extrapolated"] = found.distance > _core.EXTRAPOLATED_BEYOND
    return prices


def _use_again(prices: Table, table: Table, work: _core.WorkTable, core: _core.Profile) -> None:
    """Change the times of rows whose weights are used again, which are those from memory."""
    distances = table["reuse_bytes"]
    between_s = seconds_between(table, work, prices["time_s"])
    for row in np.flatnonzero(~np.isnan(distances) & ~np.isnan(prices["time_s"])).tolist():
        near = _core.predict(
            work.take(np.array([row])), core, None, float(distances[row]), float(between_s[row])
        )
        for name in ("time_s", "time_lo_s", "time_hi_s"):
            prices[name][row] = getattr(near, name)[0]


def seconds_between(
    table: Table, work: _core.WorkTable, time_s: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the seconds that pass until the same weights are used again, where they are."""
    sizes = np.array(_core.DTYPE_BYTES, float)[work.dtype]
    calls = np.maximum(table["reuse_bytes"] // np.maximum(sizes * work.weights_read, 1.0), 1.0)
    if "reuse_s" not in (table.dtype.names or ()):
        return np.asarray(time_s * calls)
    return np.asarray(np.fmax(time_s * calls, table["reuse_s"]))


def predict_rows(
    profile: ProfileLike,
    kind: str,
    columns: Mapping[str, ArrayLike],
    *,
    dtype: str = "fp32",
    out: NDArray[np.float64] | None = None,
    op: str = "other",
) -> NDArray[np.float64]:
    """Return the seconds of rows of one kind of operator.

    Parameters
    ----------
    profile
        A profile, a shipped one's name, or a path.
    kind
        conv_1x1, conv_spatial, conv_grouped, linear, ...
    columns
        Integers [n] by name, read where they are if they are contiguous int64. The form ``alpha``
        reads batch, spatial (h_out * w_out), kernel_volume (k_h * k_w) and macs; the others read
        all ``COLUMNS``, as of `WorkTable`, but for flops, which only a price of taps needs. Sizes
        are taken as they are: those below one give numbers without a meaning.
    dtype
        Element type of all rows.
    out
        Where to write, [n].
    op
        Which of the kind's operators, such as max_pool: profiles may have a factor for it.
        "other" is a typical one.

    Raises
    ------
    ProfileError
        The profile does not price this kind.
    ShapeError
        A column is missing, not known, no integers, or of another length.
    UnsupportedError
        The kind, the dtype or the operator is not known.

    Examples
    --------
    >>> predict_rows("quadro-t2000", "conv_spatial", {
    ...     "batch": [1], "spatial": [56 * 56], "kernel_volume": [9], "macs": [115_605_504]})
    array([0.00013422])
    """
    loaded = as_profile(profile)
    arrays = {name: _integers(name, values) for name, values in columns.items()}
    if out is None:
        n = next((len(values) for values in arrays.values()), 0)
        out = np.empty(n)
    _core.predict_columns(loaded.core, kind, dtype, arrays, out, op)
    return out


def _integers(name: str, values: ArrayLike) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        raise _core.ShapeError(f"column '{name}' is {array.dtype}; it must be integers")
    return np.ascontiguousarray(array, dtype=np.int64)
