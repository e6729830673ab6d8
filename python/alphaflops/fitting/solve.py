"""Parameters of every form from timed rows: robust least squares in the logarithm.

What multiplies is fitted a kind at a time; what moves data is in traffic.py, and the searches of
the richer forms in rich.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alphaflops.fitting.forms import (
    CALL,
    MOVING,
    MULTIPLYING,
    PUBLISHED,
    Rows,
    alpha_model,
    alpha_parameters,
)
from alphaflops.fitting.fresh import in_fits, with_fresh_memory
from alphaflops.fitting.kinds import KindFit
from alphaflops.fitting.least_squares import floor_start, named, solve
from alphaflops.fitting.metrics import Floats
from alphaflops.fitting.rich import CORES, Facts, RichFit, fit_rich, with_residual
from alphaflops.fitting.traffic import fit_calls, fit_traffic

#: From the simplest to the richest.
SIMPLE_FORMS = ("macs", "published", "alpha", "alpha-floor")
FORMS = (*SIMPLE_FORMS, *CORES, "hybrid")

#: Whose parameters a kind without rows takes.
DONORS = {"linear": "conv_1x1", "conv_grouped": "conv_spatial"}

_LEAST_ROWS = {"macs": 1, "published": 1, "alpha": 5, "alpha-floor": 8}
_SIMPLER = {"alpha-floor": "alpha", "alpha": "macs"}
_MOST_GAMMA = 2.0  # beyond 1 time falls as S grows, until beta's share takes over
_OTHER_STARTS = ((0.005, 0.6), (0.02, 1.1))  # of (beta, gamma), beside the published pair


def fit_forms(
    rows: Rows,
    time_s: Floats,
    *,
    rich: bool = True,
    facts: Facts | None = None,
    start: RichFit | None = None,
    seed: int = 0,
    fresh: bool = False,
) -> tuple[dict[str, dict[str, KindFit]], RichFit | None]:
    """Fit every form but hybrid, which `with_trees` makes of two of them, to timed rows.

    Parameters
    ----------
    rows
        Rows [n] of one dtype, any kinds.
    time_s
        Seconds [n].
    rich
        Whether to fit the forms beyond the paper's; `facts` and `seed` are theirs.
    start
        Of a table that these rows are most of: the cache's size and what the rich forms found.
    fresh
        Whether large tensors of these rows lie in fresh memory.

    Returns
    -------
    dict
        By form, then by kind. Kinds that move data are the same in every form, and so are kinds
        with too few rows for a rich form.
    RichFit or None
        What a fit of most of these rows may start from.
    """
    if fresh and not (kept := in_fits(rows)).all():
        return _fit_aside(rows, time_s, kept, rich=rich, facts=facts, start=start, seed=seed)
    log_time = np.log(time_s)
    groups = {str(kind): np.flatnonzero(rows.kind == kind) for kind in np.unique(rows.kind)}
    by_kind = {kind: (rows[index], log_time[index]) for kind, index in groups.items()}
    own = {k: by_kind[k] for k in MOVING if k in by_kind}
    if start is None:
        moving = fit_traffic(own)
    else:
        moving = fit_traffic(own, [start.cache_bytes] if start.cache_bytes else [])
    if CALL in by_kind:
        moving[CALL] = fit_calls(*by_kind[CALL])
    multiplying = {k: by_kind[k] for k in MULTIPLYING if k in by_kind}
    fits = {
        **_fit_plain(multiplying),
        "alpha": {k: _fit_alpha("alpha", k, *v) for k, v in multiplying.items()},
        "alpha-floor": {k: _fit_alpha("alpha-floor", k, *v) for k, v in multiplying.items()},
    }
    sizes = [kind.parameters.get("cache_bytes") for kind in moving.values()]
    cache_bytes = next((size for size in sizes if size is not None), None)
    found = fit_rich(multiplying, facts, start, seed, cache_bytes=cache_bytes) if rich else None
    if found is not None:
        simpler = fits["alpha-floor"]
        for form in CORES:
            fits[form] = simpler = simpler | found.forms[form]
    return {form: _lend(kinds) | moving for form, kinds in fits.items()}, found


def _fit_aside(
    rows: Rows, time_s: Floats, kept: NDArray[np.bool_], **options: Any
) -> tuple[dict[str, dict[str, KindFit]], RichFit | None]:
    """Fit every form to the rows that are kept, and a price of fresh memory to the others.

    The forms that have nothing but arithmetic are of all rows.
    """
    forms, found = fit_forms(rows[kept], time_s[kept], **options)
    forms = {form: with_fresh_memory(kinds, rows, time_s, kept) for form, kinds in forms.items()}
    groups = {kind: rows.kind == kind for kind in MULTIPLYING if kind in forms["macs"]}
    own = {k: (rows[i], np.log(time_s[i])) for k, i in groups.items() if i.any()}
    for form, kinds in _fit_plain(own).items():
        others = {k: v for k, v in forms[form].items() if k not in MULTIPLYING}
        forms[form] = _lend(others | kinds)
    return forms, found


def with_trees(
    fits: Mapping[str, Mapping[str, KindFit]],
    rows: Rows,
    time_s: Floats,
    cores: Mapping[str, str],
    seed: int,
) -> dict[str, KindFit]:
    """Return the form hybrid, by kind: trees on the form that `cores` names, by default tiled."""
    hybrid = {}
    for name in np.unique(rows.kind):
        kind, own = str(name), rows.kind == name
        core = fits[cores.get(kind, "tiled")][kind]
        hybrid[kind] = with_residual(core, rows[own], np.log(time_s[own]), seed)
    return _lend(hybrid)


def best_constant(rows: Rows, time_s: Floats) -> float:
    """Return the seconds per MAC that fit multiplying rows of every kind best in log space."""
    inside = np.isin(rows.kind, MULTIPLYING)
    return float(np.exp(np.log(time_s[inside] / rows.macs[inside]).mean()))


def _lend(kinds: dict[str, KindFit]) -> dict[str, KindFit]:
    lent = {}
    for kind, donor in DONORS.items():
        if kind not in kinds and donor in kinds:
            note = f"{kind}: no rows; it takes the parameters of {donor}, its interval doubled"
            lent[kind] = replace(kinds[donor], rows=0, note=note, borrowed_from=donor)
    return kinds | lent


def _fit_plain(by_kind: dict[str, tuple[Rows, Floats]]) -> dict[str, dict[str, KindFit]]:
    """Fit the forms of plain MACs and of published parameters to kinds that multiply."""
    macs = {kind: _fit_alpha("macs", kind, *timed) for kind, timed in by_kind.items()}
    return {"macs": macs, "published": _fit_published(by_kind)}


def _fit_alpha(form: str, kind: str, rows: Rows, log_time: Floats) -> KindFit:
    used = form
    while len(rows) < _LEAST_ROWS[used]:
        used = _SIMPLER[used]
    note = ""
    if used != form:
        plural = "s" * (len(rows) > 1)
        note = (
            f"{kind}: {len(rows)} row{plural}, too few for {form} ({_LEAST_ROWS[form]}); "
            f"fitted as {used}"
        )
    log_rate = log_time - np.log(rows.macs)
    if used == "macs":
        solution = solve(alpha_model, rows, log_time, [np.array([np.median(log_rate)])])
        return named(alpha_parameters, solution, "alpha", len(rows), note)
    starts = []
    for beta, gamma in (PUBLISHED[kind], *_OTHER_STARTS):
        shape = np.array([np.log(beta / (1 - beta)), np.log(gamma)])
        flat, _ = alpha_model(np.concatenate([[0.0], shape]), rows)
        starts.append(np.concatenate([[np.median(log_time - flat)], shape]))
    if used == "alpha-floor":
        starts = [np.concatenate([start, floor_start(log_time)]) for start in starts]
    most = np.full(len(starts[0]), np.inf)
    most[2] = np.log(_MOST_GAMMA)
    solution = solve(alpha_model, rows, log_time, starts, bounds=(-np.inf, most))
    return named(alpha_parameters, solution, "alpha", len(rows), note)


def _fit_published(by_kind: dict[str, tuple[Rows, Floats]]) -> dict[str, KindFit]:
    """Fit one c for the device; beta and gamma are the paper's."""
    if not by_kind:
        return {}
    rates = []
    for kind, (rows, log_time) in by_kind.items():
        beta, gamma = PUBLISHED[kind]
        theta = np.array([0.0, np.log(beta / (1 - beta)), np.log(gamma)])
        rates.append(log_time - alpha_model(theta, rows)[0])
    rate = np.concatenate(rates)
    start = np.array([np.median(rate)])
    solution = solve(
        lambda theta, _: (np.full(len(rate), theta[0]), np.ones((len(rate), 1))),
        None,
        rate,
        [start],
    )
    c, error = float(np.exp(solution.theta[0])), float(np.sqrt(solution.covariance[0, 0]))
    return {
        kind: KindFit(
            form="alpha",
            parameters=dict(
                zip(("seconds_per_mac", "beta", "gamma"), (c, *PUBLISHED[kind]), strict=True)
            ),
            standard_errors={"seconds_per_mac": c * error},
            rows=len(rows),
        )
        for kind, (rows, _) in by_kind.items()
    }
