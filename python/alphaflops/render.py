"""Reports and validations as rich tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from alphaflops.report import Report

_GOOD = 0.10  # an error within which a prediction is shown in green
_FAIR = 0.15


def report_table(report: Report, top: int = 15) -> RenderableType:
    """Render the `top` layers by time, then the totals."""
    layers = report.layers
    order = np.argsort(-np.nan_to_num(layers["time_s"], nan=-1.0), kind="stable")
    shown = order[:top] if top > 0 else np.arange(len(layers))
    has_interval = report.time_interval_s is not None
    table = Table(title=report.title, title_justify="left", header_style="bold")
    table.add_column("layer", overflow="fold")
    table.add_column("operator", overflow="fold")
    table.add_column("shape")
    for name in ("MMACs", "params", "MB", "α", "α-MMACs", "ms"):
        table.add_column(name, justify="right", no_wrap=True)
    if has_interval:
        table.add_column(f"{report.profile.core.interval_level:.0%} interval", justify="right")
    table.add_column("share", justify="right", no_wrap=True)
    for layer in layers[shown]:
        moved = (layer["bytes_read"] + layer["bytes_written"]) / 1e6
        row = [
            str(layer["name"]),
            str(layer["operator"]),
            str(layer["shape"]),
            f"{layer['macs'] / 1e6:,.1f}",
            f"{layer['params']:,}",
            f"{moved:,.2f}",
            _number(layer["alpha"], ".3f"),
            _number(layer["alpha_flops"] / 1e6, ",.2f"),
            _number(layer["time_s"] * 1e3, ",.3f"),
        ]
        if has_interval:
            lo, hi = layer["time_lo_s"] * 1e3, layer["time_hi_s"] * 1e3
            row.append("–" if np.isnan(lo) else f"{lo:,.3f} to {hi:,.3f}")
        table.add_row(*row, _number(layer["share"], ".1%"))
    hidden = len(layers) - len(shown)
    lines = [Text(f"… and {hidden} more launches", style="dim")] if hidden else []
    return Group(table, *lines, *(Text(line) for line in report.summary))


def validation_table(rows: NDArray[Any], macs: Sequence[int]) -> Table:
    """Render predicted beside measured, a row a network."""
    table = Table(title="Whole networks", title_justify="left", header_style="bold")
    table.add_column("network")
    for name in ("MMACs", "predicted ms", "measured ms", "error"):
        table.add_column(name, justify="right")
    for row, count in zip(rows, macs, strict=True):
        error = float(row["error"])
        style = "green" if abs(error) <= _GOOD else "yellow" if abs(error) <= _FAIR else "red"
        table.add_row(
            str(row["name"]),
            f"{count / 1e6:,.1f}",
            f"{row['predicted_s'] * 1e3:,.2f}",
            f"{row['measured_s'] * 1e3:,.2f}",
            Text(f"{error:+.1%}", style=style),
        )
    return table


def _number(value: float, form: str) -> str:
    return "–" if np.isnan(value) else format(value, form)
