"""Whether measuring where the model is in doubt beats measuring at random, at equal budget.

    python benchmarks/adaptive.py [--pool 900] [--budget 240] [--rows 160] [--seeds 10]

A pool of shapes is measured once on this processor, with the native kernels. Then, seed by seed, a
third of it is set aside for testing, and models are fitted to as many rows of the rest: drawn at
random, and half at random with the other half chosen in three rounds where the model is in doubt.
What is compared is the MAPE of the rows set aside.
"""

from __future__ import annotations

import argparse

import numpy as np

import alphaflops as af
from alphaflops.fitting import evaluate
from alphaflops.measuring.adaptive import choose
from alphaflops.measuring.device import describe_device
from alphaflops.table import Table

ROUNDS = 3


def error(rows: Table, test: Table) -> float:
    return evaluate(af.fit(rows, form="hybrid"), test).mape


def adaptively(pool: Table, first: np.ndarray, n: int, seed: int) -> np.ndarray:
    taken = first
    for part in np.array_split(np.arange(n - len(first)), ROUNDS):
        rest = np.setdiff1d(np.arange(len(pool)), taken)
        found = choose(pool[taken], pool[rest], len(part), seed=seed)
        taken = np.concatenate([taken, rest[found]])
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pool", type=int, default=900)
    parser.add_argument("--budget", type=float, default=240.0)
    parser.add_argument("--rows", type=int, default=160)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--journal", help="keep the measurements here, and go on from them")
    options = parser.parse_args()
    device = describe_device(None)
    table = af.measure(
        af.sample_shapes(options.pool, seed=1), budget_s=options.budget, journal=options.journal
    )
    print(f"device: {device['name']}, {device['isa']}; {len(table)} shapes in {options.budget:g} s")
    ratios = []
    for seed in range(options.seeds):
        order = np.random.default_rng(seed).permutation(len(table))
        test, rest = table[order[: len(order) // 3]], table[order[len(order) // 3 :]]
        drawn = error(rest[: options.rows], test)
        first = np.arange(options.rows // 2)
        chosen = error(rest[adaptively(rest, first, options.rows, seed)], test)
        ratios.append(chosen / drawn)
        print(f"seed {seed}: random {drawn:.1%}, adaptive {chosen:.1%}, ratio {ratios[-1]:.2f}")
    low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    print(f"ratio: median {middle:.2f} [{low:.2f}, {high:.2f}], mean {np.mean(ratios):.2f}")


if __name__ == "__main__":
    main()
