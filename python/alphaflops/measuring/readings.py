"""Readings of one thing, and the median or mode they give, with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["Reading", "Sample", "Summary", "interval_ranks", "summarise"]

#: Coverage that the interval of a median has at least, where there are five readings or more.
LEVEL = 0.90
#: A median is settled once its interval reaches no further than this share to either side, ...
SETTLED = 0.01
#: ... and called unstable, once time is up, where it reaches further than this.
UNSTABLE = 0.05
MIN_SAMPLES = 3  # clean readings without which disturbed ones count as well
_APART = 1.25  # a median that is so far above the mode lies among other readings
SETTLED_SAMPLES = 5  # below, no interval of LEVEL exists


class Sample(Protocol):
    """What a backend says of a few calls that it timed."""

    @property
    def time_s(self) -> float:
        """Of a call: the mean, or what the backend holds to be typical."""

    @property
    def iterations(self) -> int:
        """How many calls."""

    @property
    def wall_s(self) -> float:
        """With everything around them."""

    @property
    def steal_s(self) -> float:
        """What a hypervisor gave to others meanwhile."""

    @property
    def switches(self) -> int:
        """How often the scheduler took the processor away."""

    @property
    def clock_hz(self) -> float:
        """Of the processor, right after."""

    @property
    def reorder_s(self) -> float:
        """The part of time_s that changed the layout."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One sample: seconds a call, and what disturbed it."""

    time_s: float
    iterations: int = 1
    steal_s: float = 0.0
    switches: int = 0
    clock_hz: float = math.nan
    at: float = 0.0  # seconds since the epoch
    reorder_s: float = 0.0  # the part of time_s that changed the layout

    @classmethod
    def of(cls, sample: Sample, at: float) -> Reading:
        """Take over what a sample says."""
        s = sample
        return cls(
            s.time_s, s.iterations, s.steal_s, s.switches, s.clock_hz, at, reorder_s=s.reorder_s
        )

    @property
    def is_clean(self) -> bool:
        """Whether neither hypervisor nor scheduler took the processor away meanwhile."""
        return self.steal_s <= 0 and self.switches == 0


@dataclass(frozen=True, slots=True)
class Summary:
    """Median or mode of the clean readings, of all where fewer than three are clean."""

    time_s: float
    time_lo_s: float
    time_hi_s: float
    samples: int  # that count in the median
    steal_s: float  # of all readings together
    clock_hz: float

    @property
    def spread(self) -> float:
        """How far the interval reaches from the median, as a share of it."""
        return max(self.time_hi_s - self.time_s, self.time_s - self.time_lo_s) / self.time_s

    @property
    def is_settled(self) -> bool:
        """Whether more readings would hardly move the median."""
        return self.samples >= SETTLED_SAMPLES and self.spread <= SETTLED

    @property
    def is_unstable(self) -> bool:
        """Whether the median is not to be trusted to a few per cent."""
        return self.samples < SETTLED_SAMPLES or self.spread > UNSTABLE


@cache
def interval_ranks(n: int, quantile: float = 0.5) -> tuple[int, int]:
    """Ranks (from 0) of order statistics that hold the quantile at LEVEL, the same on both sides.

    The k-th and l-th smallest of n readings hold it with probability P(k <= Binomial(n, quantile)
    < l), whatever the distribution. With fewer readings than an end needs, the smallest or the
    largest.
    """
    if n > _EXACT:
        reach = _QUANTILE * math.sqrt(n * quantile * (1 - quantile))
        return max(0, int(n * quantile - reach) - 1), min(n - 1, math.ceil(n * quantile + reach))
    return _rank_below(n, quantile), n - 1 - _rank_below(n, 1 - quantile)


def _rank_below(n: int, quantile: float) -> int:
    """Return the highest rank above the quantile with at most half of what LEVEL leaves."""
    k, below = 0, 0.0  # P(Binomial <= k)
    for k in range(n):
        below += math.comb(n, k) * quantile**k * (1 - quantile) ** (n - k)
        if 2 * below > 1 - LEVEL:
            break
    return max(0, k - 1)


_EXACT = 100  # readings beyond which the binomial is as good as normal
_QUANTILE = 1.6449  # of the normal, two-sided at LEVEL


def summarise(readings: Sequence[Reading], *, by_mode: bool = False) -> Summary:
    """Reduce readings, at least one, to their median and its interval.

    With `by_mode`, where the median is far above it, to where they lie closest: the middle of the
    shortest third of them.
    """
    clean = [r for r in readings if r.is_clean]
    used = clean if len(clean) >= MIN_SAMPLES else list(readings)
    times: npt.NDArray[np.float64] = np.sort([r.time_s for r in used])
    rank = (len(times) - 1) / 2
    if by_mode:
        within = len(times) // 3
        first = int(np.argmin(times[within:] - times[: len(times) - within]))
        if np.median(times) > _APART * np.median(times[first : first + within + 1]):
            rank = first + within / 2
    low, high = interval_ranks(len(times), (rank + 0.5) / len(times))
    return Summary(
        time_s=float((times[math.floor(rank)] + times[math.ceil(rank)]) / 2),
        time_lo_s=float(times[low]),
        time_hi_s=float(times[high]),
        samples=len(used),
        steal_s=sum(r.steal_s for r in readings),
        clock_hz=float(np.median([r.clock_hz for r in used])),
    )
