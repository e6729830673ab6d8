"""Parameters of every form from timed rows: robust least squares in the logarithm.

One kind of operator is fitted by itself. The residual of a row is ln(predicted / measured), its
loss soft_l1 (quadratic below 10 %, linear above), so that a tenth too much costs as much as a tenth
too little at any size, and a jump between algorithms does not bend the whole fit. A pull too weak
to move what the rows determine keeps finite what they do not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from alphaflops.fitting.forms import (
    MOVING,
    MULTIPLYING,
    PUBLISHED,
    Rows,
    alpha_model,
    alpha_parameters,
    traffic_model,
    traffic_parameters,
)
from alphaflops.fitting.kinds import KindFit, Parameters
from alphaflops.fitting.metrics import Floats
from alphaflops.fitting.rich import CORES, Facts, RichFit, fit_rich, with_residual
from alphaflops.fitting.search import LOSS_SCALE, covariance

#: From the simplest to the richest.
SIMPLE_FORMS = ("macs", "published", "alpha", "alpha-floor")
FORMS = (*SIMPLE_FORMS, *CORES, "hybrid")

#: Whose parameters a kind without rows takes.
DONORS = {"linear": "conv_1x1", "conv_grouped": "conv_spatial"}

_LEAST_ROWS = {"macs": 1, "published": 1, "alpha": 5, "alpha-floor": 8}
_SIMPLER = {"alpha-floor": "alpha", "alpha": "macs"}
_PULL = 0.003
_FIRST_STEPS, _LAST_STEPS = 25, 100  # of every start, and of the best one after that
_NO_FLOOR_BELOW = 3  # rows of a kind that moves data: one rate is all that they tell
_MOST_GAMMA = 2.0  # beyond 1 time falls as S grows, until beta's share takes over
_OTHER_STARTS = ((0.005, 0.6), (0.02, 1.1))  # of (beta, gamma), beside the published pair

Model = Callable[[Floats, Rows], tuple[Floats, Floats]]
Names = Callable[[Floats], tuple[Parameters, Floats]]


def fit_forms(
    rows: Rows,
    time_s: Floats,
    *,
    rich: bool = True,
    facts: Facts | None = None,
    start: RichFit | None = None,
    seed: int = 0,
) -> tuple[dict[str, dict[str, KindFit]], RichFit | None]:
    """Fit every form but hybrid, which `with_trees` makes of two of them, to timed rows.

    Parameters
    ----------
    rows
        Rows [n] of one dtype, any kinds.
    time_s
        Seconds [n].
    rich
        Whether to fit the forms beyond the paper's; `facts`, `start` and `seed` are theirs.

    Returns
    -------
    dict
        By form, then by kind. Kinds that move data are the same in every form, and so are kinds
        with too few rows for a rich form.
    RichFit or None
        What a fit of most of these rows may start from.
    """
    log_time = np.log(time_s)
    groups = {str(kind): np.flatnonzero(rows.kind == kind) for kind in np.unique(rows.kind)}
    by_kind = {kind: (rows[index], log_time[index]) for kind, index in groups.items()}
    moving = {k: _fit_traffic(*by_kind[k]) for k in MOVING if k in by_kind}
    multiplying = {k: by_kind[k] for k in MULTIPLYING if k in by_kind}
    fits: dict[str, dict[str, KindFit]] = {
        "macs": {k: _fit_alpha("macs", k, *v) for k, v in multiplying.items()},
        "published": _fit_published(multiplying),
        "alpha": {k: _fit_alpha("alpha", k, *v) for k, v in multiplying.items()},
        "alpha-floor": {k: _fit_alpha("alpha-floor", k, *v) for k, v in multiplying.items()},
    }
    found = fit_rich(multiplying, facts, start, seed) if rich else None
    if found is not None:
        simpler = fits["alpha-floor"]
        for form in CORES:
            fits[form] = simpler = simpler | found.forms[form]
    return {form: _lend(kinds) | moving for form, kinds in fits.items()}, found


def with_trees(
    fits: Mapping[str, Mapping[str, KindFit]],
    rows: Rows,
    time_s: Floats,
    cores: Mapping[str, str],
    seed: int,
) -> dict[str, KindFit]:
    """Return the form hybrid, by kind: trees on the form that `cores` names, by default tiled.

    A kind that moves data has them too: it holds unlike operators, such as maximum and average.
    """
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
        solution = _solve(alpha_model, rows, log_time, [np.array([np.median(log_rate)])])
        return _named(alpha_parameters, solution, "alpha", len(rows), note)
    starts = []
    for beta, gamma in (PUBLISHED[kind], *_OTHER_STARTS):
        shape = np.array([np.log(beta / (1 - beta)), np.log(gamma)])
        flat, _ = alpha_model(np.concatenate([[0.0], shape]), rows)
        starts.append(np.concatenate([[np.median(log_time - flat)], shape]))
    if used == "alpha-floor":
        starts = [np.concatenate([start, _floor_start(log_time)]) for start in starts]
    most = np.full(len(starts[0]), np.inf)
    most[2] = np.log(_MOST_GAMMA)
    solution = _solve(alpha_model, rows, log_time, starts, (-np.inf, most))
    return _named(alpha_parameters, solution, "alpha", len(rows), note)


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
    solution = _solve(lambda theta, _: (np.full(len(rate), theta[0]), np.ones((len(rate), 1))),
                      None, rate, [start])  # fmt: skip
    c, error = float(np.exp(solution[0][0])), float(np.sqrt(solution[1][0, 0]))
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


def _fit_traffic(rows: Rows, log_time: Floats) -> KindFit:
    rate = float(np.median(log_time - np.log(rows.bytes_read + rows.bytes_written)))
    if len(rows) < _NO_FLOOR_BELOW:
        c = float(np.exp(rate))
        kind, n = str(rows.kind[0]), len(rows)
        return KindFit(
            form="traffic",
            parameters={"seconds_per_byte_read": c, "seconds_per_byte_written": c},
            standard_errors={},
            rows=n,
            note=f"{kind}: {n} row{'s' * (n > 1)}; one rate for bytes read and written, no floor",
        )
    start = np.concatenate([[rate, rate], _floor_start(log_time)])
    other = np.concatenate([[rate - 2, rate - 2], _floor_start(log_time)])
    solution = _solve(traffic_model, rows, log_time, [start, other])
    return _named(traffic_parameters, solution, "traffic", len(rows), "")


def _floor_start(log_time: Floats) -> Floats:
    """Return ln t0 and logit((p - 1) / 7): two thirds of the shortest time, and p = 2."""
    return np.array([log_time.min() - 0.4, -np.log(6.0)])


def _solve(
    model: Model | Callable[[Floats, Any], tuple[Floats, Floats]],
    rows: Any,
    log_time: Floats,
    starts: Sequence[Floats],
    bounds: tuple[Any, Any] = (-np.inf, np.inf),
) -> tuple[Floats, Floats]:
    """Return the best theta over the starts and its covariance.

    All of theta but its first is pulled towards the first start, which is where the published
    parameters are.
    """
    centre = starts[0]
    pull = np.diag(np.r_[0.0, np.full(len(centre) - 1, _PULL)])[1:]
    last: dict[str, Any] = {}

    def evaluate(theta: Floats) -> tuple[Floats, Floats]:
        if not np.array_equal(last.get("theta", ()), theta):
            last["theta"] = theta.copy()
            last["value"] = model(theta, rows)
        value: tuple[Floats, Floats] = last["value"]
        return value

    def residuals(theta: Floats) -> Floats:
        return np.concatenate([evaluate(theta)[0] - log_time, pull @ (theta - centre)])

    def jacobian(theta: Floats) -> Floats:
        return np.concatenate([evaluate(theta)[1], pull])

    options = {"loss": "soft_l1", "f_scale": LOSS_SCALE, "x_scale": "jac", "bounds": bounds}
    # A parameter that no longer matters has derivatives whose squares are zero, and scipy divides
    # by them.
    with np.errstate(divide="ignore", over="ignore"):
        # In a valley that the rows leave flat, steps are many and gain nothing.
        found = [
            least_squares(residuals, start, jacobian, max_nfev=_FIRST_STEPS, **options)
            for start in starts
        ]
        best = min(found, key=lambda result: result.cost)
        if best.status == 0:
            best = least_squares(residuals, best.x, jacobian, max_nfev=_LAST_STEPS, **options)
    theta: Floats = best.x
    return theta, covariance(residuals(theta), jacobian(theta), len(log_time))


def _named(names: Names, solution: tuple[Floats, Floats], form: str, n: int, note: str) -> KindFit:
    theta, covariance = solution
    parameters, slopes = names(theta)
    spread = slopes * np.sqrt(np.maximum(np.diag(covariance), 0.0))
    errors = dict(zip(parameters, spread.tolist(), strict=False))
    return KindFit(form, parameters, errors, n, note)
