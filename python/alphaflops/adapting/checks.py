"""What is wrong with whole-network times, said by name."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alphaflops.adapting.networks import Floats, Networks
from alphaflops.errors import TableError

_MOST_MACS_PER_S = 5e15  # beyond any device
_LEAST_MACS_PER_S = 1e5  # an 8-bit microcontroller does more
_LEAST_LAUNCH_S = 5e-7
_SLOW_MACS_PER_S = 1e7
_CONTRADICTION = 1.5  # ratio of two times of one network
_FAR_SIGMAS = 8.0  # of a fit; normal noise never gets there
_FAR_FITTED = np.log(1.5)
_FAR_TESTED = np.log(3.0)
_THOUSAND = (700.0, 1400.0)


class Outlier(NamedTuple):
    """A time that cannot be right: of which row (the first is 1), and why."""

    row: int
    network: str
    measured_s: float
    expected_s: float  # NaN where the measurement is no time at all

    def __str__(self) -> str:
        where = f"row {self.row}, {self.network}: {self.measured_s:.4g} s"
        if np.isnan(self.expected_s):
            return f"{where} is no time"
        factor = self.measured_s / self.expected_s
        text = f"{where}, where the others say {self.expected_s:.3g} s"
        for ratio, said in ((factor, "times too long"), (1 / factor, "times too short")):
            if _THOUSAND[0] < ratio < _THOUSAND[1]:
                return f"{text}: about 1000 {said}; is its unit another?"
        return text


def check_times(time_s: ArrayLike, networks: int) -> Floats:
    """Return times [networks] as they are; NaN and what is not positive are left to `unusable`.

    Raises
    ------
    TableError
        The times are not numbers, or not as many as the networks; or none is usable.
    """
    try:
        times = np.asarray(time_s, dtype=float)
    except (TypeError, ValueError) as e:
        raise TableError(f"times must be numbers, in seconds: {e}") from e
    if times.shape != (networks,):
        raise TableError(
            f"there are {networks} networks and times of shape {list(times.shape)}; give one time "
            "in seconds for each network"
        )
    if not usable(times).any():
        raise TableError(f"none of {networks} times is positive and finite; give seconds")
    return times


def usable(time_s: Floats) -> NDArray[np.bool_]:
    """Tell which times are times."""
    with np.errstate(invalid="ignore"):
        return np.isfinite(time_s) & (time_s > 0)


def units(networks: Networks, time_s: Floats) -> list[str]:
    """Return a note where the times are plausible in another unit than seconds only.

    Raises
    ------
    TableError
        They imply a speed that no device has.
    """
    macs = networks.counts @ networks.work.macs
    speed = float(np.median(macs / time_s))
    launch_s = float(np.median(time_s / networks.counts.sum(axis=1)))
    said = f"the times imply {speed:.2g} MACs a second and {launch_s:.2g} s a launch"
    if speed > _MOST_MACS_PER_S:
        raise TableError(f"{said}, more than any device does; are they in seconds?")
    if 0 < speed < _LEAST_MACS_PER_S:
        raise TableError(
            f"{said}, less than any device does; give seconds, not milliseconds or microseconds"
        )
    if launch_s < _LEAST_LAUNCH_S:
        return [f"{said}, faster than devices launch; are they 1000 times too short?"]
    if 0 < speed < _SLOW_MACS_PER_S:
        return [f"{said}, slower than most devices; are they milliseconds, not seconds?"]
    return []


def contradictions(networks: Networks, time_s: Floats) -> list[str]:
    """Return a note for each network that was timed more than once with times far apart."""
    _, which = np.unique(networks.counts, axis=0, return_inverse=True)
    notes = []
    for same in range(int(which.max()) + 1):
        rows = np.flatnonzero(which.ravel() == same)
        low, high = time_s[rows].min(), time_s[rows].max()
        if high > _CONTRADICTION * low:
            notes.append(
                f"{networks.names[rows[0]]} was timed {len(rows)} times, from {low:.4g} to "
                f"{high:.4g} s; all are kept, and the fit trusts those that agree with the rest"
            )
    return notes


def far_off(residuals: Floats, sigma: float, *, tested: bool = False) -> NDArray[np.bool_]:
    """Tell which ln(measured / predicted) no noise explains; more leniently of networks tested."""
    least = _FAR_TESTED if tested else _FAR_FITTED
    far: NDArray[np.bool_] = np.abs(residuals) > max(_FAR_SIGMAS * sigma, least)
    return far
