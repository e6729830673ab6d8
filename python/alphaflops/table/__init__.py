"""The measurement table: what was run and how long it took, one row an operator.

A table is a one-dimensional NumPy structured array. Its columns and their defaults are in
``columns.py``; other columns are kept as they are. On disk it is a CSV file, or a Parquet file
where pyarrow is installed.
"""

from __future__ import annotations

import csv
import importlib
import io
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from alphaflops import _core
from alphaflops._core import WorkTable
from alphaflops.errors import (
    MissingExtraError,
    OverflowError,
    ShapeError,
    TableError,
    UnsupportedError,
)
from alphaflops.files import write_bytes, write_text
from alphaflops.table.columns import (
    FLOATS,
    INTEGERS,
    OPTIONAL_INTEGERS,
    PROVENANCE,
    TEXTS,
    bad_cell,
    from_cells,
    is_missing,
    require_known,
    to_integers,
    to_quantities,
    to_text,
)

__all__ = ["PROVENANCE", "Table", "check_table", "read_table", "work_table", "write_table"]

Table: TypeAlias = npt.NDArray[np.void]


class Frame(Protocol):
    """A data frame: of pandas, say, which this module does not import."""

    @property
    def columns(self) -> Any:
        """Names."""

    def __getitem__(self, name: Any) -> Any:
        """Return a column."""


#: What is taken for a table.
TableLike: TypeAlias = Table | Mapping[str, npt.ArrayLike] | Frame

_NO_TABLE = (
    "a measurement table is a one-dimensional NumPy structured array, as read_table gives it, a "
    "data frame, or a mapping of columns; this is"
)

_UNWRITABLE = re.compile("[\x00-\x1f\ud800-\udfff]")  # control characters, half surrogate pairs


def read_table(path: str | os.PathLike[str], *, need_time: bool = False) -> Table:
    """Read and check a measurement table.

    Parameters
    ----------
    path
        A CSV file (UTF-8, commas, one header line), or a ``.parquet`` file.
    need_time
        Whether ``time_s`` must be there. Shapes yet to be measured lack it.

    Returns
    -------
    Table
        As ``check_table`` returns it.

    Raises
    ------
    TableError
        The file cannot be read, is no table, or holds a value that no measurement can have. The
        message names the file, and the row (1 is the first below the header) and column.
    MissingExtraError
        A Parquet file without pyarrow.
    """
    origin = os.fspath(path)
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as e:
        why = e.strerror if isinstance(e, OSError) else str(e)
        raise TableError(
            f"{origin}: cannot read this measurement table: {why}; name a CSV or Parquet file"
        ) from e
    is_parquet = Path(path).suffix == ".parquet"
    columns = _parse_parquet(data, origin) if is_parquet else _parse_csv(data, origin)
    return check_table(_assemble(columns), need_time=need_time, origin=origin)


def write_table(table: TableLike, path: str | os.PathLike[str]) -> None:
    """Write a table as CSV, or as Parquet where `path` ends so; whole or not at all.

    Raises
    ------
    TableError
        The table has no rows, or a text that a CSV line cannot hold.
    IoError
        The file cannot be written.
    MissingExtraError
        A Parquet file without pyarrow.
    """
    table = table_of(table, "table")
    names = _names(table, "table")
    if Path(path).suffix == ".parquet":
        pyarrow, parquet = _import_pyarrow()
        sink = io.BytesIO()
        parquet.write_table(pyarrow.table({n: table[n].tolist() for n in names}), sink)
        write_bytes(path, sink.getvalue())
        return
    for name in names:
        if _UNWRITABLE.search(name):
            raise TableError(f"table: column name {name!r} holds a control character; remove it")
    columns = [_texts_of(table[n], n) for n in names]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(zip(*columns, strict=True))
    write_text(path, text.getvalue())


def check_table(table: TableLike, *, need_time: bool = True, origin: str = "table") -> Table:
    """Fill in default columns and validate every value.

    Parameters
    ----------
    table
        Structured array, mapping of columns, or data frame; required are ``batch, c_in, h_in, w_in,
        c_out`` and, with `need_time`, ``time_s`` (seconds).
    origin
        Named in errors.

    Returns
    -------
    Table
        A copy: the given columns in their order (sizes as int64, times as float64, text as str),
        then the columns that were absent, with their defaults.

    Raises
    ------
    TableError
        Naming the row, the column, the value and what would be right.
    """
    table = table_of(table, origin)
    names = _names(table, origin)
    required = [n for n, (default, _) in INTEGERS.items() if default is None]
    if need_time:
        required.append("time_s")
    missing = [n for n in required if n not in names]
    if missing:
        raise TableError(
            f"{origin}: column{'s' * (len(missing) > 1)} {', '.join(map(repr, missing))} missing; "
            f"the table has {', '.join(map(repr, names))}"
        )
    columns: dict[str, npt.NDArray[Any]] = {n: table[n] for n in names}
    for name, (default, least) in {**INTEGERS, **OPTIONAL_INTEGERS}.items():
        if name in columns:
            columns[name] = to_integers(columns[name], name, default, least, origin)
        elif name in INTEGERS:
            columns[name] = np.full(len(table), default, np.int64)
    for name in ("time_s", *FLOATS):
        if name in columns:
            columns[name] = to_quantities(columns[name], name, origin)
    for name, text in TEXTS.items():
        columns[name] = to_text(columns.get(name), text, len(table), name, origin)
    require_known(columns["dtype"], "dtype", _core.DTYPES, origin)
    columns["training"][columns["pass"] != "forward"] = 1
    require_known(columns["pass"], "pass", _core.PASSES, origin)
    checked = _assemble(columns)
    _count(checked, origin)
    return checked


def table_of(given: TableLike, origin: str) -> Table:
    """Make a table, not yet checked, of columns, or of cells that all rows share.

    A structured array, and what has no columns, is given back.
    """
    if isinstance(given, np.ndarray):
        return given
    if not isinstance(given, Mapping):
        if not (hasattr(given, "columns") and hasattr(given, "__getitem__")):
            raise TableError(f"{origin}: {_NO_TABLE} {_kind_of(given)}")
        names = getattr(given, "column_names", given.columns)  # Arrow's columns are no names
        given = {name: given[name] for name in names}
    try:
        columns = {
            str(name): _plain(np.atleast_1d(np.asarray(each))) for name, each in given.items()
        }
    except ValueError:  # a column of lists that differ in length
        columns = {}
    if not columns or any(column.ndim > 1 for column in columns.values()):
        raise TableError(f"{origin}: it must have columns, each of one value a row")
    rows = max((len(c) for c in columns.values()), default=0)
    array = np.empty(rows, [(name, c.dtype) for name, c in columns.items()])
    for name, values in columns.items():
        if len(values) not in (1, rows):
            raise TableError(
                f"{origin}: column {name!r} has {len(values)} values; other columns have {rows}"
            )
        array[name] = values
    return array


def _plain(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return objects that are texts, as data frames have them, as such; those missing are blank."""
    if column.dtype.kind != "O":
        return column
    missing = np.array([is_missing(each) for each in column], np.bool_)
    if missing.all() or any(isinstance(each, str) for each in column):
        return np.where(missing, "", column).astype(np.str_)
    return column


def work_table(table: TableLike) -> WorkTable:
    """Count the table's rows: MACs, elements read and written, kind, in the table's order.

    Raises
    ------
    TableError
        As ``check_table``.
    """
    return _count(check_table(table, need_time=False), "table")


def _count(checked: Table, origin: str) -> WorkTable:
    columns = {n: np.ascontiguousarray(checked[n]) for n in INTEGERS}
    columns["pass"] = np.array([_core.PASSES.index(name) for name in checked["pass"].tolist()])
    try:
        return _core.work_from_specs(checked["op"].tolist(), checked["dtype"].tolist(), columns)
    except (ShapeError, OverflowError, UnsupportedError) as e:
        row, _, why = str(e).removeprefix("row ").partition(": ")
        raise TableError(f"{origin}: row {int(row) + 1}: {why}") from e


def _names(table: Table, origin: str) -> list[str]:
    if table.dtype.names is None or table.ndim != 1:
        raise TableError(f"{origin}: {_NO_TABLE} {_kind_of(table)}")
    if len(table) == 0:
        raise TableError(f"{origin}: the table has no rows; a row is one measured operator")
    return list(table.dtype.names)


def _kind_of(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of dtype {value.dtype} and shape {value.shape}"
    return f"a {type(value).__name__}"


def _assemble(columns: dict[str, npt.NDArray[Any]]) -> Table:
    rows = len(next(iter(columns.values())))
    table = np.empty(rows, [(n, v.dtype, v.shape[1:]) for n, v in columns.items()])
    for name, values in columns.items():
        table[name] = values
    return table


def _parse_csv(data: bytes, origin: str) -> dict[str, npt.NDArray[Any]]:
    if b"\0" in data:
        raise TableError(f"{origin}: not a CSV file: it holds NUL bytes; write it as UTF-8 text")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        line = data[: e.start].count(b"\n") + 1
        raise TableError(
            f"{origin}: not a CSV file: line {line} is not UTF-8 text; write it as UTF-8"
        ) from e
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        lines = [line for line in reader if line]
    except csv.Error as e:
        raise TableError(
            f"{origin}: not a CSV file: line {reader.line_num}: {e}; fields are separated by commas"
        ) from e
    if not lines:
        raise TableError(f"{origin}: the file is empty; a measurement table has a header and rows")
    header, rows = [name.strip() for name in lines[0]], lines[1:]
    _check_header(header, origin)
    if not rows:
        raise TableError(f"{origin}: only a header; a row below it is one measured operator")
    for i, row in enumerate(rows):
        if len(row) != len(header):
            raise TableError(
                f"{origin}: row {i + 1} has {len(row)} fields; the header has {len(header)}"
            )
    columns = zip(header, zip(*rows, strict=True), strict=True)
    return {name: from_cells(values, name) for name, values in columns}


def _check_header(header: list[str], origin: str) -> None:
    for name in header:
        if not name:
            raise TableError(f"{origin}: a column has no name; the first line names every column")
        if header.count(name) > 1:
            raise TableError(f"{origin}: column {name!r} stands twice in the header; keep one")
    if len(header) == 1 and re.search(r"[;\t]", header[0]):
        raise TableError(f"{origin}: fields are not separated by commas; write it with commas")


def _texts_of(values: npt.NDArray[Any], name: str) -> list[str]:
    texts = [v if isinstance(v, str) else repr(v) for v in values.tolist()]
    for row, text in enumerate(texts):
        if _UNWRITABLE.search(text):
            raise bad_cell("table", row, name, text, "holds a control character; remove it")
    return texts


def _import_pyarrow() -> tuple[Any, Any]:
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError as e:
        raise MissingExtraError(
            "Parquet tables need pyarrow: pip install 'alphaflops[parquet]', or use CSV"
        ) from e


def _parse_parquet(data: bytes, origin: str) -> dict[str, npt.NDArray[Any]]:
    pyarrow, parquet = _import_pyarrow()
    try:
        table = parquet.read_table(io.BytesIO(data))
    except (pyarrow.ArrowException, OSError, ValueError) as e:
        raise TableError(f"{origin}: not a Parquet file: {e}") from e
    _check_header(table.column_names, origin)
    if table.num_rows == 0:
        raise TableError(f"{origin}: the table has no rows; a row is one measured operator")
    columns = {}
    for name in table.column_names:
        values = table.column(name).to_pylist()
        if any(isinstance(v, str) for v in values):
            columns[name] = np.array(["" if v is None else str(v) for v in values], np.str_)
        else:
            columns[name] = np.array(["" if v is None else v for v in values])
    return columns
