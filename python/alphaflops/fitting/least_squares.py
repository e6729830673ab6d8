"""Robust least squares in the logarithm, for forms whose derivatives are known.

The residual of a row is ln(predicted / measured), its loss soft_l1 (quadratic below 10 %, linear
above), so that a tenth too much costs as much as a tenth too little at any size, and a jump between
algorithms does not bend the whole fit. A pull too weak to move what the rows determine keeps finite
what they do not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import least_squares

from alphaflops.fitting.forms import Rows
from alphaflops.fitting.kinds import KindFit, Parameters
from alphaflops.fitting.metrics import Floats
from alphaflops.fitting.search import LOSS_SCALE, covariance

WEAK_PULL = 0.003
_FIRST_STEPS, _LAST_STEPS = 25, 100  # of every start, and of the best one after that
_TOLERANCE = 1e-5  # of the cost and of theta: a hundredth of what tells two fits apart

#: ln seconds [n] and its derivatives [n, len(theta)].
Model = Callable[[Floats, Rows], tuple[Floats, Floats]]
Names = Callable[[Floats], tuple[Parameters, Floats]]


class Solution(NamedTuple):
    """Where a search ended; the cost is that of the loss, with the pull."""

    theta: Floats
    covariance: Floats
    cost: float


def solve(
    model: Model | Callable[[Floats, Any], tuple[Floats, Floats]],
    rows: Any,
    log_time: Floats,
    starts: Sequence[Floats],
    *,
    bounds: tuple[Any, Any] = (-np.inf, np.inf),
    pull: Floats | None = None,
    centre: Floats | None = None,
) -> Solution:
    """Return the best theta over the starts.

    Theta is pulled towards `centre`, by default the first start, which is where the published
    parameters are, with the weights `pull` [pulls, len(theta)], by default all but its first by
    WEAK_PULL. What the rows may leave undetermined must not be free.
    """
    centre = starts[0] if centre is None else centre
    pull = WEAK_PULL * np.eye(len(centre))[1:] if pull is None else pull
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
    options |= {"ftol": _TOLERANCE, "xtol": _TOLERANCE}
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
    spread = covariance(residuals(theta), jacobian(theta), len(log_time))
    return Solution(theta, spread, float(best.cost))


def named(names: Names, solution: Solution, form: str, n: int, note: str = "") -> KindFit:
    """Return the fit of a kind, its parameters by their names in a profile."""
    parameters, slopes = names(solution.theta)
    spread = np.sqrt(np.maximum(np.diag(slopes @ solution.covariance @ slopes.T), 0.0))
    errors = dict(zip(parameters, spread.tolist(), strict=False))
    return KindFit(form, parameters, errors, n, note)


def floor_start(log_time: Floats) -> Floats:
    """Return ln t0 and logit((p - 1) / 7): two thirds of the shortest time, and p = 2."""
    return np.array([log_time.min() - 0.4, -np.log(6.0)])
