"""What a column of a measurement table may hold: its default, its range, how a cell reads."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt

from alphaflops.errors import TableError

#: Column: (default, least). A default of None marks a required column; h_out and w_out of 0 are
#: computed from the other columns.
INTEGERS: dict[str, tuple[int | None, int]] = {
    "batch": (None, 1),
    "c_in": (None, 1),
    "h_in": (None, 1),
    "w_in": (None, 1),
    "c_out": (None, 1),
    "k_h": (1, 1),
    "k_w": (1, 1),
    "stride_h": (1, 1),
    "stride_w": (1, 1),
    "pad_h": (0, 0),
    "pad_w": (0, 0),
    "dilation_h": (1, 1),
    "dilation_w": (1, 1),
    "groups": (1, 1),
    "h_out": (0, 0),
    "w_out": (0, 0),
    "bias": (0, 0),
    "training": (0, 0),
}
TEXTS: dict[str, str] = {
    "op": "conv2d",
    "dtype": "fp32",
    "pass": "forward",
    "backend": "",
    "device": "",
}
#: Optional quantities, NaN where a row lacks them.
FLOATS: tuple[str, ...] = (
    *("time_lo_s", "time_hi_s", "energy_j", "clock_hz", "reuse_bytes", "reuse_s"),
)
OPTIONAL_INTEGERS = {"samples": (0, 0)}
#: Optional columns that say how rows were measured; like dtype, one table holds one of each.
PROVENANCE: tuple[str, ...] = (
    *("isa", "cache", "mode", "path", "torch", "on", "layout", "threads", "training"),
    *("sms", "cuda_graph", "cudnn_benchmark"),
)

_SHORTEST_S, _LONGEST_S = 1e-12, 1e6
_INT64 = np.iinfo(np.int64)
_INTEGER = re.compile(r"[+-]?\d+(\.0*)?", re.ASCII)
_CANONICAL_INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})", re.ASCII)
_FLOAT = re.compile(
    r"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|nan|inf(inity)?)", re.ASCII | re.IGNORECASE
)
_LONGEST_QUOTE = 60
_LONGEST_NUMBER = 400  # characters; Python refuses to parse integers of thousands of digits


def from_cells(values: tuple[str, ...], name: str) -> npt.NDArray[Any]:
    """Turn a CSV column into an array; an unknown column becomes numbers where every cell is one.

    A known column stays text, so that an error about a cell can quote it.
    """
    is_known = name in (*INTEGERS, *OPTIONAL_INTEGERS, *TEXTS, "time_s", *FLOATS)
    if not is_known and all(_CANONICAL_INTEGER.fullmatch(v) for v in values):
        return np.array([int(v) for v in values], np.int64)
    # A leading zero, as in the identifier 007, is kept.
    is_identifier = any(re.match(r"[+-]?0\d", v) for v in values)
    if not is_known and not is_identifier:
        numbers = [_float(v) for v in values]
        if None not in numbers:
            return np.array(numbers, np.float64)
    return np.array(values, np.str_)


def bad_cell(origin: str, row: int, name: str, value: object, right: str) -> TableError:
    """Make the error about one cell; `row` counts from 0, the message from 1."""
    shown = repr(value if isinstance(value, str) else getattr(value, "item", lambda: value)())
    if len(shown) > _LONGEST_QUOTE:
        shown = shown[:_LONGEST_QUOTE] + "..."
    return TableError(f"{origin}: row {row + 1}, column '{name}': {shown} {right}")


def is_missing(value: object) -> bool:
    """Tell whether it stands for no cell: None, NaN, or what data frames have for it."""
    is_nan = isinstance(value, float) and value != value  # noqa: PLR0124
    return value is None or is_nan or type(value).__name__ in {"NAType", "NaTType"}


def to_integers(
    values: npt.NDArray[Any], name: str, default: int | None, least: int, origin: str
) -> npt.NDArray[np.int64]:
    """Convert to int64, a blank cell to `default`; raise TableError for anything below `least`."""
    right = f"is not right; it must be a whole number from {least} to 2^63 - 1"
    out = np.empty(len(values), np.int64)
    for row, value in enumerate(values.tolist()):
        blank = is_missing(value) or (isinstance(value, str) and not value.strip())
        number = default if blank and default is not None else _integer(value)
        if number is None or not least <= number <= _INT64.max:
            raise bad_cell(origin, row, name, value, right)
        out[row] = number
    return out


def _integer(value: object) -> int | None:
    if isinstance(value, str):
        text = value.strip()
        if len(text) > _LONGEST_NUMBER or not _INTEGER.fullmatch(text):
            return None
        return int(text.partition(".")[0])
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def to_quantities(values: npt.NDArray[Any], name: str, origin: str) -> npt.NDArray[np.float64]:
    """Convert to positive float64; NaN or a blank cell is right only in an optional column."""
    optional = name in FLOATS
    least, most = (0.0, np.inf) if optional else (_SHORTEST_S, _LONGEST_S)
    right = "is not right; it must be a positive finite number"
    if not optional:
        right += f" of seconds, from {least:g} to {most:g}"
    out = np.empty(len(values), np.float64)
    for row, value in enumerate(values.tolist()):
        number = _float(value)
        if number is None and optional and isinstance(value, str) and not value.strip():
            number = np.nan
        fine = number is not None and 0 < number < np.inf and least <= number <= most
        if number is None or not (fine or (optional and np.isnan(number))):
            raise bad_cell(origin, row, name, value, right)
        out[row] = number
    return out


def _float(value: object) -> float | None:
    if isinstance(value, str):
        text = value.strip()
        is_number = len(text) <= _LONGEST_NUMBER and _FLOAT.fullmatch(text)
        return float(text) if is_number else None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:  # an int beyond the largest double
            return np.inf
    return None


def to_text(
    values: npt.NDArray[Any] | None, default: str, rows: int, name: str, origin: str
) -> npt.NDArray[np.str_]:
    """Convert to text, blank cells and an absent column to `default`."""
    if values is None:
        return np.full(rows, default)
    texts = values.tolist()
    for row, text in enumerate(texts):
        # A device may be called 4090: a column of such names reads as numbers.
        is_text = isinstance(text, (str, int, float)) and not isinstance(text, bool)
        if not (is_text or is_missing(text)):
            raise bad_cell(origin, row, name, text, "is not right; it must be text")
    cells = ["" if is_missing(text) else str(text).strip() for text in texts]
    return np.array([cell or default for cell in cells], np.str_)


def require_known(values: npt.NDArray[Any], name: str, known: tuple[str, ...], origin: str) -> None:
    """Raise TableError for the first text that is not among `known`."""
    for row in np.flatnonzero(~np.isin(values, known)):
        right = f"is not known; use {'one of ' * (len(known) > 1)}{', '.join(known)}"
        raise bad_cell(origin, int(row), name, str(values[row]), right)
