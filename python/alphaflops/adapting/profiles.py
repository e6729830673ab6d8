"""Profiles as priors, and fitted parameters as a profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import numpy as np

from alphaflops import _core
from alphaflops.adapting.networks import Floats, Networks
from alphaflops.adapting.prior import (
    KINDS,
    OVERHEAD,
    PARAMETERS,
    PRICES,
    SHARPNESS,
    SIZE,
    Prior,
    Spreads,
    at,
    ignorant,
    sharpness_of,
    spread_of,
)
from alphaflops.adapting.solve import LARGEST, solve
from alphaflops.errors import ProfileError
from alphaflops.fitting.conformal import Interval
from alphaflops.fitting.forms import MULTIPLYING
from alphaflops.fitting.metrics import LEVEL, Errors
from alphaflops.profiles import Profile

#: About a profile: the device may be faster or slower as a whole, little else differs.
_ABOUT = Spreads(0.5, 0.2, 0.2, 0.1, 0.3, 0.5, 1.0)
#: About the middle of several, beside what they differ in themselves.
_ABOUT_FAMILY = Spreads(1.0, 0.3, 0.4, 0.2, 0.7, 1.0, 1.0)
_SPEED = 2.0  # of all prices together
_NOTHING = -80.0  # ln of an overhead that is none


def priors_of(profiles: Sequence[Profile], networks: Networks) -> list[Prior]:
    """Return a prior about each profile, and, where they are several, one about their middle.

    Whatever its forms, a profile comes in by its prices: parameters of a roofline-alpha are fitted
    to the times that it predicts for these networks' launches. beta and gamma are taken over from
    the first that has them.

    Raises
    ------
    ProfileError
        A profile prices none of the launches, or lacks their element type.
    """
    shapes = _shapes(profiles, networks.dtype)
    phis = [_distilled(profile, networks, shapes) for profile in profiles]
    speed = np.zeros((SIZE, 1))
    speed[PRICES] = _SPEED
    own = np.concatenate([spread_of(_ABOUT), speed], axis=1)
    priors = [
        Prior(phi, own, shapes, (profile.name,))
        for phi, profile in zip(phis, profiles, strict=True)
    ]
    if len(phis) > 1:
        middle = np.mean(phis, axis=0)
        apart = (np.array(phis) - middle).T / np.sqrt(len(phis) - 1)
        spread = np.concatenate([spread_of(_ABOUT_FAMILY), speed, apart], axis=1)
        priors.append(Prior(middle, spread, shapes, tuple(p.name for p in profiles)))
    return priors


def _shapes(profiles: Sequence[Profile], dtype: str) -> dict[str, tuple[float, float]]:
    shapes: dict[str, tuple[float, float]] = {}
    for profile in profiles:
        for model in profile.data["models"]:
            given = model["parameters"]
            if model["dtype"] == dtype and given.get("gamma"):
                shapes.setdefault(model["kind"], (given["beta"], given["gamma"]))
    return shapes


def _distilled(
    profile: Profile, networks: Networks, shapes: Mapping[str, tuple[float, float]]
) -> Floats:
    """Return the phi whose prices of the launches are nearest to the profile's."""
    time_s = _core.predict(networks.work, profile.core).time_s
    priced = np.flatnonzero(np.isfinite(time_s) & (time_s > 0))
    if len(priced) == 0:
        raise ProfileError(
            f"profile '{profile.name}' prices none of these networks' launches; it is no prior"
        )
    names = [str(row) for row in priced]
    launches = Networks(names, networks.work.take(priced), np.eye(len(priced)))
    blank = ignorant(launches, time_s[priced])
    mean, spread = blank.mean.copy(), blank.spread.copy()
    mean[OVERHEAD], spread[OVERHEAD] = _NOTHING, 0.0
    phi = solve(launches, time_s[priced], replace(blank, mean=mean, spread=spread, shapes=shapes)).phi
    overhead_s = profile.core.overhead_s
    phi[OVERHEAD] = np.log(overhead_s) if overhead_s > 0 else blank.mean[OVERHEAD]
    return phi


def profile_of(
    phi: Floats,
    prior: Prior,
    head: Mapping[str, Any],
    dtype: str,
    intervals: Mapping[str, Interval],
    errors: Errors,
    assumptions: Sequence[str],
) -> Profile:
    """Return phi as a profile: roofline-alpha for what multiplies, traffic for what moves data."""
    sharpness = float(sharpness_of(phi[SHARPNESS]))
    values = np.exp(np.minimum(phi, LARGEST))
    models = []
    for number, kind in enumerate(KINDS):
        own = dict(zip(PARAMETERS, values[at(number, 0) : at(number + 1, 0)].tolist(), strict=True))
        beta, gamma = prior.shapes.get(kind, (0.0, 0.0))
        if kind in MULTIPLYING:
            form = "roofline-alpha"
            parameters = {**own, "beta": beta, "gamma": gamma, "sharpness": sharpness}
        else:
            form = "traffic"
            kept = ("seconds_per_byte_read", "seconds_per_byte_written", "floor_s")
            parameters = {**{name: own[name] for name in kept}, "sharpness": sharpness}
        model: dict[str, Any] = {
            "kind": kind,
            "pass": "forward",
            "dtype": dtype,
            "form": form,
            "parameters": parameters,
        }
        if kind in intervals:
            model["interval"] = intervals[kind]._asdict()
        models.append(model)
    data: dict[str, Any] = {
        "format": "alphaflops-profile",
        "version": _core.PROFILE_VERSION,
        **head,
        "overhead_s": float(values[OVERHEAD]),
        "models": models,
        "errors": {"networks": errors.to_json()},
        "assumptions": list(assumptions),
    }
    if intervals:
        data["interval_level"] = LEVEL
    return Profile.from_dict(data, origin=f"profile '{head['name']}'")


def provenance(points: int, mode: str, cross_validation: str, backend: str) -> dict[str, Any]:
    """Return where an adapted profile comes from."""
    return {
        "backend": backend,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "alphaflops_version": _core.__version__,
        "points": points,
        "form": "roofline-alpha",
        "fitted_to": "whole networks",
        "mode": mode,
        "cross_validation": cross_validation,
    }
