"""The search that the richer forms share: robust least squares on what the core evaluates.

The residual of a row is ln(predicted / measured), as in solve.py. Derivatives are differences: the
core prices all of a step's sets of parameters in one call.

What a launch moves beyond the device's cache, whose size traffic.py has found, has a price beside
every form, kept where the criterion of evidence.py asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares

from alphaflops.fitting.evidence import Cache, score
from alphaflops.fitting.metrics import Floats

LOSS_SCALE = 0.1
PULL = 0.03  # towards the centre, in the coordinates of the search
_STEP = 1e-5

_TINY = np.finfo(float).tiny

#: ln seconds [sets, n] of theta [sets, parameters] in one stage of the search.
LogSeconds = Callable[[Floats, int], Floats]


class Found(NamedTuple):
    """Where a search ended."""

    theta: Floats
    cost: float
    residuals: Floats  # of rows, then of the pull
    jacobian: Floats


def search(
    log_seconds: LogSeconds,
    log_time: Floats,
    centre: Floats,
    stages: Sequence[tuple[int, int]],
    start: Floats | None = None,
) -> Found:
    """Search for theta, stage by stage.

    Parameters
    ----------
    log_seconds
        The form; its second argument is the stage.
    log_time
        ln seconds measured [n].
    centre
        Where theta is weakly pulled to, and begins unless `start` is given.
    stages
        Pairs of what `log_seconds` is told and the most evaluations.
    """
    theta = centre if start is None else start
    pull = PULL * np.eye(len(centre))
    found = None
    for stage, evaluations in stages:

        def residuals(x: Floats, stage: int = stage) -> Floats:
            return np.concatenate([log_seconds(x[None], stage)[0] - log_time, PULL * (x - centre)])

        def jacobian(x: Floats, stage: int = stage) -> Floats:
            moved = log_seconds(np.vstack([x, x + _STEP * np.eye(len(x))]), stage)
            return np.vstack([((moved[1:] - moved[0]) / _STEP).T, pull])

        found = least_squares(
            residuals, theta, jacobian,
            loss="soft_l1", f_scale=LOSS_SCALE, x_scale="jac", max_nfev=evaluations,
        )  # fmt: skip
        theta = found.x
    if found is None:
        raise ValueError("a search needs a stage")
    return Found(found.x, float(found.cost), found.fun, found.jac)


class Beyond(NamedTuple):
    """Where a search ended that has the logarithm of a price of bytes beyond a cache as well."""

    found: Found
    cache_bytes: float

    @property
    def parameters(self) -> dict[str, float]:
        """As a profile has them."""
        price = float(np.exp(self.found.theta[-1]))
        return {"seconds_per_byte_beyond": price, "cache_bytes": self.cache_bytes}


def search_beyond(
    log_seconds: LogSeconds,
    log_time: Floats,
    centre: Floats,
    stage: tuple[int, int],
    *,
    without: Found,
    cache: Cache | None,
    log_price: float,
    start: Beyond | None = None,
) -> Beyond | None:
    """Search again with a price of bytes beyond a cache; None where the rows do not ask for it.

    Parameters
    ----------
    log_seconds, log_time, centre, stage
        As of ``search``; the price comes last in a theta.
    without
        What a search has found without it.
    log_price
        Where the price's logarithm is pulled to, and begins unless `start` is given.
    start
        Of a fit of most of the same rows, to begin from.
    """
    if cache is None or not cache.is_told_by_rows:
        return None
    log_bytes = np.log(np.maximum(cache.beyond_bytes, _TINY))

    def with_cache(theta: Floats, stage: int) -> Floats:
        total: Floats = np.logaddexp(log_seconds(theta[:, :-1], stage), theta[:, -1:] + log_bytes)
        return total

    begin = np.append(without.theta, log_price) if start is None else start.found.theta
    found = search(with_cache, log_time, np.append(centre, log_price), [stage], begin)
    n, size = len(log_time), len(begin)
    if score(found.cost, n, size) <= score(without.cost, n, size - 1):
        return None
    return Beyond(found, cache.size_bytes)


def covariance(residuals: Floats, jacobian: Floats, n: int) -> Floats:
    """Return the sandwich covariance of the M-estimate; rows are taken as independent.

    The first `n` residuals are of rows, the others of the pull.
    """
    z = (residuals / LOSS_SCALE) ** 2
    bread = np.linalg.pinv(jacobian.T @ (jacobian * (1 + z)[:, None] ** -1.5))
    score = residuals / np.sqrt(1 + z)
    score[n:] = np.sqrt(np.mean(score[:n] ** 2))  # the pull counts as one more noisy row
    meat = jacobian.T @ (jacobian * score[:, None] ** 2)
    parameters = jacobian.shape[1]
    result: Floats = bread @ meat @ bread * n / max(n - parameters, 1)
    return result


def sigmoid(x: Floats) -> Floats:
    """Return 1 / (1 + exp(-x)) without overflow."""
    result: Floats = 0.5 * (1 + np.tanh(0.5 * x))
    return result


def logit(share: float) -> float:
    """Return what `sigmoid` takes back to `share`."""
    return float(np.log(share / (1 - share)))
