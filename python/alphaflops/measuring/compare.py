"""Two saved benches, point by point: SAME, FASTER, SLOWER or UNCLEAR.

The ratio is that of the floors (points.py). Its interval has three parts, added in quadrature:

- within a run, the bootstrap of each floor,
- between processes, half of what the lowest floors of two processes differ by, where there are any,
- between runs, what remains: the drift of the control that both runs probed between their samples,
  and the scatter of the points about their common ratio, by its median absolute deviation, of hot
  and of cold points.

A difference is called where the ratio is beyond the smallest effect of interest, the interval does
not hold 1, and, for SAME, where the interval stays within twice that effect.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from alphaflops.errors import ShapeError, TableError
from alphaflops.measuring.points import FLOOR_QUANTILE, floor_of
from alphaflops.measuring.readings import MIN_SAMPLES
from alphaflops.measuring.sampler import CACHES

__all__ = ["VERDICTS", "compare_benches"]

VERDICTS = ("SAME", "FASTER", "SLOWER", "UNCLEAR")
LEVEL_Z = 2.576
_BASE = 0.004  # of a floor, between runs of the same program on an idle machine
_BOOTSTRAPS = 200
_FEW = 5  # points, below which their scatter says nothing


def compare_benches(
    a: dict[str, Any], b: dict[str, Any], *, least_effect: float = 0.025
) -> dict[str, Any]:
    """Hold bench `b` against bench `a`.

    Parameters
    ----------
    least_effect
        The smallest change that is called FASTER or SLOWER, as a share.

    Returns
    -------
    dict
        ``points``: of each shape in both, hot and cold, ``verdict``, ``ratio`` (time of b / time of
        a), ``ratio_lo``, ``ratio_hi`` (99 %); ``counts`` of the verdicts; ``common_ratio`` (the
        median), ``control_ratio``, ``only_a``, ``only_b``.

    Raises
    ------
    TableError
        The benches have no shape in common, with the same dtype, threads and layout.
    """
    if not (math.isfinite(least_effect) and 0 < least_effect < 1):
        raise ShapeError(
            f"least_effect is {least_effect}; it must be a share between 0 and 1: 0.05 is 5 %"
        )
    ours, theirs = _by_key(a), _by_key(b)
    keys = [(key, cache) for key in ours if key in theirs for cache in CACHES]
    if not keys:
        raise TableError(
            "the two benches have no shape in common (same shape, dtype, threads and layout)"
        )
    random = np.random.default_rng(0)
    logs, within = np.empty(len(keys)), np.empty(len(keys))
    for i, (key, cache) in enumerate(keys):
        floor_a, sd_a = _floor(ours[key][cache]["samples"], random)
        floor_b, sd_b = _floor(theirs[key][cache]["samples"], random)
        logs[i], within[i] = math.log(floor_b / floor_a), math.hypot(sd_a, sd_b)

    common = float(np.median(logs))
    control = a["controls"]["flops_per_s"] / b["controls"]["flops_per_s"]
    drift = math.hypot(_BASE, math.log(control) / LEVEL_Z)
    between = {}
    for cache in CACHES:
        own = np.array([c == cache for _, c in keys])
        between[cache] = math.hypot(drift, _scatter(logs[own], within[own]))
    points = []
    for i, (key, cache) in enumerate(keys):
        half = LEVEL_Z * math.hypot(float(within[i]), between[cache])
        low, ratio, high = (math.exp(float(logs[i]) + x) for x in (-half, 0.0, half))
        point = ours[key]
        points.append(
            {
                "name": point["name"],
                "label": _described(point),
                "dtype": point["dtype"],
                "threads": point["threads"],
                "algorithm": [point["algorithm"], theirs[key]["algorithm"]],
                "cache": cache,
                "verdict": _verdict(low, ratio, high, least_effect),
                "ratio": ratio,
                "ratio_lo": low,
                "ratio_hi": high,
                "time_s": [ours[key][cache]["floor_s"], theirs[key][cache]["floor_s"]],
            }
        )
    return {
        "points": points,
        "counts": {v: sum(p["verdict"] == v for p in points) for v in VERDICTS},
        "least_effect": least_effect,
        "common_ratio": math.exp(common),
        "control_ratio": control,
        "only_a": [_described(p) for key, p in ours.items() if key not in theirs],
        "only_b": [_described(p) for key, p in theirs.items() if key not in ours],
    }


def _scatter(logs: npt.NDArray[np.float64], within: npt.NDArray[np.float64]) -> float:
    """Return what points scatter about their common ratio beyond what each explains by itself."""
    if len(logs) < _FEW:
        return 0.0
    scatter = 1.4826 * float(np.median(np.abs(logs - np.median(logs))))
    return math.sqrt(max(0.0, scatter**2 - float(np.median(within)) ** 2))


def _described(point: dict[str, Any]) -> str:
    parts = [point["label"]]
    parts += [] if point["dtype"] == "fp32" else [point["dtype"]]
    parts += [] if point["threads"] == 1 else [f"{point['threads']} threads"]
    parts += [] if point.get("layout", "nhwc") == "nhwc" else [point["layout"]]
    return ", ".join(parts)


def _by_key(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        json.dumps(
            [p["op"], p["shape"], p["dtype"], p["threads"], p.get("layout", "nhwc")],
            sort_keys=True,
        ): p
        for p in document["points"]
    }


def _clean(samples: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
    clean = [s for s in samples if s[2] <= 0 and s[3] == 0]
    return clean if len(clean) >= MIN_SAMPLES else list(samples)


def _floor(samples: Sequence[Sequence[Any]], random: np.random.Generator) -> tuple[float, float]:
    """Return the floor of all samples and the standard deviation of its logarithm."""
    used = _clean(samples)
    times: npt.NDArray[np.float64] = np.array([s[0] for s in used])
    floor = floor_of(times)
    n = len(times)
    if n < MIN_SAMPLES:
        return floor, math.inf
    # np.quantile along an axis is ten times slower.
    drawn = np.sort(times)[np.sort(random.integers(0, n, (_BOOTSTRAPS, n)), axis=1)]
    rank, part = divmod(FLOOR_QUANTILE * (n - 1), 1.0)
    picks = drawn[:, int(rank)] * (1 - part) + drawn[:, int(rank) + 1] * part
    sd = float(np.std(np.log(np.maximum(picks, 1e-12) / floor)))
    floors = sorted(
        math.log(floor_of(np.array(own)) / floor)
        for process in {s[6] for s in used}
        if len(own := [s[0] for s in used if s[6] == process]) >= MIN_SAMPLES
    )
    if len(floors) > 1:
        # Two that agree have found it; a third that was disturbed throughout says nothing.
        sd = math.hypot(sd, (floors[1] - floors[0]) / 2)
    return floor, sd


def _verdict(low: float, ratio: float, high: float, effect: float) -> str:
    if ratio > 1 + effect and low > 1:
        return "SLOWER"
    if ratio < 1 / (1 + effect) and high < 1:
        return "FASTER"
    if 1 / (1 + 2 * effect) < low and high < 1 + 2 * effect:
        return "SAME"
    return "UNCLEAR"
