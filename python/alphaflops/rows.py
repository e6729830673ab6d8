"""Price rows of NumPy columns, without a graph: one kind of operator, millions at a time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alphaflops import _core
from alphaflops.profiles import ProfileLike, as_profile

#: Columns of a row, as a work table has them; ``alpha`` by itself reads the first four.
COLUMNS = _core.LAUNCH_COLUMNS


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
