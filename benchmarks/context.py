"""Whether operators timed one by one add up to the network they come from.

    python benchmarks/context.py [--rounds 11] [--cache context|hot] [NETWORK ...]

For every row of a network's work table, a bench of that row beside the same row inside the running
network, in turns; medians. The ratio of the sums is what a sum of perfect layer predictions would
err by.
"""

from __future__ import annotations

import argparse

import numpy as np

from alphaflops import _core, zoo
from alphaflops.measuring.device import describe_device, pinned


def compare(name: str, rounds: int, cache: str) -> None:
    graph = zoo.build(name)
    executor = _core.Executor(graph)
    workbench = _core.Workbench()
    rows = len(executor.work)
    benches = [_core.Bench(graph, workbench, cache=cache, row=row) for row in range(rows)]
    iterations = [_core.Bench.iterations_for(bench.warm_up()) for bench in benches]
    executor.run()
    order = np.random.default_rng(0)
    inside, whole, alone = [], [], []
    for _ in range(rounds):
        times = np.zeros(rows)
        for row in order.permutation(rows).tolist():
            times[row] = benches[row].sample(iterations[row]).time_s
        alone.append(times)
        for _ in range(3):
            inside.append(executor.run_timed())
            whole.append(_core.sample_network(executor, 1).time_s)
    rows_s, benches_s = np.median(inside, axis=0), np.median(alone, axis=0)
    network_s = float(np.median(whole))
    print(
        f"{name:<14} network {network_s * 1e3:8.2f} ms; its rows {rows_s.sum() / network_s:.2f}, "
        f"benches {benches_s.sum() / network_s:.2f} of it"
    )
    for kind in np.unique(executor.work.kind):
        own = executor.work.kind == kind
        print(
            f"    {_core.KINDS[kind]:<14} {own.sum():4d} rows, {rows_s[own].sum() * 1e3:8.3f} ms, "
            f"benches {benches_s[own].sum() / rows_s[own].sum():.2f} of it",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", metavar="NETWORK", default=zoo.REFERENCE)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--cache", choices=["context", "hot"], default="context")
    options = parser.parse_args()
    device = describe_device(None)
    print(f"device: {device['name']}, {device['isa']}; cache: {options.cache}")
    with pinned():
        for name in options.networks:
            compare(name, options.rounds, options.cache)


if __name__ == "__main__":
    main()
