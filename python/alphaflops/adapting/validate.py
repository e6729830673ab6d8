"""How well networks are predicted that a fit did not see, and intervals from that."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from alphaflops import _core
from alphaflops.adapting.networks import Floats, Networks
from alphaflops.adapting.prior import KINDS, Prior
from alphaflops.adapting.solver import Pricing, Solution, solve
from alphaflops.fitting.conformal import Interval, covered_out_of_fold, intervals_by_kind
from alphaflops.fitting.metrics import Errors, errors_of
from alphaflops.profiles import Profile

_ONE_BY_ONE = 20  # networks, up to which each is left out by itself
_FOLDS = 10
_UNKNOWN = Interval(0.5, 2.0)  # where nothing could be held out


def held_out(
    networks: Networks,
    time_s: Floats,
    prior_of: Callable[[Networks, Floats], Prior],
    whole: Solution,
    seed: int,
) -> tuple[Floats, NDArray[np.int64], str]:
    """Return predictions [n] of networks left out (NaN: none could be), folds and a description.

    `whole` is the solution of all of them, from which the search for the others' starts.
    """
    _, same = np.unique(networks.counts, axis=0, return_inverse=True)
    groups = int(same.max()) + 1
    folds = np.arange(groups)
    if groups > _ONE_BY_ONE:
        folds = np.random.default_rng(seed).permutation(groups) % _FOLDS
    fold = folds[same.ravel()]
    predicted = np.full(len(time_s), np.nan)
    if groups > 1:
        for one in range(int(folds.max()) + 1):
            inside, rest = np.flatnonzero(fold == one), np.flatnonzero(fold != one)
            seen = networks[rest]
            prior = prior_of(seen, time_s[rest])
            phi = solve(seen, time_s[rest], prior, whole).phi
            predicted[inside] = Pricing(networks[inside], prior).seconds(phi)
    each = "each network" if groups <= _ONE_BY_ONE else f"{_FOLDS} folds of networks"
    return predicted, fold, f"{each} left out"


def score(predicted_s: Floats, time_s: Floats, folds: NDArray[np.int64]) -> tuple[Errors, Interval]:
    """Return errors of held-out networks and the interval of a network's time."""
    scored = ~np.isnan(predicted_s)
    if not scored.any():
        return errors_of(predicted_s, time_s), _UNKNOWN
    residuals = np.log(time_s[scored] / predicted_s[scored])
    label = np.full(len(residuals), "network")
    covered = np.zeros(len(time_s), bool)
    covered[scored] = covered_out_of_fold(residuals, label, folds[scored])
    return errors_of(predicted_s, time_s, covered), intervals_by_kind(residuals, label)["network"]


def by_kind(
    whole: Interval, networks: Networks, launch_s: Floats, time_s: Floats
) -> dict[str, Interval]:
    """Return intervals by kind that make a network's total as uncertain as `whole`.

    A total adds half-widths within a kind and joins kinds in quadrature (docs/model.md), which
    makes it narrower than its kinds by the norm of their shares. Kinds that no network has get
    twice that in the logarithm.
    """
    shares = np.stack(
        [
            networks.counts[:, networks.kinds == kind] @ launch_s[networks.kinds == kind]
            for kind in KINDS
        ]
    )
    norm = float(np.median(np.linalg.norm(shares, axis=0) / time_s))
    low = 1 - (1 - whole.lower_factor) / norm
    high = 1 + (whole.upper_factor - 1) / norm
    factors = Interval(max(low, 0.01), min(high, 999_999.0))
    made = set(networks.kinds.tolist())
    return {kind: factors if kind in made else factors.widened() for kind in KINDS}


def priced(profile: Profile, networks: Networks) -> tuple[Floats, Floats, Floats]:
    """Return predicted seconds of networks with both ends of their intervals, each [n]."""
    found = [
        _core.predict(work, profile.core, reuse_bytes=_core.reuse_distance_bytes(work))
        for work in networks.tables
    ]
    return (
        np.array([p.total_time_s for p in found]),
        np.array([p.total_time_lo_s for p in found]),
        np.array([p.total_time_hi_s for p in found]),
    )
