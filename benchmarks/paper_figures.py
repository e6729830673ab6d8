"""The α-FLOPs paper's experiments, drawn from the authors' timings, a panel an experiment.

Points are measured. Lines are the published parameters, the paper's form refitted, and the best
form; the last two had not seen the line of points that they stand beside.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import numpy as np

from alphaflops.fitting import Fit
from alphaflops.fitting.forms import PUBLISHED, PUBLISHED_SECONDS_PER_MAC, Rows, predict_s
from alphaflops.fitting.metrics import Floats
from alphaflops.pictures import COLOURS, bare, blank, require_matplotlib, save
from alphaflops.table import Table


class Panel(NamedTuple):
    """What changes along an experiment, and what its lines differ in."""

    experiment: str
    title: str
    column: str
    label: str
    line: str  # a format of the columns of a line's first row


PANELS = (
    Panel("conv_K_vs_S", "K grows, H = W = 300 / K shrinks", "k_h", "K", "C {c_in}"),
    Panel("conv_K_vs_C", "K grows, C shrinks, H = W = 10", "k_h", "K", "K·C {c_in}"),
    Panel("increasing_W", "image grows, K = 3", "h_in", "H", "C_in {c_in}"),
    Panel(
        "conv_fixed_progressive", "C grows, K = 1", "c_in", "C_in", "{h_in}×{w_in}, C_out {c_out}+"
    ),
    Panel("increasing_Cout", "C_out grows, K = 3", "c_out", "C_out", "C_in {c_in}"),
    Panel("increasing_Cout_with_K1", "C_out grows, K = 1", "c_out", "C_out", "{h_in}×{w_in}"),
    Panel("incresing_Cin_100-1000", "C_in grows", "c_in", "C_in", "K {k_h}"),
    Panel("increasing_batch", "dense layers, batch grows", "batch", "batch", "C {c_in}"),
)


def published_s(rows: Rows) -> Floats:
    """Return the times that the published parameters give."""
    predicted = np.empty(len(rows))
    for kind in np.unique(rows.kind):
        own = rows.kind == kind
        beta, gamma = PUBLISHED[kind]
        parameters = {"seconds_per_mac": PUBLISHED_SECONDS_PER_MAC, "beta": beta, "gamma": gamma}
        predicted[own] = predict_s(rows[own], parameters)
    return predicted


def draw_paper(table: Table, fitted: Fit, path: str | os.PathLike[str]) -> None:
    """Draw every experiment; `fitted` left each line out in turn."""
    require_matplotlib("a picture of the paper's experiments")
    curves = {
        "published": (published_s(fitted.held_out.rows), ":"),
        "alpha, refitted": (fitted.held_out.predicted_s["alpha"], "--"),
        fitted.selected: (fitted.held_out.predicted_s[fitted.selected], "-"),
    }
    figure = blank(16, 8.4)
    for axes, panel in zip(figure.subplots(2, 4).flat, PANELS, strict=True):
        own = np.flatnonzero(table["experiment"] == panel.experiment)
        for line, colour in zip(np.unique(table["line"][own]), COLOURS, strict=False):
            rows = own[table["line"][own] == line]
            _draw_line(
                axes, panel, table[rows], {k: (v[rows], s) for k, (v, s) in curves.items()}, colour
            )
        axes.set(title=panel.title, xlabel=panel.label, yscale="log")
        axes.legend(frameon=False, fontsize=8)
        bare(axes)
        axes.set_ylabel("time, ms")
    for name, (predicted_s, style) in curves.items():
        error = np.abs(predicted_s / table["time_s"] - 1).mean()
        figure.axes[0].plot([], [], color="black", linestyle=style, label=f"{name}: {error:.1%}")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    points = figure.axes[0].scatter([], [], s=12, color="black")
    figure.legend(
        [points, *handles[-3:]],
        ["measured", *(f"{label} MAPE" for label in labels[-3:])],
        loc="outside upper center",
        ncols=4,
        frameon=False,
    )
    save(figure, path)


def _draw_line(axes: Any, panel: Panel, line: Table, curves: dict[str, Any], colour: str) -> None:
    order = np.argsort(line[panel.column], kind="stable")
    x, first = line[panel.column][order], line[order[0]]
    name = panel.line.format(**{c: first[c] for c in line.dtype.names or ()})
    axes.scatter(x, 1e3 * line["time_s"][order], s=12, color=colour, linewidths=0, label=name)
    for predicted_s, style in curves.values():
        axes.plot(x, 1e3 * predicted_s[order], color=colour, linestyle=style, linewidth=1.1)
