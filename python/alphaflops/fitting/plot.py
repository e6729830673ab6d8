"""A fit as a picture: predicted against measured, what is left along each axis, alpha.

Every point is a row that the prediction had not seen.
"""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alphaflops._core import alpha
from alphaflops.errors import UnsupportedError
from alphaflops.fitting.forms import MULTIPLYING
from alphaflops.fitting.metrics import Floats
from alphaflops.pictures import COLOURS, GREY, bare, blank, require_matplotlib, save

if TYPE_CHECKING:
    from alphaflops.fitting.result import Fit

_BAND = 0.10
_MOST_LINES = 12  # of a legend beside the points
_MARKERS = "o^sDv"  # the next where there are more kinds than colours
_Look = tuple[str, str]  # marker, colour
_LAYOUT = [
    ["times"] * 5 + ["alpha"] * 5,
    [a for a in ("s", "in", "out", "k", "macs") for _ in "ab"],
]
_CURVES = 6  # kernels with an alpha of their own colour
_LEAST_OF_KERNEL = 3  # rows
_BINS, _LEAST_IN_BIN = 12, 4
_MOST_OFF = 1.0  # of ln(predicted / measured), where the residual panels end


class _Points(NamedTuple):
    """What is drawn, one element a point."""

    kind: NDArray[np.str_]
    measured_ms: Floats
    predicted_ms: Floats
    axes: dict[str, tuple[str, Floats]]  # by panel: label, value


def draw_fit(fit: Fit, path: str | os.PathLike[str] | None, form: str) -> Any:
    """Draw one form of a fit, and write the picture where there is a path; see ``Fit.plot``."""
    require_matplotlib("a plot of a fit")
    if form not in fit.forms:
        raise UnsupportedError(f"form {form!r} is not known; use one of {', '.join(fit.forms)}")
    figure = blank(13.5, 9.0)
    panels = figure.subplot_mosaic(_LAYOUT, height_ratios=(1.7, 1.0))
    points = _points_of(fit, form)
    kinds = sorted(set(points.kind))
    looks = dict(zip(kinds, itertools.product(_MARKERS, COLOURS), strict=False))
    _draw_times(panels["times"], points, looks)
    _draw_alpha(panels["alpha"], fit)
    first = panels["s"]
    for name, (label, value) in points.axes.items():
        _draw_residuals(panels[name], points, looks, label, value)
        if panels[name] is not first:
            panels[name].tick_params(labelleft=False)
    first.set_ylabel("predicted / measured")
    error = fit.forms[form].cv
    figure.suptitle(
        f"{fit.profile.name}, {form}: {error.n:,} held-out rows, MAPE {100 * error.mape:.1f} %, "
        f"median {100 * error.mdape:.1f} %, {100 * error.within_10pct:.0f} % within 10 %  "
        f"({fit.validation})",
        x=0.01,
        ha="left",
        fontsize=12,
    )
    if path is not None:
        save(figure, path)
    return figure


def _points_of(fit: Fit, form: str) -> _Points:
    held_out = fit.held_out
    predicted_s = held_out.predicted_s[form]
    rows, known = held_out.rows, ~np.isnan(predicted_s)
    work = rows.work
    multiplies = np.isin(rows.kind, MULTIPLYING)
    axes = {
        "s": ("S: batch · rows · columns", rows.s),
        "in": ("channels in", work.c_in.astype(float)),
        "out": ("channels out", work.c_out.astype(float)),
        # Those of a copy say how it reads.
        "k": ("kernel elements", np.where(rows.kind == "copy", np.nan, work.kernel_volume)),
        "macs": ("MACs", np.where(multiplies, rows.macs, np.nan)),
    }
    return _Points(
        rows.kind[known],
        1e3 * held_out.time_s[known],
        1e3 * predicted_s[known],
        {name: (label, value[known]) for name, (label, value) in axes.items()},
    )


def _style(count: int) -> dict[str, Any]:
    """Return how large and how clear the points of so many are."""
    return {
        "s": float(np.clip(6000 / max(count, 1), 4, 20)),
        "alpha": float(np.clip(900 / max(count, 1), 0.2, 0.8)),
        "linewidths": 0,
        "rasterized": True,
    }


def _draw_times(axes: Any, points: _Points, looks: dict[str, _Look]) -> None:
    both = np.concatenate([points.measured_ms, points.predicted_ms])
    span = np.array([both.min() / 1.3, both.max() * 1.3])
    axes.fill_between(
        span, span * (1 - _BAND), span * (1 + _BAND), color="#cccccc", lw=0, label="within 10 %"
    )
    axes.plot(span, span, color=GREY, linewidth=0.8)
    for kind, (marker, colour) in looks.items():
        own = points.kind == kind
        count = int(own.sum())
        axes.scatter(
            points.measured_ms[own],
            points.predicted_ms[own],
            color=colour,
            marker=marker,
            **_style(len(own)),
        )
        axes.scatter([], [], s=18, color=colour, marker=marker, label=f"{kind}, {count:,} rows")
    axes.set(xscale="log", yscale="log", xlim=span, ylim=span, box_aspect=1)
    axes.set(xlabel="measured, ms", ylabel="predicted, ms")
    is_long = len(looks) > _MOST_LINES
    axes.legend(
        loc="upper left",
        frameon=False,
        fontsize=7.5 if is_long else 9,
        labelspacing=0.2 if is_long else 0.5,
    )
    bare(axes)


def _draw_residuals(
    axes: Any, points: _Points, looks: dict[str, _Look], label: str, value: Floats
) -> None:
    """Draw predicted over measured along an axis, with the median in bins."""
    off = np.log(points.predicted_ms / points.measured_ms)
    shown = np.clip(off, -_MOST_OFF, _MOST_OFF)
    axes.axhspan(1 - _BAND, 1 + _BAND, color="#cccccc", lw=0)
    axes.axhline(1.0, color=GREY, linewidth=0.8)
    for kind, (marker, colour) in looks.items():
        own = points.kind == kind
        axes.scatter(
            value[own], np.exp(shown[own]), color=colour, marker=marker, **_style(len(own))
        )
    known = np.isfinite(value)
    if known.any() and value[known].min() < value[known].max():
        centres, medians = _medians(np.log(value[known]), off[known])
        axes.plot(np.exp(centres), np.exp(medians), color="black", linewidth=1.4)
    ticks = (0.4, 0.6, 0.8, 1.0, 1.25, 1.6, 2.5)
    axes.set(xscale="log", yscale="log", xlabel=label, ylim=np.exp([-_MOST_OFF, _MOST_OFF]))
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    bare(axes)


def _medians(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    edges = np.linspace(x.min(), x.max() + 1e-9, _BINS + 1)
    place = np.digitize(x, edges) - 1
    used = [b for b in range(_BINS) if (place == b).sum() >= _LEAST_IN_BIN]
    centres = np.array([np.median(x[place == b]) for b in used])
    return centres, np.array([np.median(y[place == b]) for b in used])


def _draw_alpha(axes: Any, fit: Fit) -> None:
    """Draw measured time over c macs against S, and the fitted alpha, for each kernel size."""
    held_out, parameters = fit.held_out, fit.forms["alpha"].parameters
    rows = held_out.rows
    volume, multiplies = rows.work.kernel_volume, np.isin(rows.kind, MULTIPLYING)
    sizes, counts = np.unique(volume[multiplies], return_counts=True)
    often = sizes[np.argsort(-counts, kind="stable")][:_CURVES]
    drawn = [v for v in sorted(often) if counts[sizes == v][0] >= _LEAST_OF_KERNEL]
    for size, colour in zip(drawn, COLOURS, strict=False):
        own = multiplies & (volume == size)
        present, rows_of_kind = np.unique(rows.kind[own], return_counts=True)
        kind = str(present[rows_of_kind.argmax()])
        own &= rows.kind == kind
        p, s = parameters[kind], rows.s[own]
        share = held_out.time_s[own] / (p["seconds_per_mac"] * rows.macs[own])
        axes.scatter(s, share, color=colour, **_style(len(rows)))
        along = np.geomspace(s.min(), s.max(), 200)
        curve = alpha(along, float(size), p["beta"], p["gamma"])
        axes.plot(along, curve, color="white", linewidth=3.2, zorder=3)
        axes.plot(
            along, curve, color=colour, linewidth=1.6, zorder=4, label=f"K = {_side(int(size))}"
        )
    axes.set(xscale="log", yscale="log", xlabel="S: batch · rows · columns")
    axes.set_ylabel("α: time / (c · MACs); curves are the form alpha's")
    if drawn:
        axes.legend(loc="upper right", frameon=False, fontsize=9, ncols=2)
    bare(axes)


def _side(volume: int) -> str:
    side = round(volume**0.5)
    return f"{side}×{side}" if side * side == volume else f"{volume} elements"
