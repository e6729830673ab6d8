"""The tiled form: which algorithm runs, in tiles of which size, in how many waves.

The core evaluates (cpp/src/cost.cpp); here its parameters are searched for. Candidates of one
algorithm share floor and traffic; each has its own rate, depth overhead, start and share of whole
waves. The search is over logarithms, and over the logit of that share, with a weak pull towards a
start that the rows' own rates give. The soft minimum is sharpened step by step, so that a candidate
that starts out too dear still gets a chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from alphaflops._core import Launches, WorkTable
from alphaflops.fitting.evidence import Cache
from alphaflops.fitting.metrics import Floats
from alphaflops.fitting.search import Beyond, search, search_beyond, sigmoid


class Candidate(NamedTuple):
    """An algorithm with the tile that it works in."""

    algorithm: str
    tile_rows: int
    tile_columns: int


_GPU_GEMM = (
    *(Candidate("implicit_gemm", 128, n) for n in (32, 64, 128)),
    Candidate("implicit_gemm", 1, 32),  # products with a vector
)
_GPU_SPATIAL = (
    *_GPU_GEMM,
    *(Candidate("winograd4", m, n) for m, n in ((128, 64), (64, 64), (128, 32))),
    Candidate("winograd2_fused", 128, 32),
    Candidate("fft", 32, 64),
)
_CPU_GEMM = (Candidate("implicit_gemm", 8, 32), Candidate("implicit_gemm", 1, 16))
_CPU_SPATIAL = (*_CPU_GEMM, Candidate("row_gemm", 14, 32), Candidate("row_gemm", 6, 16))
_PRODUCTS = (*("conv_transposed", "conv_3d", "linear", "matmul", "attention", "recurrent", "lstm"),)
_CHANNELWISE = tuple(Candidate("channelwise", m, n) for m, n in ((8, 16), (1, 1)))

#: By the kind of processor, then by the kind of operator.
CANDIDATES: dict[str, dict[str, tuple[Candidate, ...]]] = {
    "gpu": {
        "conv_1x1": _GPU_GEMM,
        "conv_spatial": _GPU_SPATIAL,
        "conv_grouped": (*_CHANNELWISE, *_GPU_GEMM[:1]),
        **dict.fromkeys(_PRODUCTS, _GPU_GEMM),
    },
    "cpu": {
        "conv_1x1": _CPU_GEMM,
        "conv_spatial": _CPU_SPATIAL,
        "conv_grouped": (*_CHANNELWISE, *_CPU_GEMM[:1]),
        **dict.fromkeys(_PRODUCTS, _CPU_GEMM),
    },
}

#: Of convolutions of groups on a processor, where enough rows tell that their 1x1 ones go another
#: way: PyTorch multiplies group by group, and has a kernel for one channel a group.
_BY_GROUPS = (
    *(Candidate("depthwise", m, n) for m, n in ((8, 16), (1, 1))),
    Candidate("group_gemm", 8, 8),
    *(Candidate("implicit_gemm", 8, n) for n in (16, 8)),
)
_LEAST_POINTWISE = 8

_OWN = ("seconds_per_mac", "depth_overhead", "start_waves", "whole_waves")
_SHARED = (
    "floor_s",
    "seconds_per_byte_read",
    "seconds_per_byte_written",
    "seconds_per_weight_byte",
)
_SANE = (-80.0, 12.0)  # logarithms of parameters
_SCHEDULE = ((2, 25), (3, 25), (4, 50))  # doublings of the sharpness, most evaluations


def candidates_of(processor: str, kind: str, work: WorkTable) -> tuple[Candidate, ...]:
    """Return what may run, of the rows of a kind."""
    if processor == "cpu" and kind == "conv_grouped":
        pointwise = np.count_nonzero(work.kernel_volume == 1)
        if _LEAST_POINTWISE <= pointwise < len(work):
            return _BY_GROUPS
    return CANDIDATES[processor][kind]


@dataclass(frozen=True)
class TiledFit:
    """What a search found."""

    candidates: tuple[Candidate, ...]
    processors: float
    theta: Floats  # without a price of bytes beyond a cache
    cost: float
    beyond: Beyond | None = None  # with one, where the rows ask for it

    def parameters(self, *, biased: bool, padded: bool) -> dict[str, Any]:
        """Return the parameters as a profile has them.

        What bias and uneven padding cost is nothing where no row had them: nobody can tell.
        """
        layout = _Layout(self.candidates)
        theta = self.theta if self.beyond is None else self.beyond.found.theta[: layout.size]
        values = layout.values(theta[None])[0]
        own = values[:-2].reshape(len(self.candidates), -1)
        return {
            **({} if self.beyond is None else self.beyond.parameters),
            "processors": self.processors,
            "seconds_per_biased_byte": float(values[-2]) if biased else 0.0,
            "seconds_per_padded_byte": float(values[-1]) if padded else 0.0,
            "candidates": [
                candidate._asdict()
                | dict(zip((*_OWN, *_SHARED), (float(v) for v in row), strict=True))
                for candidate, row in zip(self.candidates, own, strict=True)
            ],
        }


class _Layout:
    """Where parameters stand in theta: own ones by candidate, then shared ones by algorithm."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self.candidates = tuple(candidates)
        algorithms = sorted({c.algorithm for c in candidates})
        self.family = np.array([algorithms.index(c.algorithm) for c in candidates])
        self.n, self.families = len(candidates), len(algorithms)
        self.size = 4 * self.n + 4 * self.families + 2

    def values(self, theta: Floats) -> Floats:
        """Return [sets, 8 n + 2] as the core takes them, of theta [sets, size]."""
        n, sets = self.n, len(theta)
        own = theta[:, : 4 * n].reshape(sets, 4, n)
        shared = theta[:, 4 * n : -2].reshape(sets, 4, self.families)[:, :, self.family]
        both = np.concatenate([own, shared], axis=1)
        values = np.exp(np.clip(both, *_SANE))
        values[:, 3] = sigmoid(both[:, 3])
        by_candidate = values.transpose(0, 2, 1).reshape(sets, -1)
        result: Floats = np.concatenate(
            [by_candidate, np.exp(np.clip(theta[:, -2:], *_SANE))], axis=1
        )
        return result


def fit_tiled(
    launches: Launches,
    log_time: Floats,
    bytes_moved: Floats,
    candidates: tuple[Candidate, ...],
    processors: float,
    *,
    cache: Cache | None = None,
    near: TiledFit | None = None,
    start: TiledFit | None = None,
) -> TiledFit:
    """Search for the parameters of one kind.

    Parameters
    ----------
    launches
        Rows [n] of the kind.
    log_time, bytes_moved
        ln seconds [n]; activations read and written [n].
    candidates, processors
        What may run, and on how many multiprocessors or threads.
    cache
        The device's, where it is known.
    near
        Another kind's fit, whose candidates are taken as the centre where they are the same.
    start
        A fit of most of the same rows, to begin from.
    """
    layout = _Layout(candidates)
    names = [c.algorithm for c in candidates]
    tiles = np.array([c[1:] for c in candidates], float)

    def log_seconds(theta: Floats, doublings: int) -> Floats:
        seconds = launches.tiled_s(names, tiles, processors, layout.values(theta), doublings)
        result: Floats = np.log(seconds)
        return result

    bandwidth = float(np.quantile(log_time - np.log(bytes_moved), 0.05))
    centre = _start(layout, launches, log_time, bandwidth, log_seconds)
    if near is not None:
        _take_over(centre, layout, near)
    stages = _SCHEDULE if start is None else _SCHEDULE[-1:]
    found = search(log_seconds, log_time, centre, stages, None if start is None else start.theta)
    beyond = search_beyond(
        log_seconds, log_time, centre, _SCHEDULE[-1], without=found, cache=cache,
        log_price=bandwidth, start=None if start is None else start.beyond,
    )  # fmt: skip
    cost = found.cost if beyond is None else beyond.found.cost
    return TiledFit(candidates, processors, found.theta, cost, beyond)


def _take_over(theta: Floats, layout: _Layout, near: TiledFit) -> None:
    """Write into theta what another kind's fit says of the same candidates."""
    other = _Layout(near.candidates)
    for k, candidate in enumerate(layout.candidates):
        if candidate in near.candidates:
            j = near.candidates.index(candidate)
            theta[k : 4 * layout.n : layout.n] = near.theta[j : 4 * other.n : other.n]
            mine = theta[4 * layout.n : -2].reshape(4, -1)
            mine[:, layout.family[k]] = near.theta[4 * other.n : -2].reshape(4, -1)[
                :, other.family[j]
            ]
    theta[-2:] = near.theta[-2:]


def _start(
    layout: _Layout, launches: Launches, log_time: Floats, bandwidth: float, log_seconds: Any
) -> Floats:
    """Return theta with all candidates alike: rates of the fastest rows, two thirds of a floor."""
    n, families = layout.n, layout.families
    own = np.repeat([0.0, np.log(8.0), np.log(0.5), -1.0], n)
    shared = np.repeat([-60.0, -60.0, -60.0, -60.0], families)
    bare = np.concatenate([own, shared, [-60.0, -60.0]])
    own[:n] = np.quantile(log_time - log_seconds(bare[None], 4)[0], 0.05)
    shared = np.repeat([float(log_time.min()) - 0.4, bandwidth, bandwidth, bandwidth], families)
    theta: Floats = np.concatenate([own, shared, [bandwidth, bandwidth]])
    return theta
