"""Ray Data: a population spread over workers, priced batch by batch.

    python search_ray.py [--device quadro-t2000] [--codes 200000] [--workers 2]

Each worker compiles the space once, when it starts; only codes and costs travel. Needs ray[data].
"""

from __future__ import annotations

import argparse
import json
import os
from typing import Any

import numpy as np
import ray

import alphaflops as af


class Price:
    """A worker: the space, compiled."""

    def __init__(self, device: str) -> None:
        self.compiled = af.spaces.fbnet().compile(device)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Price a batch of codes [n, positions]."""
        times = self.compiled.evaluate(batch["data"])
        return {"time_s": times, "pid": np.full(len(times), os.getpid())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="quadro-t2000")
    parser.add_argument("--codes", type=int, default=200_000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()

    space = af.spaces.fbnet()
    codes = space.sample(options.codes, rng=0)
    ray.init(
        num_cpus=options.workers + 1,
        object_store_memory=128 << 20,
        include_dashboard=False,
        log_to_driver=False,
    )
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    context.wait_for_min_actors_s = 60  # or the first to be up would do all of so little work
    data = ray.data.from_numpy(np.array_split(codes, 4 * options.workers))
    priced = data.map_batches(
        Price,
        fn_constructor_args=(options.device,),
        compute=ray.data.ActorPoolStrategy(size=options.workers),
        batch_size=4096,
    )
    batches = list(priced.iter_batches(batch_format="numpy", batch_size=None))
    costs = np.concatenate([batch["time_s"] for batch in batches])
    pids = np.concatenate([batch["pid"] for batch in batches])
    ray.shutdown()
    direct = space.compile(options.device).evaluate(codes)
    print(
        json.dumps(
            {
                "equal": bool(np.array_equal(costs, direct)),
                "codes": len(costs),
                "workers": len(np.unique(pids)),
                "best": space.encode(codes[costs.argmin()]),
            }
        )
    )


if __name__ == "__main__":
    main()
