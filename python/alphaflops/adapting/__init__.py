"""A device profile from a few whole-network times, and one from a data sheet.

docs/adapt.md has the equations and how well they do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from alphaflops import _core
from alphaflops.adapting import checks
from alphaflops.adapting.checks import Outlier
from alphaflops.adapting.datasheet import from_datasheet
from alphaflops.adapting.networks import Floats, Networks, NetworksLike, networks_of
from alphaflops.adapting.prior import Prior, ignorant
from alphaflops.adapting.profiles import priors_of, profile_of
from alphaflops.adapting.solver import Solution, solve
from alphaflops.adapting.validate import by_kind, held_out, priced, score
from alphaflops.errors import TableError
from alphaflops.fitting.metrics import Errors, errors_of
from alphaflops.profiles import Profile, ProfileLike, as_profiles
from alphaflops.spaces import SearchSpace

__all__ = ["Adapted", "Outlier", "adapt", "from_datasheet"]

_STRONG = 3.0  # ln of the odds that count as strong evidence against what is held by default


@dataclass(frozen=True)
class Adapted:
    """What ``adapt`` returns.

    Attributes
    ----------
    profile : Profile
        Prices any graph.
    errors : Errors
        Cross-validated: of networks that took no part in the fit.
    test : Errors or None
        On the networks given as `test`.
    outliers, test_outliers : list of Outlier
        Times that cannot be right. They took no part in the fit, or in `test`.
    notes : list of str
        What else a reader has to know; the profile's assumptions have it too.
    """

    profile: Profile
    errors: Errors
    test: Errors | None
    outliers: list[Outlier]
    test_outliers: list[Outlier]
    notes: list[str]
    _sigma: float
    _mode: str

    def predict_s(self, networks: NetworksLike) -> Floats:
        """Return seconds [n] of graphs, or of a space and codes of it."""
        return priced(self.profile, networks_of(networks, self._mode))[0]

    def evaluate(self, networks: NetworksLike, time_s: ArrayLike) -> tuple[Errors, list[Outlier]]:
        """Hold the profile against measured networks.

        Returns
        -------
        Errors
            Over all times but the outliers.
        list of Outlier
            Times that are not positive, or off by a factor of 3 and by 8 sigma of the fit.
        """
        return _tested(self.profile, networks_of(networks, self._mode), time_s, self._sigma)

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary that JSON can hold; `profile` is the profile's content."""
        return {
            "fit": self.errors.to_json(),
            "test": None if self.test is None else self.test.to_json(),
            "outliers": [str(outlier) for outlier in self.outliers],
            "test_outliers": [str(outlier) for outlier in self.test_outliers],
            "notes": self.notes,
            "profile": self.profile.data,
        }

    def __str__(self) -> str:
        about = self.profile.data["provenance"]
        lines = [
            f"{self.profile.name}: {about['points']} networks, {about['mode']}, "
            f"prior {about['prior']}, {about['cross_validation']}",
            f"  held out  {_line(self.errors)}",
        ]
        if self.test is not None:
            lines.append(f"  test      {_line(self.test)}")
        lines += [f"  outlier, not fitted: {outlier}" for outlier in self.outliers]
        lines += [f"  outlier, not tested: {outlier}" for outlier in self.test_outliers]
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])


def _line(errors: Errors) -> str:
    if np.isnan(errors.mape):
        return "nothing"
    rank = "-" if np.isnan(errors.spearman) else f"{errors.spearman:.3f}"
    return (
        f"MAPE {errors.mape:.1%}, median {errors.mdape:.1%}, "
        f"within 10 % {errors.within_10pct:.1%}, rank {rank}, "
        f"90 % interval covers {errors.coverage_90:.1%}, n {errors.n}"
    )


def adapt(
    *measured: Any,
    prior: ProfileLike | Sequence[ProfileLike] | None = None,
    test: tuple[NetworksLike, ArrayLike] | None = None,
    mode: str = "fused",
    batch: int | None = None,
    name: str = "adapted",
    device: str | Mapping[str, Any] = "",
    backend: str = "unknown",
    seed: int = 0,
) -> Adapted:
    """Make a profile from the times of a few whole networks.

    Parameters
    ----------
    *measured
        ``graphs, time_s`` with seconds [n] of one run of each graph; or ``space, codes, time_s``
        with codes [n, positions] of a search space, or their texts. ``(space, codes), time_s`` is
        the same.
    prior
        A profile, or several, that the fit may lean on: of the same device in another state, of a
        like one, from a data sheet. One profile is leant on unless the times are strong evidence
        against it; of several, the one, or their middle, that the times are strong evidence for.
    test
        Networks and times that take no part in the fit.
    mode
        Which operators share a launch: fused or eager.
    batch
        Images a call, where the graphs do not say.
    name, device, backend
        Go into the profile.
    seed
        Of the dealing of networks to folds.

    Raises
    ------
    TableError
        Times and networks differ in number, no time is usable, or their unit cannot be seconds.
    ModelError
        No networks, or a code that is not of the space.
    UnsupportedError
        An operator is unknown, element types are mixed, or the mode is not known.
    ProfileError
        A prior prices none of the networks' launches.
    """
    given, time_s = _arguments(measured)
    everything = networks_of(given, mode, batch)
    times = checks.check_times(time_s, len(everything))
    rows = np.flatnonzero(checks.usable(times))
    notes = checks.units(everything[rows], times[rows])
    notes += checks.contradictions(everything[rows], times[rows])
    profiles = _profiles(prior)
    about, solution = _best(profiles, everything[rows], times[rows])

    far = checks.far_off(solution.residuals, solution.sigma)
    expected = np.full(len(times), np.nan)
    expected[rows] = times[rows] * np.exp(-solution.residuals)
    good = rows[~far]
    outliers = _outliers(everything, times, expected, np.setdiff1d(np.arange(len(times)), good))
    networks, kept = everything[good], times[good]
    if far.any():
        about, solution = _best(profiles, networks, kept)

    prior_of = ignorant if not about.sources else partial(_given, about)
    predicted, folds, validation = held_out(networks, kept, prior_of, solution, seed)
    errors, whole = score(predicted, kept, folds)
    notes += _notes(networks, about, profiles)
    head = {
        "name": name,
        "device": {"name": device} if isinstance(device, str) and device else dict(device or {}),
        "provenance": {
            "backend": backend,
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "alphaflops_version": _core.__version__,
            "points": len(kept),
            "form": "roofline-alpha",
            "fitted_to": "whole networks",
            "mode": mode,
            "prior": " and ".join(about.sources) or "none",
            "cross_validation": validation,
        },
        "errors": {"networks": errors.to_json()},
        "assumptions": notes,
    }
    make = partial(profile_of, solution.phi, about.shapes, networks)
    bare = make({}, head)
    launch_s = _core.predict(networks.work, bare.core).time_s
    profile = make(by_kind(whole, networks, launch_s, kept), head)
    result = Adapted(profile, errors, None, outliers, [], notes, solution.sigma, mode)
    if test is None:
        return result
    tested, test_outliers = _tested(
        profile, networks_of(test[0], mode, batch), test[1], solution.sigma
    )
    return Adapted(profile, errors, tested, outliers, test_outliers, notes, solution.sigma, mode)


def _arguments(measured: tuple[Any, ...]) -> tuple[NetworksLike, ArrayLike]:
    if len(measured) == 3 and isinstance(measured[0], SearchSpace):  # noqa: PLR2004
        return (measured[0], measured[1]), measured[2]
    if len(measured) != 2 or isinstance(measured[0], SearchSpace):  # noqa: PLR2004
        raise TableError(
            "adapt takes networks and times: adapt(graphs, time_s), adapt((space, codes), time_s) "
            "or adapt(space, codes, time_s)"
        )
    return measured[0], measured[1]


def _profiles(prior: ProfileLike | Sequence[ProfileLike] | None) -> list[Profile]:
    return [] if prior is None else as_profiles(prior)


def _given(prior: Prior, _networks: Networks, _time_s: Floats) -> Prior:
    return prior


def _best(
    profiles: Sequence[Profile], networks: Networks, time_s: Floats
) -> tuple[Prior, Solution]:
    """Return the prior that the times speak for, and the fit under it."""
    priors = [ignorant(networks, time_s), *(priors_of(profiles, networks) if profiles else [])]
    solutions = [solve(networks, time_s, prior) for prior in priors]
    default = 1 if len(profiles) == 1 else 0
    odds = [s.evidence + _STRONG * (i == default) for i, s in enumerate(solutions)]
    best = int(np.argmax(odds))
    return priors[best], solutions[best]


def _notes(networks: Networks, about: Prior, profiles: Sequence[Profile]) -> list[str]:
    notes = [
        "fitted to totals of whole networks: what a single launch costs is known less well, and "
        "kinds that no network has follow the others' rates, with an interval twice as wide"
    ]
    if profiles and not about.sources:
        notes.append("no prior was used: the times are better explained without")
    elif len(profiles) > len(about.sources):
        notes.append(f"of {len(profiles)} priors the times speak for {about.sources[0]}")
    if len(networks) < 5:  # noqa: PLR2004
        notes.append(f"{len(networks)} networks tell little; ten are a start")
    return notes


def _outliers(networks: Networks, time_s: Floats, expected_s: Floats, rows: Any) -> list[Outlier]:
    return [
        Outlier(row + 1, networks.names[row], float(time_s[row]), float(expected_s[row]))
        for row in rows.tolist()
    ]


def _tested(
    profile: Profile, networks: Networks, time_s: ArrayLike, sigma: float
) -> tuple[Errors, list[Outlier]]:
    times = checks.check_times(time_s, len(networks))
    predicted, low, high = priced(profile, networks)
    good = checks.usable(times)
    residuals = np.log(times, where=good, out=np.full(len(times), np.inf)) - np.log(predicted)
    good &= ~checks.far_off(residuals, sigma, tested=True)
    covered = (low <= times) & (times <= high)
    expected = np.where(checks.usable(times), predicted, np.nan)
    outliers = _outliers(networks, times, expected, np.flatnonzero(~good))
    return errors_of(predicted[good], times[good], covered[good]), outliers
