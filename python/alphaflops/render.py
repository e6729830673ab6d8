"""Reports and validations as rich tables for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from alphaflops.export import printed_columns
from alphaflops.measuring.control import Slowdown
from alphaflops.report import Report

_GOOD = 0.10  # an error within which a prediction is shown in green
_FAIR = 0.15
_STEADY = 0.02  # a change of speed that is not worth a column
_WORTH_SAYING = 0.1  # of the bytes, or of the time

_MOST = f"over {_WORTH_SAYING:.0%} of the"
CAVEATS = f"°: {_MOST} bytes have no price; *: {_MOST} time is extrapolated"


_ENERGIES = ("predicted_j", "measured_j", "idle_j")
_PADDING = 3  # what a table adds to a cell


def report_table(
    report: Report,
    top: int = 15,
    width: int = 160,
    *,
    all_rows: str = "--top 0",
    all_columns: str = "--format csv",
) -> RenderableType:
    """Render the `top` layers by time, then the totals.

    Columns that `width` characters have no room for are left out, the least telling first. What
    shows all rows, and all columns, is named below the table.
    """
    layers = report.layers
    order = np.argsort(-np.nan_to_num(layers["time_s"], nan=-1.0), kind="stable")
    shown = layers[order[:top]] if top > 0 else layers
    columns = printed_columns(report)
    cells = {c.title: [c.cell(row) for row in shown] for c in columns}
    names = [str(name) for name in shown["name"]]

    def needed(rank: int) -> int:
        kept = [[c.title, *cells[c.title]] for c in columns if c.rank <= rank]
        return sum(max(map(len, texts)) + _PADDING for texts in [["layer", *names], *kept])

    rank = max((r for r in range(6) if needed(r) < width), default=0)
    table = Table(header_style="bold")
    table.add_column("layer", overflow="fold")
    kept = [c for c in columns if c.rank <= rank]
    for column in kept:
        text = column.title in {"operator", "pass", "shape"}
        table.add_column(column.title, justify="left" if text else "right", no_wrap=True)
    for i, name in enumerate(names):
        table.add_row(name, *(cells[c.title][i] for c in kept))
    hidden = []
    if len(shown) < len(layers):
        hidden.append(f"{len(layers) - len(shown)} more launches ({all_rows})")
    if len(kept) < len(columns):
        hidden.append(f"more columns in a wider window or with {all_columns}")
    notes = [Text(f"… and {', '.join(hidden)}", style="dim")] if hidden else []
    return Group(
        Text(report.title, style="bold"), table, *notes, *(Text(line) for line in report.summary)
    )


def caveats(report: Report) -> str:
    """Return the marks of a time that leaves much out, or rests on little; `CAVEATS` says which."""
    marks = (("°", report.unpriced_share), ("*", report.extrapolated_share))
    return "".join(mark for mark, share in marks if share > _WORTH_SAYING).ljust(len(marks))


def validation_table(
    rows: NDArray[Any],
    macs: Sequence[int],
    names: Sequence[str] | None = None,
    marks: Sequence[str] | None = None,
) -> Table:
    """Render predicted beside measured, a row a network, and how fast the device is beside then.

    Where it has another speed than at the calibration, a column has the errors without that.
    `names` are other ones than the rows', and `marks` what `caveats` gives.
    """
    fields = rows.dtype.names or ()
    names = rows["name"].tolist() if names is None else names
    marks = marks or [""] * len(rows)
    slowdown = Slowdown.of(rows)
    moved = slowdown.low > 1 + _STEADY or slowdown.high < 1 - _STEADY
    steady = slowdown.low >= 1 - _STEADY and slowdown.high <= 1 + _STEADY
    table = Table(title="Whole networks", title_justify="left", header_style="bold")
    table.add_column("network", no_wrap=True)
    energy = ("predicted mJ", "measured mJ", "idle mJ") if "measured_j" in fields else ()
    then = ["at the speed of then"] if moved else []
    for name in ("MMACs", "predicted ms", "measured ms", "error", *then, *energy):
        table.add_column(name, justify="right")
    for row, network, count, mark in zip(rows, names, macs, marks, strict=True):
        error = float(row["error"])
        table.add_row(
            network,
            f"{count / 1e6:,.1f}",
            _milliseconds(float(row["predicted_s"])) + mark,
            _milliseconds(float(row["measured_s"])),
            _in_colour(error),
            *(_in_colour(slowdown.without(error)) for _ in then),
            *(_millijoules(float(row[name])) for name in _ENERGIES if energy),
        )
    said = [CAVEATS] if any(map(str.strip, marks)) else []
    if not math.isnan(slowdown.ratio):
        said.append(
            f"The calibration's operators take {slowdown} times as long now as then"
            f"{': the same speed' if steady else ''}."
        )
    if said:
        table.caption_justify, table.caption = "left", "\n".join(said)
    return table


def _milliseconds(seconds: float) -> str:
    """Return two decimals, and more digits of what takes less than a millisecond."""
    return f"{seconds * 1e3:,.2f}" if seconds >= 1e-3 else f"{seconds * 1e3:.4f}"  # noqa: PLR2004


def _in_colour(error: float) -> Text:
    style = "green" if abs(error) <= _GOOD else "yellow" if abs(error) <= _FAIR else "red"
    return Text(f"{error:+.1%}", style=style)


def _millijoules(joules: float) -> str:
    return "" if math.isnan(joules) else f"{joules * 1e3:,.2f}"
