"""dask: a population spread over workers, priced block by block.

    python search_dask.py [--device quadro-t2000] [--codes 200000] [--workers 2]

Each worker compiles the space once, when it sees its first block; only codes and costs travel.
Needs dask[array,distributed].
"""

from __future__ import annotations

import argparse
import functools
import json
import os

import dask.array as da
import numpy as np
from dask.distributed import Client, LocalCluster
from numpy.typing import NDArray

import alphaflops as af


@functools.cache
def compiled(device: str) -> af.spaces.CompiledSpace:
    """Return the space compiled for a device, once a process."""
    return af.spaces.fbnet().compile(device)


def price(codes: NDArray[np.uint8], device: str) -> NDArray[np.float64]:
    """Price a block [n, positions]."""
    return compiled(device).evaluate(codes)


def pid_of(codes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Tell which process has a block."""
    return np.full(len(codes), os.getpid())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="quadro-t2000")
    parser.add_argument("--codes", type=int, default=200_000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()

    space = af.spaces.fbnet()
    codes = space.sample(options.codes, rng=0)
    cluster = LocalCluster(
        n_workers=options.workers, threads_per_worker=1, dashboard_address=None, protocol="tcp"
    )
    with cluster, Client(cluster):
        rows = -(-options.codes // (4 * options.workers))
        blocks = da.from_array(codes, chunks=(rows, space.positions))
        times = blocks.map_blocks(price, options.device, dtype=np.float64, drop_axis=1)
        pids = blocks.map_blocks(pid_of, dtype=np.int64, drop_axis=1)
        costs, where = da.compute(times, pids)
    direct = compiled(options.device).evaluate(codes)
    print(
        json.dumps(
            {
                "equal": bool(np.array_equal(costs, direct)),
                "codes": len(costs),
                "workers": len(np.unique(where)),
                "best": space.encode(codes[costs.argmin()]),
            }
        )
    )


if __name__ == "__main__":
    main()
