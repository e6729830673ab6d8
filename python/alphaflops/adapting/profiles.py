"""Profiles as priors, and fitted parameters as a profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
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
from alphaflops.adapting.solver import LARGEST, solve
from alphaflops.errors import ProfileError
from alphaflops.fitting.conformal import Interval
from alphaflops.fitting.forms import MULTIPLYING
from alphaflops.fitting.metrics import LEVEL
from alphaflops.fitting.residual import domain_of
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
    work = networks.work.take(priced)
    launches = Networks([""] * len(priced), [], work, np.eye(len(priced)))
    blank = ignorant(launches, time_s[priced])
    mean, spread = blank.mean.copy(), blank.spread.copy()
    mean[OVERHEAD], spread[OVERHEAD] = _NOTHING, 0.0
    phi = solve(
        launches, time_s[priced], replace(blank, mean=mean, spread=spread, shapes=shapes)
    ).phi
    overhead_s = float(profile.data.get("overhead_s") or 0.0)
    phi[OVERHEAD] = np.log(overhead_s) if overhead_s > 0 else blank.mean[OVERHEAD]
    return phi


def profile_of(
    phi: Floats,
    shapes: Mapping[str, tuple[float, float]],
    networks: Networks,
    intervals: Mapping[str, Interval],
    head: Mapping[str, Any],
) -> Profile:
    """Return phi as a profile: roofline-alpha for what multiplies, traffic for what moves data.

    Parameters
    ----------
    phi, shapes
        What was fitted, and beta and gamma by kind.
    networks
        What it was fitted to; their launches are the profile's domain.
    intervals
        By kind; may be empty.
    head
        Every other field of the profile.
    """
    models = []
    for number, kind in enumerate(KINDS):
        model: dict[str, Any] = {
            "kind": kind,
            "pass": "forward",
            "dtype": networks.dtype,
            **_cost(phi, number, kind, shapes),
        }
        if kind in intervals:
            model["interval"] = intervals[kind]._asdict()
        models.append(model)
    data = {
        "format": "alphaflops-profile",
        "version": _core.PROFILE_VERSION,
        **head,
        "overhead_s": float(np.exp(phi[OVERHEAD])),
        "interval_level": LEVEL if intervals else None,
        "models": models,
    }
    origin = f"profile '{head['name']}'"
    time_s = _core.predict(networks.work, Profile.from_dict(data, origin).core).time_s
    for model in models:
        rows = np.flatnonzero(networks.kinds == model["kind"])
        if len(rows) and model["kind"] in MULTIPLYING:
            launches = _core.Launches(networks.work.take(rows))
            model["domain"] = domain_of(launches.traits(time_s[rows]))
    return Profile.from_dict(data, origin)


def _cost(
    phi: Floats, number: int, kind: str, shapes: Mapping[str, tuple[float, float]]
) -> dict[str, Any]:
    values = np.exp(np.minimum(phi[at(number, 0) : at(number + 1, 0)], LARGEST)).tolist()
    named = dict(zip(PARAMETERS, values, strict=True))
    sharpness = float(sharpness_of(phi[SHARPNESS]))
    if kind in MULTIPLYING:
        beta, gamma = shapes.get(kind, (0.0, 0.0))
        parameters = {**named, "beta": beta, "gamma": gamma, "sharpness": sharpness}
        return {"form": "roofline-alpha", "parameters": parameters}
    kept = ("seconds_per_byte_read", "seconds_per_byte_written", "floor_s")
    parameters = {**{name: named[name] for name in kept}, "sharpness": sharpness}
    return {"form": "traffic", "parameters": parameters}
