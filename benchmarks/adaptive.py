"""Whether measuring where the model is in doubt beats measuring at random, at equal budget.

    python benchmarks/adaptive.py [--pool 700] [--measuring 150] [--budgets 2 4 8] [--seeds 10]

A pool of shapes is measured once on this processor, with the native kernels. Then, seed by seed, a
third of it is set aside for testing, and models are fitted to rows of the rest, as many as a budget
pays for: drawn at random; and a third at random, the others chosen in two rounds where the model is
in doubt. What is compared is the MAPE of the rows set aside. Seconds are what `next_shapes` takes a
shape to need: 10 ms and 20 calls.
"""

from __future__ import annotations

import argparse

import numpy as np

import alphaflops as af
from alphaflops.fitting.forms import Rows, rows_of
from alphaflops.fitting.kinds import predict_rows
from alphaflops.fitting.rich import Facts
from alphaflops.fitting.solve import fit_forms, with_trees
from alphaflops.measuring.adaptive import choose, seconds_to_measure
from alphaflops.measuring.device import describe_device
from alphaflops.table import Table, work_table

ROUNDS = 2
CPU = Facts("cpu", 1.0)


def error(rows: Rows, time_s: np.ndarray, fitted: np.ndarray, test: np.ndarray) -> float:
    fits, _ = fit_forms(rows[fitted], time_s[fitted], facts=CPU)
    predicted_s = predict_rows(rows[test], with_trees(fits, rows[fitted], time_s[fitted], {}, 0))
    return float(np.nanmean(np.abs(predicted_s / time_s[test] - 1)))


def affordable(order: np.ndarray, cost_s: np.ndarray, budget_s: float) -> np.ndarray:
    return order[: int(np.searchsorted(np.cumsum(cost_s[order]), budget_s))]


def adaptively(table: Table, rest: np.ndarray, cost_s: np.ndarray, budget_s: float) -> np.ndarray:
    taken = affordable(rest, cost_s, budget_s / (ROUNDS + 1))
    for r in range(ROUNDS):
        left = np.setdiff1d(rest, taken)
        share_s = (budget_s - cost_s[taken].sum()) / (ROUNDS - r)
        found = choose(table[taken], table[left], share_s)
        taken = np.concatenate([taken, affordable(left[found], cost_s, share_s)])
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pool", type=int, default=700)
    parser.add_argument("--measuring", type=float, default=150.0, help="seconds for the pool")
    parser.add_argument("--budgets", type=float, nargs="+", default=[2.0, 4.0, 8.0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--journal", help="keep the measurements here, and go on from them")
    options = parser.parse_args()
    device = describe_device(None)
    table = af.measure(
        af.sample_shapes(options.pool, seed=1), budget_s=options.measuring, journal=options.journal
    )
    rows, time_s = rows_of(work_table(table)), table["time_s"]
    cost_s = seconds_to_measure(time_s)
    print(f"device: {device['name']}, {device['isa']}; a pool of {len(table)} shapes\n")
    print("| budget | rows, random | adaptive | MAPE, random | adaptive | ratio [quartiles] |")
    print("| --- | --- | --- | --- | --- | --- |")
    for budget_s in options.budgets:
        found = []
        for seed in range(options.seeds):
            order = np.random.default_rng(seed).permutation(len(table))
            test, rest = np.split(order, [len(order) // 3])
            drawn = affordable(rest, cost_s, budget_s)
            chosen = adaptively(table, rest, cost_s, budget_s)
            errors = [error(rows, time_s, taken, test) for taken in (drawn, chosen)]
            found.append([len(drawn), len(chosen), *errors, errors[1] / errors[0]])
        n_drawn, n_chosen, by_chance, by_choice, ratio = np.median(found, axis=0)
        low, high = np.quantile([each[-1] for each in found], [0.25, 0.75])
        print(
            f"| {budget_s:g} s | {n_drawn:.0f} | {n_chosen:.0f} | {by_chance:.1%} | "
            f"{by_choice:.1%} | {ratio:.2f} [{low:.2f}, {high:.2f}] |",
            flush=True,
        )


if __name__ == "__main__":
    main()
