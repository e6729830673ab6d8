"""A fit as plain text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from alphaflops.fitting.metrics import Errors

if TYPE_CHECKING:
    from alphaflops.fitting.result import Fit, FormFit

#: Parameter: heading with unit, factor from SI.
_COLUMNS = {
    "seconds_per_mac": ("c [ms/10^6 MACs]", 1e9),
    "beta": ("beta", 1.0),
    "gamma": ("gamma", 1.0),
    "seconds_per_byte_read": ("read [ms/MB]", 1e9),
    "seconds_per_byte_written": ("written [ms/MB]", 1e9),
    "seconds_per_tap": ("taps [ms/10^6]", 1e9),
    "floor_s": ("t0 [us]", 1e6),
    "sharpness": ("p", 1.0),
    "seconds_per_byte_beyond": ("beyond [ms/MB]", 1e9),
    "cache_bytes": ("cache [MB]", 1e-6),
}


def describe(fit: Fit, rows: dict[str, int]) -> str:
    """Return errors of every form, then the selected form's parameters ± standard errors.

    Kinds that it prices by tiles have those of the form alpha, which say what axes are worth.
    """
    head = f"{fit.profile.name}: {fit.selected}, {sum(rows.values())} rows, {fit.validation}"
    error_rows: list[tuple[str, ...]] = [
        ("form", "MAPE", "median", "within 10 %", "rank", "90 % covers", "rows")
    ]
    error_rows.append(("MACs x constant", *_cells(fit.baseline)))
    for name, form in fit.forms.items():
        error_rows.append((f"{name} *" if name == fit.selected else name, *_cells(form.cv)))
        if form.test is not None:
            error_rows.append(("  on the test table", *_cells(form.test)))
    for name, other in fit.passes.items():
        error_rows.append((f"{name.replace('_', ' ')}: {other.selected}", *_cells(other.errors)))
    parts = [head, _aligned(error_rows)]
    selected = fit.forms[fit.selected]
    by_tiles = [kind for kind, p in selected.parameters.items() if "candidates" in p]
    if by_tiles:
        parts.append(
            f"{', '.join(by_tiles)}: priced by tiles (numbers in the profile). Alpha has for the "
            f"same rows:\n{_parameters(fit.forms['alpha'], by_tiles, rows)}"
        )
    others = {kind: p for kind, p in selected.parameters.items() if kind not in by_tiles}
    multiply = [kind for kind, p in others.items() if "seconds_per_mac" in p]
    for kinds in (multiply, [kind for kind in others if kind not in multiply]):
        if kinds:
            parts.append(_parameters(selected, kinds, rows))
    if factors := _factors(selected):
        parts.append(
            "what moving its bytes costs, over that of a typical operator of the kind:\n" + factors
        )
    if any("~" in part for part in parts):
        parts.append("~ the standard error exceeds the value: other values would fit as well")
    notes = fit.profile.assumptions
    return "\n\n".join([*parts, *(["\n".join(notes)] if notes else [])])


def _parameters(form: FormFit, kinds: Sequence[str], rows: dict[str, int]) -> str:
    names = [n for n in _COLUMNS if any(n in form.parameters[kind] for kind in kinds)]
    lines: list[tuple[str, ...]] = [("kind", "rows", *(_COLUMNS[n][0] for n in names))]
    for kind in kinds:
        cells = []
        for name in names:
            factor = _COLUMNS[name][1]
            value = form.parameters[kind].get(name)
            error = form.standard_errors[kind].get(name)
            cells.append(_with_error(value, error, factor))
        lines.append((kind, str(rows[kind]), *cells))
    return _aligned(lines)


def _factors(form: FormFit) -> str:
    lines = []
    for kind, parameters in form.parameters.items():
        factors = parameters.get("op_factors", {})
        errors = form.standard_errors[kind].get("op_factors", {})
        cells = [f"{op} {_with_error(factors[op], errors.get(op), 1.0)}" for op in factors]
        if cells:
            lines.append((kind, ", ".join(cells)))
    width = max((len(kind) for kind, _ in lines), default=0)
    return "\n".join(f"{kind:<{width}}  {cells}" for kind, cells in lines)


def _with_error(value: float | None, error: float | None, factor: float) -> str:
    if value is None:
        return "-"
    if error is None:
        return f"{value * factor:.4g}"
    if error > abs(value):  # the rows would be as well described by another value
        return f"~{value * factor:.3g}"
    return f"{value * factor:.4g} ± {error * factor:.2g}"


def _cells(e: Errors) -> tuple[str, ...]:
    shares = [_share(v) for v in (e.mape, e.mdape, e.within_10pct)]
    rank = "-" if np.isnan(e.spearman) else f"{e.spearman:.3f}"
    return (*shares, rank, _share(e.coverage_90), str(e.n))


def _share(value: float) -> str:
    return "-" if np.isnan(value) else f"{value * 100:.1f} %"


def _aligned(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
