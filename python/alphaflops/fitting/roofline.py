"""The roofline-alpha form: floor, alpha-corrected compute and traffic, joined by a p-norm.

The core evaluates (cpp/src/cost.cpp); here its parameters are searched for, over logarithms and
logits, with a weak pull towards a start that the rows' own rates give.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from alphaflops._core import Launches
from alphaflops.fitting.metrics import Floats
from alphaflops.fitting.search import covariance, logit, search, sigmoid

NAMES = (
    *("seconds_per_mac", "beta", "gamma", "half_rows", "half_c_out", "half_depth"),
    *("seconds_per_weight_byte", "seconds_per_byte_read", "seconds_per_byte_written"),
    *("floor_s", "sharpness"),
)
_BETA, _GAMMA, _SHARPNESS = NAMES.index("beta"), NAMES.index("gamma"), NAMES.index("sharpness")
_MOST_GAMMA, _MOST_SHARPNESS = 1.0, 8.0  # with a larger gamma, more rows could cost less
_EVALUATIONS = 80
#: beta and gamma where the search starts.
_STARTS = ((0.02, 0.99), (0.001, 0.56), (0.02, 0.1))


class RooflineFit(NamedTuple):
    """What a search found; standard errors in the parameters' units."""

    parameters: dict[str, float]
    standard_errors: dict[str, float]
    cost: float


def values_of(theta: Floats) -> Floats:
    """Return [sets, 11] as the core takes them, of theta [sets, 11]."""
    values = np.exp(np.clip(theta, -80.0, 12.0))
    values[:, _BETA] = sigmoid(theta[:, _BETA])
    values[:, _GAMMA] = _MOST_GAMMA * sigmoid(theta[:, _GAMMA])
    values[:, _SHARPNESS] = 1 + (_MOST_SHARPNESS - 1) * sigmoid(theta[:, _SHARPNESS])
    result: Floats = values
    return result


def fit_roofline(
    launches: Launches,
    log_time: Floats,
    macs: Floats,
    bytes_moved: Floats,
    starts: Sequence[tuple[float, float]] = _STARTS,
) -> RooflineFit:
    """Search for the parameters of one kind.

    Parameters
    ----------
    launches
        Rows [n] of the kind.
    log_time, macs, bytes_moved
        ln seconds, multiply-accumulates, activation bytes read and written [n].
    """

    def log_seconds(theta: Floats, _stage: int) -> Floats:
        result: Floats = np.log(launches.roofline_s(values_of(theta)))
        return result

    rate = float(np.quantile(log_time - np.log(macs), 0.1))
    byte = float(np.quantile(log_time - np.log(bytes_moved), 0.05)) - 1.0
    best = None
    for beta, gamma in starts:
        centre = np.array(
            [rate, logit(beta), logit(gamma / _MOST_GAMMA), *np.log([1.0, 2.0, 8.0]),
             byte, byte, byte, float(log_time.min()) - 0.4, logit(1 / 7)]
        )  # fmt: skip
        found = search(log_seconds, log_time, centre, [(0, _EVALUATIONS)])
        if best is None or found.cost < best.cost:
            best = found
    if best is None:
        raise ValueError("a fit needs a start")
    values = values_of(best.theta[None])[0]
    slopes = (values_of(best.theta[None] + 1e-6)[0] - values) / 1e-6
    variance = np.diag(covariance(best.residuals, best.jacobian, len(log_time)))
    errors = np.abs(slopes) * np.sqrt(np.maximum(variance, 0.0))
    return RooflineFit(
        dict(zip(NAMES, values.tolist(), strict=True)),
        dict(zip(NAMES, errors.tolist(), strict=True)),
        best.cost,
    )
