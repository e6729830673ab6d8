"""The roofline of a bench: speed over operations a byte, under the roofs of the machine.

Williams, Waterman, Patterson: Roofline, CACM 52(4), 2009.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from alphaflops.errors import TableError
from alphaflops.pictures import COLOURS, GREY, bare, blank, require_matplotlib, save

__all__ = ["draw_roofline"]

_LABELLED = 6


def draw_roofline(document: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Draw the points of a bench, hot (filled) and cold (open), and write the picture.

    Of a bench on several numbers of threads, those on the most.

    Raises
    ------
    MissingExtraError
        Without matplotlib.
    IoError
        The picture cannot be written, or its ending names no format.
    TableError
        There is no such point.
    """
    require_matplotlib("a roofline plot")
    figure = blank(9.5, 6.2)
    axes = figure.add_subplot()
    roofs = max(document["roofs"], key=lambda each: int(each["threads"]))
    points = [p for p in document["points"] if p["threads"] == roofs["threads"]]
    if not points:
        raise TableError(f"the bench has no point on {roofs['threads']} threads to draw")
    intensity = np.array([p["operations_per_byte"] for p in points])
    span = np.array([min(intensity.min() / 2, 0.25), max(intensity.max() * 3, 60.0)])
    top = _draw_roofs(axes, roofs, span)
    slowest = min(p["cold"]["ops_per_s"] for p in points) / 1e9
    axes.set(xscale="log", yscale="log", xlim=span, ylim=(slowest / 2, top * 2))

    kinds = sorted({p["kind"] for p in points})
    for kind, colour in zip(kinds, COLOURS * len(kinds), strict=False):
        own = [p for p in points if p["kind"] == kind]
        x = [p["operations_per_byte"] for p in own]
        hot = [p["hot"]["ops_per_s"] / 1e9 for p in own]
        cold = [p["cold"]["ops_per_s"] / 1e9 for p in own]
        axes.vlines(x, cold, hot, color=colour, alpha=0.35, linewidth=1, zorder=2)
        axes.scatter(x, hot, s=34, color=colour, label=kind, zorder=3)
        axes.scatter(x, cold, s=34, facecolor="white", edgecolor=colour, zorder=3)
    _label_slowest(axes, points)
    axes.scatter([], [], s=34, color=GREY, label="hot")
    axes.scatter([], [], s=34, facecolor="white", edgecolor=GREY, label="cold")
    axes.legend(loc="lower right", frameon=False, ncols=2, fontsize=9)
    axes.set_xlabel("operations a byte (nominal; weights, input and output moved once)")
    axes.set_ylabel("G operations/s")
    bare(axes)
    options = document["options"]
    isas = ", ".join(f"{d} {i}" for d, i in options["isas"].items())
    axes.set_title(
        f"{document['device']['name']}: {len(points)} shapes, {isas}, "
        f"{roofs['threads']} thread{'s' * (roofs['threads'] > 1)}",
        loc="left",
        fontsize=11,
    )
    save(figure, path)


def _draw_roofs(axes: Any, roofs: dict[str, Any], span: Any) -> float:
    """Draw the level lines; return the highest peak in G operations/s."""
    peaks = {d: v / 1e9 for d, v in roofs["peak_ops_per_s"].items()}
    top = float(max(peaks.values()))
    rates = {k: max(v.values()) / 1e9 for k, v in roofs["bandwidth_bytes_per_s"].items()}
    slowest = min(rates.values())
    for dtype, peak in peaks.items():
        axes.plot([peak / max(rates.values()), span[1]], [peak, peak], color=GREY, linewidth=1.5)
        axes.annotate(
            f"peak {dtype}: {peak:,.0f} G/s",
            (span[1], peak),
            xytext=(-4, 5),
            textcoords="offset points",
            ha="right",
            fontsize=9,
            color=GREY,
        )
    for level, rate in rates.items():
        style = "-" if rate == slowest else (0, (4, 2))
        axes.plot([span[0], top / rate], [span[0] * rate, top], color=GREY, lw=1, ls=style)
        x = span[0] * (1.15 if level != "l3" else 1.9)  # L2 and L3 may be close
        axes.annotate(
            f"{level.upper()} {rate:,.0f} GB/s",
            (x, x * rate),
            xytext=(0, 4),
            textcoords="offset points",
            rotation=45,
            rotation_mode="anchor",
            transform_rotates_text=True,
            fontsize=9,
            color=GREY,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85},
        )
    return top


def _label_slowest(axes: Any, points: list[dict[str, Any]]) -> None:
    """Name the points that stay farthest below their bound: what to look at first."""
    ranked = sorted(points, key=lambda p: p["hot"]["share_of_bound"])
    placed: list[tuple[float, float]] = []
    for p in ranked:
        at = (np.log(p["operations_per_byte"]), np.log(p["hot"]["ops_per_s"]))
        crowded = any(abs(at[0] - x) < 0.9 and abs(at[1] - y) < 0.25 for x, y in placed)  # noqa: PLR2004
        if len(placed) >= _LABELLED or crowded:
            continue
        placed.append(at)
        axes.annotate(
            p["label"],
            (p["operations_per_byte"], p["hot"]["ops_per_s"] / 1e9),
            xytext=(6, -3),
            textcoords="offset points",
            fontsize=7.5,
            color="#222222",
            zorder=4,
        )
