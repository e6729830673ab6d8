"""Whether a bench repeats, and whether a comparison calls what there is and nothing else.

    python benchmarks/repeat.py [--pairs 5] [--budget 20] [--processes 3] [--busy] [--delay 0.05]

The same 40 shapes are benched again and again, each time in new processes, every second time with
every timed call lengthened by the delay. Pairs without a delay say how well figures agree, and how
often a change is called where there is none; pairs with one say how often it is called SLOWER. With
--busy a process multiplies matrices on another processor all the while.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when NumPy loads; one processor busy, not all

import argparse
import itertools
import json
import multiprocessing
from pathlib import Path

import numpy as np

from alphaflops import zoo
from alphaflops.measuring.bench import bench
from alphaflops.measuring.cases import Case, cases_of_graph
from alphaflops.measuring.compare import VERDICTS, compare_benches
from alphaflops.measuring.device import describe_device
from alphaflops.measuring.sampler import CACHES


def shapes(n: int) -> list[Case]:
    """Take layers of every kind from three networks, evenly."""
    networks = ("resnet50", "mobilenet_v2", "densenet121")
    found = {case.label: case for name in networks for case in cases_of_graph(zoo.build(name))}
    cases = list(found.values())
    return [cases[i] for i in np.linspace(0, len(cases) - 1, n).astype(int)]


def keep_busy() -> None:
    """Multiply matrices until killed."""
    a = np.random.default_rng(0).random((256, 256))
    while True:
        a @ a


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--budget", type=float, default=20.0)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--shapes", type=int, default=40)
    parser.add_argument("--delay", type=float, default=0.05)
    parser.add_argument("--busy", action="store_true")
    parser.add_argument("--keep", type=Path, help="a folder for every bench, raw samples included")
    options = parser.parse_args()
    cases = shapes(options.shapes)
    device = describe_device(None)
    print(
        f"device: {device['name']}, {device['isa']}; {len(cases)} shapes hot and cold, "
        f"{options.budget:g} s in {options.processes} processes a run, "
        f"another process {'busy' if options.busy else 'not started'}; "
        f"load {os.getloadavg()[0]:.1f}"
    )
    busy = multiprocessing.get_context("spawn").Process(target=keep_busy, daemon=True)
    if options.busy:
        busy.start()
    # One choice for all runs: two algorithms that are close are not what is asked about.
    first = bench(cases, budget_s=options.budget)
    chosen = {p["name"] + p["label"]: p["algorithm"] for p in first["points"]}
    algorithms = [chosen.get(case.name + case.label, "direct") for case in cases]
    plain, delayed = [], []
    for _ in range(options.pairs + 1):
        for runs, delay in ((plain, 0.0), (delayed, options.delay)):
            runs.append(
                bench(
                    cases,
                    algorithm=algorithms,
                    budget_s=options.budget,
                    processes=options.processes,
                    delay=delay,
                )
            )
            if options.keep:
                options.keep.mkdir(parents=True, exist_ok=True)
                name = f"{'delayed' if delay else 'plain'}_{len(runs)}.json"
                (options.keep / name).write_text(json.dumps(runs[-1]))
        print(f"  {len(plain)} of {options.pairs + 1}; load {os.getloadavg()[0]:.1f}", flush=True)
    if options.busy:
        busy.terminate()

    same = [compare_benches(a, b) for a, b in itertools.pairwise(plain)]
    slower = [compare_benches(a, b) for a, b in zip(plain, delayed, strict=True)]
    for what, results in (
        ("nothing changed", same),
        (f"{options.delay:+.0%} injected", slower),
    ):
        points = [p for result in results for p in result["points"]]
        print(f"{what}: {len(points)} points")
        for cache in CACHES:
            own = [p for p in points if p["cache"] == cache]
            moved = np.abs([p["ratio"] - 1 for p in own])
            shares = ", ".join(
                f"{v} {sum(p['verdict'] == v for p in own) / len(own):.1%}" for v in VERDICTS
            )
            print(
                f"  {cache:<4} {shares}; floors within 3 %: {np.mean(moved < 0.03):.1%}, "
                f"median ratio {np.median([p['ratio'] for p in own]):.4f}"
            )
    for cache in CACHES:
        times = np.array([[p[cache]["time_s"] for p in run["points"]] for run in plain])
        moved = np.abs(times[1:] / times[:-1] - 1)
        print(f"medians, {cache}: within 3 %: {np.mean(moved < 0.03):.1%}")


if __name__ == "__main__":
    main()
