"""From networks and times to the parameters that are most probable.

Maximum a posteriori: theta minimises

    sum over networks of w_i (ln(predicted_i / measured_i) / sigma)^2  +  |theta|^2

with `scipy.optimize.least_squares`. The weights make the noise a Student t with 4 degrees of
freedom, so that a corrupt time pulls no more than a good one (iteratively reweighted). sigma is
MacKay's: what the residuals leave, over the networks that the parameters do not use up, together
with 4 pseudo-networks of 3 %, without which ten networks could be met exactly and sigma vanish.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from alphaflops import _core
from alphaflops.adapting.networks import Floats, Networks
from alphaflops.adapting.prior import (
    KINDS,
    OVERHEAD,
    PARAMETERS,
    SHARPNESS,
    SIZE,
    Prior,
    at,
    sharpness_of,
)

_ROUNDS = 8  # of weights and sigma, at most
_SETTLED = 0.02  # change of sigma, as a share, that ends them
_FREEDOM = 4.0  # of Student's t
_PSEUDO, _PSEUDO_SIGMA = 4.0, 0.03
_FIRST_SIGMA = 0.1  # wide: a narrow one goes to the nearest optimum
_FIRST_SPREAD = 0.15  # of ln(measured / first guess), at least
# MINPACK: unlike the SVD of "trf" it does not spread matrices of 60 columns over threads.
_STOP = {"method": "lm", "max_nfev": 40, "ftol": 1e-5, "xtol": 1e-5, "gtol": 1e-5}
_START = 1.2  # standard deviations of sharpness
_STEP = 1e-5  # of a derivative, in phi
LARGEST = np.log(1e6)  # what a profile may hold


@dataclass(frozen=True)
class Solution:
    """The most probable theta [latents] and sigma, and phi [SIZE].

    `residuals` [n] are ln(measured / predicted); `evidence` is the logarithm of how probable the
    times are under the prior, phi and its uncertainty integrated out (Laplace's approximation).
    """

    theta: Floats
    phi: Floats
    sigma: float
    residuals: Floats
    evidence: float


class Pricing:
    """Seconds of networks as a function of phi, computed by the core."""

    def __init__(self, networks: Networks, prior: Prior) -> None:
        self._parts = []
        where, shapes = [], []
        for number, kind in enumerate(KINDS):
            rows = np.flatnonzero(networks.kinds == kind)
            if len(rows):
                launches = _core.Launches(networks.work.take(rows))
                self._parts.append((launches, networks.counts[:, rows]))
                where.append(_indices(number))
                shapes.append(prior.shapes.get(kind, (0.0, 0.0)))
        self._where = np.array(where)
        self._shapes = np.array(shapes)
        self._n = len(networks)

    def seconds(self, phi: Floats) -> Floats:
        """Return seconds [n]."""
        total = np.full(self._n, np.exp(phi[OVERHEAD]))
        parameters = _roofline(phi[self._where][:, np.newaxis], self._shapes)
        for (launches, counts), own in zip(self._parts, parameters, strict=True):
            total += counts @ launches.roofline_s(own)[0]
        return total

    def derivatives(self, phi: Floats) -> Floats:
        """Return seconds per unit of phi [n, SIZE], by central differences."""
        slopes = np.zeros((self._n, SIZE))
        slopes[:, OVERHEAD] = np.exp(phi[OVERHEAD])
        width = self._where.shape[1]
        steps = _STEP * np.concatenate([np.eye(width), -np.eye(width)])
        parameters = _roofline(phi[self._where][:, np.newaxis] + steps, self._shapes)
        for (launches, counts), where, own in zip(
            self._parts, self._where, parameters, strict=True
        ):
            times = launches.roofline_s(own)
            slopes[:, where] += counts @ ((times[:width] - times[width:]) / (2 * _STEP)).T
        return slopes


def solve(
    networks: Networks, time_s: Floats, prior: Prior, near: Solution | None = None
) -> Solution:
    """Return the most probable parameters of measured networks.

    Floor and work may add or the larger may hide the other: either can be a local optimum, so the
    search starts once from below the prior's sharpness and once from above it. `near` is a solution
    for nearly the same networks, to start from instead.
    """
    pricing = Pricing(networks, prior)
    if near is not None:
        return _solve_from(near.theta, near.sigma, pricing, time_s, prior)
    thetas = (-_START * _sharper(prior), _START * _sharper(prior))
    found = [_solve_from(theta, _FIRST_SIGMA, pricing, time_s, prior) for theta in thetas]
    return max(found, key=lambda solution: solution.evidence)


def _solve_from(
    theta: Floats, sigma: float, pricing: Pricing, time_s: Floats, prior: Prior
) -> Solution:
    log_time = np.log(time_s)
    first = log_time - np.log(pricing.seconds(prior.mean))
    off = first - np.median(first)
    weights = _weights(off, max(_FIRST_SPREAD, 1.5 * float(np.median(np.abs(off)))))
    for _ in range(_ROUNDS):
        fit = _Objective(pricing, prior, log_time, np.sqrt(weights) / sigma)
        theta = least_squares(fit.residuals, theta, fit.jacobian, **_STOP).x
        misfit, jacobian = fit.misfit(theta), fit.jacobian(theta)
        hessian = jacobian.T @ jacobian
        used = len(theta) - float(np.trace(np.linalg.inv(hessian)))
        left = max(float(weights.sum()) - used, 0.0)
        squares = float((weights * misfit**2).sum()) + _PSEUDO * _PSEUDO_SIGMA**2
        before, sigma = sigma, float(np.sqrt(squares / (left + _PSEUDO)))
        weights = _weights(misfit, sigma)
        if abs(sigma - before) < _SETTLED * sigma:
            break
    likely = -(_FREEDOM + 1) / 2 * np.log1p((misfit / sigma) ** 2 / _FREEDOM).sum()
    likely -= (len(misfit) + _PSEUDO) * np.log(sigma) + _PSEUDO / 2 * (_PSEUDO_SIGMA / sigma) ** 2
    evidence = float(likely - theta @ theta / 2 - np.linalg.slogdet(hessian)[1] / 2)
    return Solution(theta, prior.mean + prior.spread @ theta, sigma, -misfit, evidence)


def _sharper(prior: Prior) -> Floats:
    """Return the theta [latents] of one standard deviation more sharpness."""
    column = prior.spread[SHARPNESS]
    size = float(np.linalg.norm(column))
    unit: Floats = column / size if size > 0 else column
    return unit


class _Objective:
    """Residuals of theta, with the prior's, and their Jacobian."""

    def __init__(self, pricing: Pricing, prior: Prior, log_time: Floats, root: Floats) -> None:
        self._pricing, self._prior = pricing, prior
        self._log_time, self._root = log_time, root

    def _phi(self, theta: Floats) -> Floats:
        phi: Floats = self._prior.mean + self._prior.spread @ theta
        return phi

    def misfit(self, theta: Floats) -> Floats:
        logs: Floats = np.log(self._pricing.seconds(self._phi(theta))) - self._log_time
        return logs

    def residuals(self, theta: Floats) -> Floats:
        return np.concatenate([self.misfit(theta) * self._root, theta])

    def jacobian(self, theta: Floats) -> Floats:
        phi = self._phi(theta)
        slopes = self._pricing.derivatives(phi) @ self._prior.spread
        scale = self._root / self._pricing.seconds(phi)
        return np.concatenate([slopes * scale[:, np.newaxis], np.eye(len(theta))])


def _weights(misfit: Floats, sigma: float) -> Floats:
    weights: Floats = (_FREEDOM + 1) / (_FREEDOM + (misfit / sigma) ** 2)
    return weights


def _indices(kind: int) -> list[int]:
    """Return where a kind's parameters stand in phi, the shared sharpness last."""
    return [*range(at(kind, 0), at(kind, len(PARAMETERS))), SHARPNESS]


def _roofline(sets: Floats, shapes: Floats) -> Floats:
    """Return parameters [kinds, sets, 12] as the core takes them from phi [kinds, sets, 9].

    `shapes` [kinds, 2] are beta and gamma. Copies for uneven padding, the last, are not told apart
    by networks and cost nothing here.
    """
    values = np.exp(np.clip(sets, -80.0, LARGEST))
    parameters = np.zeros((*sets.shape[:2], 12))
    parameters[..., 0] = values[..., 0]
    parameters[..., 1:3] = shapes[:, np.newaxis]
    parameters[..., 3:10] = values[..., 1:-1]
    parameters[..., 10] = sharpness_of(sets[..., -1])
    return parameters
