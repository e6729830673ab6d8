"""What every picture shares: matplotlib where it is installed, colours, an empty page, a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from alphaflops.errors import IoError, MissingExtraError

__all__ = ["COLOURS", "GREY", "bare", "blank", "require_matplotlib", "save"]

# Okabe and Ito's colours, which colour-blind readers tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GREY = "#555555"


def require_matplotlib(what: str) -> None:
    """Raise MissingExtraError, saying what needs it, where matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401, PLC0415
    except ImportError as error:
        raise MissingExtraError(
            f"{what} needs matplotlib: pip install 'alphaflops[plot]'"
        ) from error


def blank(width: float, height: float) -> Any:
    """Return an empty figure of that many inches; it belongs to no window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def bare(axes: Any) -> None:
    """Leave axes with a faint grid behind the data and no frame at the top and right."""
    axes.grid(which="major", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def save(figure: Any, path: str | os.PathLike[str]) -> None:
    """Write a picture; the ending names the format.

    Raises
    ------
    IoError
        It cannot be written, or its ending names no format.
    """
    try:
        figure.savefig(Path(path), dpi=150)
    except (OSError, ValueError) as error:
        raise IoError(f"{path}: cannot write this picture: {error}") from error
