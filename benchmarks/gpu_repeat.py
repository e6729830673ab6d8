"""Whether times on a GPU repeat, and whether five per cent more work is seen.

    python benchmarks/gpu_repeat.py [--shapes 60] [--budget 15] [--trials 4] [--json FILE]

The same shapes are measured twice, each time in a new process (A/A): how many medians agree within
2 %. Then each shape, as a CUDA graph of so many calls that it takes a millisecond, takes turns with
another of five per cent more: how many trials call it slower, whose median ratio of seven turns is
above 1.025, and how many call a graph slower that is the same. Exit status 1 where fewer than 95 %
of the shapes agree, or fewer than 95 % of the trials with more work are found.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import alphaflops as af
from alphaflops.cuda.driver import open_driver
from alphaflops.cuda.nvml import open_watch
from alphaflops.measuring.batches import in_batches
from alphaflops.measuring.cuda_backend import CudaBackend
from alphaflops.measuring.cuda_session import CudaSession
from alphaflops.measuring.sampling import sample_shapes
from alphaflops.measuring.shapes import graphs_of
from alphaflops.table import read_table, write_table

_WANTED = 0.95
_CALLED = 1.025
_TURNS = 7
_GRAPH_S = 1e-3
_LEAST_CALLS, _MOST_CALLS = 20, 200


def design(count: int, dtype: str) -> Any:
    """Return convolutions and linear layers in batches."""
    shapes = in_batches(sample_shapes(4 * count, seed=5), seed=5)
    shapes = shapes[np.isin(shapes["op"], ["conv2d", "linear"])][:count]
    shapes["dtype"] = dtype
    return shapes


def measured_twice(shapes: Any, options: argparse.Namespace) -> Any:
    """Return the times [2, n] of two processes, of shapes that both reached."""
    times: list[dict[int, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        for run in range(2):
            path = Path(folder) / f"{run}.csv"
            here = [sys.executable, __file__, "--once", str(path), "--seed", str(run)]
            more = [
                "--shapes",
                options.shapes,
                "--budget",
                options.budget,
                "--dtype",
                options.dtype,
            ]
            subprocess.run([*here, *map(str, more)], check=True)
            table = read_table(path, need_time=True)
            times.append(dict(zip(table["row"].tolist(), table["time_s"].tolist(), strict=True)))
    both = sorted(times[0].keys() & times[1].keys())
    return np.array([[taken[row] for row in both] for taken in times])


def once(options: argparse.Namespace) -> None:
    """Measure the design and write its times."""
    shapes = design(options.shapes, options.dtype)
    numbered = np.empty(len(shapes), [*shapes.dtype.descr, ("row", np.int64)])
    for name in shapes.dtype.names:
        numbered[name] = shapes[name]
    numbered["row"] = np.arange(len(shapes))
    backend = CudaBackend("hot")
    table = af.measure(numbered, backend=backend, budget_s=options.budget, seed=options.seed)
    write_table(table, options.once)


def called_slower(session: CudaSession, graph: Any, trials: int) -> tuple[int, int]:
    """Return in how many trials five per cent more was called slower, and in how many the same."""
    bench = session.bench(graph)
    call_s = bench.warm_up()
    driver = session.driver
    calls = 20 * math.ceil(max(_LEAST_CALLS, min(_MOST_CALLS, _GRAPH_S / call_s)) / 20)
    graphs = [driver.captured([bench._program], n) for n in (calls, calls, calls + calls // 20)]
    for each in graphs:
        driver.hot([each], 2)
    found = [0, 0]
    for _ in range(trials):
        taken = np.array([[driver.hot([each], 1) for each in graphs] for _ in range(_TURNS)])
        plain, same, more = np.median(taken, axis=0)
        found[0] += bool(more / plain > _CALLED)
        found[1] += bool(same / plain > _CALLED)
    return found[0], found[1]


def injected(shapes: Any, trials: int) -> tuple[int, int, int]:
    """Return trials, those that found more work, and those that found what was not there."""
    driver = open_driver()
    session = CudaSession(driver, open_watch(driver.info().pci_bus), "hot")
    graphs = graphs_of(shapes)
    found = np.array([called_slower(session, graph, trials) for graph in graphs])
    return trials * len(graphs), *map(int, found.sum(axis=0))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", type=int, default=60)
    parser.add_argument("--budget", type=float, default=15.0, help="seconds of each run")
    parser.add_argument("--trials", type=int, default=4, help="of each shape")
    parser.add_argument("--dtype", default="fp32")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--once", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once is not None:
        once(options)
        return 0
    first, second = measured_twice(design(options.shapes, options.dtype), options)
    moved = np.abs(second / first - 1)
    result: dict[str, Any] = {
        "shapes": len(moved),
        "within_2pct": float(np.mean(moved <= 0.02)),
        "median_moved": float(np.median(moved)),
        "most_moved": float(moved.max()),
    }
    print(
        f"A/A: {result['within_2pct']:.1%} of {len(moved)} shapes within 2 % (wanted "
        f"{_WANTED:.0%}), median {result['median_moved']:.2%}, at most {result['most_moved']:.1%}",
        flush=True,
    )
    trials, found, false = injected(design(options.shapes, options.dtype), options.trials)
    result |= {"trials": trials, "found": found / trials, "false": false / trials}
    print(
        f"+5 % work: found in {found / trials:.1%} of {trials} trials (wanted {_WANTED:.0%}); "
        f"called where there was none: {false / trials:.1%}"
    )
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1))
    return 0 if result["within_2pct"] >= _WANTED and result["found"] >= _WANTED else 1


if __name__ == "__main__":
    sys.exit(main())
