"""The roofline-alpha form: floor, alpha-corrected compute and traffic, joined by a p-norm.

The copy that uneven padding makes comes before them.

The core evaluates (cpp/src/cost.cpp); here its parameters are searched for, over logarithms and
logits, with a weak pull towards a start that the rows' own rates give.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alphaflops._core import Launches
from alphaflops.fitting.metrics import Floats
from alphaflops.fitting.search import covariance, logit, search, sigmoid

NAMES = (
    *("seconds_per_mac", "beta", "gamma", "half_rows", "half_c_out", "half_depth"),
    *("seconds_per_weight_byte", "seconds_per_byte_read", "seconds_per_byte_written"),
    *("floor_s", "sharpness", "seconds_per_padded_byte"),
)
_BETA, _GAMMA, _SHARPNESS, _PADDED = (
    NAMES.index(name) for name in ("beta", "gamma", "sharpness", "seconds_per_padded_byte")
)
_MOST_GAMMA, _MOST_SHARPNESS = 1.0, 8.0  # with a larger gamma, more rows could cost less
_EVALUATIONS = 80
#: beta and gamma where the search starts.
_STARTS = ((0.02, 0.99), (0.001, 0.56), (0.02, 0.1))


class RooflineFit(NamedTuple):
    """What a search found; standard errors in the parameters' units."""

    parameters: dict[str, float]
    standard_errors: dict[str, float]
    cost: float
    theta: Floats


def values_of(theta: Floats, most_padded: float) -> Floats:
    """Return [sets, 12] as the core takes them, of theta [sets, 12].

    `most_padded` bounds seconds_per_padded_byte: what can be read and written is no slower to copy.
    """
    values = np.exp(np.clip(theta, -80.0, 12.0))
    values[:, _BETA] = sigmoid(theta[:, _BETA])
    values[:, _GAMMA] = _MOST_GAMMA * sigmoid(theta[:, _GAMMA])
    values[:, _SHARPNESS] = 1 + (_MOST_SHARPNESS - 1) * sigmoid(theta[:, _SHARPNESS])
    values[:, _PADDED] = most_padded * sigmoid(theta[:, _PADDED])
    result: Floats = values
    return result


def fit_roofline(
    launches: Launches,
    log_time: Floats,
    macs: Floats,
    bytes_moved: Floats,
    *,
    padded: bool,
    start: RooflineFit | None = None,
) -> RooflineFit:
    """Search for the parameters of one kind.

    Parameters
    ----------
    launches
        Rows [n] of the kind.
    log_time, macs, bytes_moved
        ln seconds, multiply-accumulates, activation bytes read and written [n].
    padded
        Whether uneven padding makes any row copy its input.
    start
        A fit of most of the same rows, to begin from.
    """
    rate = float(np.quantile(log_time - np.log(macs), 0.1))
    fastest = float(np.quantile(log_time - np.log(bytes_moved), 0.05))
    byte, most_padded = fastest - 1.0, 2 * np.exp(fastest) if padded else 0.0

    def log_seconds(theta: Floats, _stage: int) -> Floats:
        result: Floats = np.log(launches.roofline_s(values_of(theta, most_padded)))
        return result

    best = None
    for beta, gamma in _STARTS if start is None else _STARTS[:1]:
        centre = np.array(
            [rate, logit(beta), logit(gamma / _MOST_GAMMA), *np.log([1.0, 2.0, 8.0]),
             byte, byte, byte, float(log_time.min()) - 0.4, logit(1 / 7), logit(0.1)]
        )  # fmt: skip
        begin = None if start is None else start.theta
        found = search(log_seconds, log_time, centre, [(0, _EVALUATIONS)], begin)
        if best is None or found.cost < best.cost:
            best = found
    if best is None:
        raise ValueError("a fit needs a start")
    values = values_of(best.theta[None], most_padded)[0]
    slopes = (values_of(best.theta[None] + 1e-6, most_padded)[0] - values) / 1e-6
    variance = np.diag(covariance(best.residuals, best.jacobian, len(log_time)))
    errors = np.abs(slopes) * np.sqrt(np.maximum(variance, 0.0))
    return RooflineFit(
        dict(zip(NAMES, values.tolist(), strict=True)),
        dict(zip(NAMES, errors.tolist(), strict=True)),
        best.cost,
        best.theta,
    )
