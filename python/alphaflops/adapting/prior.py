"""What is believed of a device before its networks were timed.

Every launch is priced by the form roofline-alpha (docs/model.md). Its parameters, of all kinds
together, are phi: the logarithms of rates, floors and half extents, the logit of the sharpness that
all kinds share, and the logarithm of what a run costs beyond its launches. A prior is

    phi = mean + spread @ theta,    theta ~ N(0, 1) independently

where the columns of `spread` say what varies together: one column moves every floor, one every
price of a byte; further columns move those of one kind. Ten networks can tell the shared ones, and
pull the others no further than they have reason to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from alphaflops.adapting.networks import Floats, Networks
from alphaflops.fitting.forms import MOST_SHARPNESS, MOVING, WEIGHTED, rows_of

KINDS = (*WEIGHTED, *(kind for kind in MOVING if kind != "reduce"))

#: Of every kind, in the order of phi.
PARAMETERS = (
    "seconds_per_mac",
    "half_rows",
    "half_c_out",
    "half_depth",
    "seconds_per_weight_byte",
    "seconds_per_byte_read",
    "seconds_per_byte_written",
    "floor_s",
)
_MAC, _ROWS, _C_OUT, _DEPTH, _WEIGHT, _READ, _WRITTEN, _FLOOR = range(len(PARAMETERS))
SHARPNESS = len(KINDS) * len(PARAMETERS)  # where its logit stands in phi
OVERHEAD = SHARPNESS + 1
SIZE = OVERHEAD + 1

#: Where phi holds prices: what a device twice as slow has twice as much of.
PRICES = [
    *(
        kind * len(PARAMETERS) + p
        for kind in range(len(KINDS))
        for p in (_MAC, _WEIGHT, _READ, _WRITTEN, _FLOOR)
    ),
    OVERHEAD,
]

# Extents that halve the rate, where nothing better is known: a vector or a tile begins to fill.
_HALVES = {_ROWS: 5.0, _C_OUT: 2.0, _DEPTH: 6.0}


@dataclass(frozen=True)
class Spreads:
    """Standard deviations in the logarithm: 1 is a factor of e."""

    shared: float = 4.0  # floors, MACs and bytes, each of all kinds together
    weights: float = 1.0  # bytes of weights against others
    kind: float = 1.5  # one kind's floor, MAC or byte against the other kinds'
    direction: float = 1.0  # bytes read against bytes written
    halves: float = 3.0
    sharpness: float = 3.0  # in the logit
    overhead: float = 3.0


@dataclass(frozen=True)
class Prior:
    """Mean [SIZE] and spread [SIZE, latents] of phi."""

    mean: Floats
    spread: Floats
    shapes: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # beta, gamma by kind
    sources: tuple[str, ...] = ()  # names of the profiles it comes from


def at(kind: int, parameter: int) -> int:
    """Return where a kind's parameter stands in phi."""
    return kind * len(PARAMETERS) + parameter


def sharpness_of(logit: Floats) -> Floats:
    """Return p, from 1 to 8."""
    p: Floats = 1 + (MOST_SHARPNESS - 1) / (1 + np.exp(-np.clip(logit, -30, 30)))
    return p


def ignorant(networks: Networks, time_s: Floats) -> Prior:
    """Return the prior without a profile: floors, MACs and bytes each cost a third of the time."""
    rows, counts = rows_of(networks.work), networks.counts
    third = np.median(time_s) / 3
    price = {
        _FLOOR: third / counts.sum(axis=1).mean(),
        _MAC: third / max(1.0, float((counts @ rows.macs).mean())),
        **_HALVES,
    }
    byte = third / (counts @ (rows.bytes_read + rows.bytes_written)).mean()
    price |= {_WEIGHT: byte, _READ: byte, _WRITTEN: byte}
    one_kind = [np.log(price[parameter]) for parameter in range(len(PARAMETERS))]
    mean = np.array([*one_kind * len(KINDS), -1.0, np.log(0.3 * third)])  # p of about 3
    return Prior(mean, spread_of(Spreads()))


def spread_of(sd: Spreads) -> Floats:
    """Return what varies together, a column each."""
    everyone = range(len(KINDS))
    multiplying = range(len(WEIGHTED))
    columns: list[Floats] = []

    def vary(sd: float, kinds: Sequence[int], *parameters: int) -> None:
        column = np.zeros(SIZE)
        column[[at(kind, parameter) for kind in kinds for parameter in parameters]] = sd
        columns.append(column)

    vary(sd.shared, everyone, _FLOOR)
    vary(sd.shared, everyone, _MAC)
    vary(sd.shared, everyone, _WEIGHT, _READ, _WRITTEN)
    vary(sd.weights, multiplying, _WEIGHT)
    for parameter in _HALVES:
        vary(sd.halves, everyone, parameter)
    for kind in everyone:
        vary(sd.kind, [kind], _FLOOR)
        if kind in multiplying:
            vary(sd.kind, [kind], _MAC)
            vary(sd.kind, [kind], _WEIGHT)
            vary(sd.kind, [kind], _READ, _WRITTEN)
            vary(sd.direction, [kind], _READ)
            for parameter in _HALVES:
                vary(sd.halves, [kind], parameter)
        else:  # reads its few weights as it reads all else
            vary(sd.kind, [kind], _WEIGHT, _READ, _WRITTEN)
            vary(sd.direction, [kind], _WEIGHT, _READ)
    for where, by in ((SHARPNESS, sd.sharpness), (OVERHEAD, sd.overhead)):
        column = np.zeros(SIZE)
        column[where] = by
        columns.append(column)
    return np.stack(columns, axis=1)
