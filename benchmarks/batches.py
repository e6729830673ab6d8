"""Networks in batches on a processor, predicted beside measured, after one calibration.

    python benchmarks/batches.py [--backend native] [--threads 1] [--layout nchw] [--budget 60]

The calibration is fitted twice: as it is, and without its rows of large batches, which is what
calibrations of single images were. Then networks run at each batch, and errors of both are shown,
at the calibration's speed.
"""

from __future__ import annotations

import argparse

import numpy as np

import alphaflops as af
from alphaflops import zoo
from alphaflops.measuring.backends import Backend, named
from alphaflops.measuring.batches import with_large
from alphaflops.measuring.control import Slowdown
from alphaflops.measuring.reuse import with_reuse
from alphaflops.measuring.validation import validate
from alphaflops.scenarios.calibrate import POINTS

NETWORKS = (*zoo.REFERENCE, "efficientnet_b0", "squeezenet1_0", "mobilenet_v3_large")
BATCHES = (1, 4, 8, 16)


def fits(runs: Backend, budget_s: float, seed: int) -> tuple[af.Profile, af.Profile]:
    """Return the profile of all rows, and that of single images alone."""
    small = af.sample_shapes(POINTS[runs.mode], seed=seed, mode=runs.mode)
    design = with_large(small, seed=seed)
    is_large = np.arange(len(design)) >= len(small)
    if runs.times_reuse:
        design = with_reuse(design)
        is_large = np.append(is_large, np.zeros(len(design) - len(is_large), bool))
    large = {row.tobytes() for row in design[is_large]}
    table = af.measure(design, backend=runs, budget_s=budget_s, seed=seed)
    names = list(design.dtype.names or ())
    again = np.array([row.tobytes() in large for row in table[names].astype(design.dtype)])
    print(f"{len(table)} of {len(design)} rows, {again.sum()} of them large")
    both = [af.fit(rows, seed=seed) for rows in (table, table[~again])]
    for fit, said in zip(both, ("all", "without large ones"), strict=True):
        print(f"  {said}: {fit.selected}, held-out MAPE {fit.errors.mape:.1%}")
    return both[0].profile, both[1].profile


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", default="native", choices=["native", "torch"])
    parser.add_argument("--threads", type=int, default=1, help="torch only")
    parser.add_argument("--layout", default="nchw", choices=["nchw", "channels_last"])
    parser.add_argument("--budget", type=float, default=60.0, help="seconds of the calibration")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    own = {"layout": options.layout, "threads": options.threads}
    runs = named(options.backend, **(own if options.backend == "torch" else {}))
    print(f"device: {runs.device()['name']}, {runs.device()['isa']}; {runs.provenance()}")
    profile, without = fits(runs, options.budget, options.seed)
    for batch in BATCHES:
        graphs = [zoo.build(name, batch=batch) for name in NETWORKS]
        rows = validate(graphs, profile, backend=runs, budget_s=2.0 * len(graphs))
        slowdown = Slowdown.of(rows)
        print(f"batch {batch}, operators take {slowdown} of their time")
        errors = []
        for row, graph in zip(rows, graphs, strict=True):
            before = af.estimate(graph, without).time_s / row["measured_s"] - 1
            errors.append([slowdown.without(e) for e in (before, row["error"])])
            print(
                f"  {row['name']:<19} {row['measured_s'] * 1e3:8.2f} ms  without "
                f"{errors[-1][0]:+6.1%}  with {errors[-1][1]:+6.1%}",
                flush=True,
            )
        mean = np.abs(errors).mean(axis=0)
        print(f"  mean of their sizes: without {mean[0]:.1%}, with {mean[1]:.1%}", flush=True)


if __name__ == "__main__":
    main()
