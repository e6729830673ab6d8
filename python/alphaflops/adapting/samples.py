"""Whole-network times on disk: a CSV file of architectures, or of models, and seconds."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import numpy as np

from alphaflops._core import Graph
from alphaflops.adapting.networks import Floats
from alphaflops.errors import Error, ModelError, TableError
from alphaflops.spaces import SearchSpace

_NOT_MEASURED = {"", "nan", "na", "null", "none"}


def read_samples(
    path: str | os.PathLike[str], space: SearchSpace | None, time_column: str = "time_s"
) -> tuple[list[Graph], Floats]:
    """Read networks and their times.

    Parameters
    ----------
    path
        A CSV file with a header: `arch`, codes of `space`; or, without a space, `model`, what
        ``alphaflops.load`` takes; and the times in seconds. Other columns are left alone.
    space
        Of the architectures.
    time_column
        Where the times are.

    Returns
    -------
    list of Graph, array [n]
        A cell without a number is NaN.

    Raises
    ------
    TableError
        The file cannot be read, has no rows, lacks a column, or a cell is no number or network; the
        message names the row (1 is the first below the header).
    """
    origin = os.fspath(path)
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as e:
        why = e.strerror if isinstance(e, OSError) else "it is not UTF-8 text"
        raise TableError(f"{origin}: cannot read these samples: {why}; name a CSV file") from e
    rows = list(csv.DictReader(io.StringIO(text), skipinitialspace=True))
    if not rows:
        raise TableError(f"{origin}: there are no rows; give networks and times, a header first")
    column = "model" if space is None else "arch"
    for needed in (column, time_column):
        if needed not in rows[0]:
            raise TableError(
                f"{origin}: column '{needed}' is missing; it has "
                f"{', '.join(str(name) for name in rows[0] if name)}"
            )
    graphs, times = [], []
    for number, row in enumerate(rows, start=1):
        try:
            graphs.append(_graph(row[column] or "", space))
        except Error as e:
            raise TableError(f"{origin}: row {number}: {e}") from e
        times.append(_seconds(row[time_column], f"{origin}: row {number}, {time_column}"))
    return graphs, np.array(times)


def _graph(text: str, space: SearchSpace | None) -> Graph:
    if space is not None:
        return space.graph(text)
    if not text.strip():
        raise ModelError("the model's name is empty")
    from alphaflops.frontends import load  # noqa: PLC0415

    return load(text.strip())


def _seconds(cell: str | None, place: str) -> float:
    stripped = (cell or "").strip()
    if stripped.lower() in _NOT_MEASURED:
        return np.nan
    try:
        return float(stripped)
    except ValueError:
        raise TableError(f"{place}: {stripped!r} is no number; give seconds") from None
