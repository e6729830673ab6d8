"""The roofline-alpha form: floor, alpha-corrected compute and traffic, joined by a p-norm.

The copy that uneven padding makes comes before them.

The core evaluates (cpp/src/cost.cpp); here its parameters are searched for, over logarithms and
logits, with a weak pull towards a start that the rows' own rates give.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alphaflops._core import Launches
from alphaflops.fitting.evidence import Cache
from alphaflops.fitting.metrics import Floats
from alphaflops.fitting.search import Beyond, covariance, logit, search, search_beyond, sigmoid

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
    theta: Floats  # without a price of bytes beyond a cache
    beyond: Beyond | None  # with one, where the rows ask for it


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
    cache: Cache | None = None,
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
    cache
        The device's, where it is known.
    start
        A fit of most of the same rows, to begin from.
    """
    rate = float(np.quantile(log_time - np.log(macs), 0.1))
    fastest = float(np.quantile(log_time - np.log(bytes_moved), 0.05))
    byte, most_padded = fastest - 1.0, 2 * np.exp(fastest) if padded else 0.0

    def log_seconds(theta: Floats, _stage: int) -> Floats:
        result: Floats = np.log(launches.roofline_s(values_of(theta, most_padded)))
        return result

    centres = [
        np.array(
            [rate, logit(beta), logit(gamma / _MOST_GAMMA), *np.log([1.0, 2.0, 8.0]),
             byte, byte, byte, float(log_time.min()) - 0.4, logit(1 / 7), logit(0.1)]
        )
        for beta, gamma in (_STARTS if start is None else _STARTS[:1])
    ]  # fmt: skip
    begin = None if start is None else start.theta
    stage = (0, _EVALUATIONS)
    tried = [search(log_seconds, log_time, centre, [stage], begin) for centre in centres]
    best = min(range(len(tried)), key=lambda i: tried[i].cost)
    without = tried[best]
    beyond = search_beyond(
        log_seconds, log_time, centres[best], stage, without=without, cache=cache,
        log_price=byte, start=None if start is None else start.beyond,
    )  # fmt: skip
    kept = without if beyond is None else beyond.found
    theta, n = kept.theta[: len(NAMES)], len(log_time)
    values = values_of(theta[None], most_padded)[0]
    slopes = (values_of(theta[None] + 1e-6, most_padded)[0] - values) / 1e-6
    spread = np.sqrt(np.maximum(np.diag(covariance(kept.residuals, kept.jacobian, n)), 0.0))
    parameters = dict(zip(NAMES, values.tolist(), strict=True))
    errors = dict(zip(NAMES, (np.abs(slopes) * spread[: len(NAMES)]).tolist(), strict=True))
    if beyond is not None:
        parameters |= beyond.parameters
        price = "seconds_per_byte_beyond"
        errors[price] = parameters[price] * float(spread[-1])
    return RooflineFit(parameters, errors, kept.cost, without.theta, beyond)
