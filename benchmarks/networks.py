"""Whole networks, predicted beside measured, after a fresh calibration each time.

    python benchmarks/networks.py [--repetitions 5] [--budget 60] [--all]

Each repetition calibrates this processor with other shapes, fits, and holds the prediction of five
networks against the native executor; with --all, of every network of the zoo that it runs. `cold`
is the error of the price with weights from memory, as if others ran between two runs. Exit
status 1 where a repetition has fewer than four fifths of the networks within 15 %.
"""

from __future__ import annotations

import argparse
import math
import sys
from typing import Any

import numpy as np

from alphaflops import _core, zoo
from alphaflops.errors import UnsupportedError
from alphaflops.measuring.control import Slowdown
from alphaflops.measuring.device import describe_device
from alphaflops.measuring.validation import validate
from alphaflops.report import estimate
from alphaflops.scenarios.calibrate import calibrate

LIMIT = 0.15
NEEDED = 0.8


def runnable() -> list[_core.Graph]:
    """Return the zoo's networks, but for those with an operator that has no native kernel."""
    graphs = []
    for name in zoo.names():
        graph = zoo.build(name)
        try:
            _core.Executor(graph)
        except UnsupportedError as error:
            print(f"left out: {error}")
        else:
            graphs.append(graph)
    return graphs


def described(reuse: dict[str, Any]) -> str:
    """Return the share at each distance, and what else was found."""
    share = zip(reuse["distance_bytes"], reuse["share"], strict=True)
    rows = ", ".join(f"{kind} {half:.0f}" for kind, half in reuse["half_rows"].items())
    return (
        "share "
        + ", ".join(f"{each:.2f} at {distance / 2**20:g} MiB" for distance, each in share)
        + f"; kept for {reuse['keep_s'] * 1e3:.1f} ms; half_rows {rows}; median error "
        f"{reuse['mdape']:.1%} of {reuse['rows']} rows"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--budget", type=float, default=60.0, help="seconds a calibration")
    parser.add_argument("--seed", type=int, default=0, help="of the first repetition")
    parser.add_argument("--all", action="store_true", help="every network that has kernels")
    options = parser.parse_args()

    device = describe_device(None)
    print(f"device: {device['name']}, {device['isa']}")
    graphs = runnable() if options.all else [zoo.build(name) for name in zoo.REFERENCE]
    good = 0
    for repetition in range(options.repetitions):
        seed = options.seed + repetition
        fit = calibrate(name="this-cpu", budget_s=options.budget, seed=seed)
        error = fit.errors
        rows = validate(graphs, fit.profile, budget_s=4.0 * len(graphs))
        within = int(np.sum(np.abs(rows["error"]) <= LIMIT))
        good += within >= NEEDED * len(graphs)
        print(
            f"repetition {repetition + 1} (seed {seed}): form {fit.selected}, layers MAPE "
            f"{error.mape:.1%}, median {error.mdape:.1%}, n {error.n}; networks within "
            f"{LIMIT:.0%}: {within} of {len(rows)}"
        )
        slowdown = Slowdown.of(rows)
        print(f"  operators of the calibration take {slowdown} of their time")
        if reuse := fit.profile.data.get("weight_reuse"):
            print(f"  weights in a cache: {described(reuse)}")
        for row, graph in zip(rows, graphs, strict=True):
            cold_s = estimate(graph, fit.profile, reuse_bytes=math.inf).time_s
            print(
                f"  {row['name']:<14} predicted {row['predicted_s'] * 1e3:8.2f} ms  measured "
                f"{row['measured_s'] * 1e3:8.2f} ms [{row['measured_lo_s'] * 1e3:.2f}, "
                f"{row['measured_hi_s'] * 1e3:.2f}]  error {row['error']:+.1%} "
                f"(cold {cold_s / row['measured_s'] - 1:+.1%}, at the calibration's speed "
                f"{slowdown.without(row['error']):+.1%})",
                flush=True,
            )
    print(
        f"repetitions with {NEEDED:.0%} of the networks within {LIMIT:.0%}: {good} of "
        f"{options.repetitions}"
    )
    return 0 if good == options.repetitions else 1


if __name__ == "__main__":
    sys.exit(main())
