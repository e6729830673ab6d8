"""Print how well networks are predicted from the times of a few others.

    python benchmarks/few_shot.py [--data FOLDER] [--draws 20] [--family]

The data are 5,000 networks of the FBNet space on four devices: github.com/HayeonLee/HELP, MIT, as
fbnet_latency.csv with the column ``arch`` and one of seconds a device. The folder is --data, what
ALPHAFLOPS_DATA names, or ../shared/data beside the checkout.

For each device and draw, n networks are drawn at random, `adapt` sees them, and all others are
predicted. Beside it stand a non-negative fit of six summed quantities, weighted by 1/time, and the
noise floor: a free price for each of nine operators at each of 22 positions, fitted to 4,000
networks. What that does not explain, no sum over launches can. ``--family`` prints instead
what other devices' profiles, or the same device's, are worth as priors.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

from alphaflops import spaces
from alphaflops.adapting import adapt
from alphaflops.adapting.networks import Networks, networks_of
from alphaflops.adapting.validate import priced
from alphaflops.fitting.metrics import errors_of
from alphaflops.profiles import Profile

FILE = "fbnet_latency.csv"
Floats = np.ndarray[Any, np.dtype[np.float64]]
SPACE = spaces.fbnet()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("ALPHAFLOPS_DATA", beside))
    parser.add_argument("--data", type=Path, default=folder, help="folder of fbnet_latency.csv")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--family", action="store_true", help="with profiles as priors")
    options = parser.parse_args()
    path = options.data / FILE
    if not path.is_file():
        sys.exit(f"{path} is not there; --data names the folder that has it")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    codes = np.stack([SPACE.decode(row["arch"]) for row in rows])
    devices = {
        name.removesuffix("_s"): np.array([float(row[name]) for row in rows])
        for name in rows[0]
        if name.endswith("_s")
    }
    networks = networks_of((SPACE, codes), "fused")
    print("device       n  method      rank, mean  worst draw   MAPE  covers")
    if options.family:
        family(codes, devices, networks, options.draws)
        return
    for device, time_s in devices.items():
        line(device, 4000, "noise floor", [per_operator(codes, time_s)])
        for n, share in ((10, 1), (100, 4)):
            seeds = range(max(1, options.draws // share))
            draws = [drawn(n, len(codes), seed) for seed in seeds]
            line(device, n, "six sums", [six_sums(networks, time_s, *d) for d in draws])
            line(device, n, "adapt", [few_shot(codes, time_s, networks, d) for d in draws])


def drawn(n: int, of: int, seed: int) -> tuple[Floats, Floats]:
    """Return which networks are fitted and which tested."""
    order = np.random.default_rng(seed).permutation(of)
    return order[:n], order[n:]


def line(device: str, n: int, method: str, found: list[Any]) -> None:
    rank, mape = [e.spearman for e in found], [e.mape for e in found]
    covers = np.mean([e.coverage_90 for e in found])
    print(
        f"{device:<10} {n:>4}  {method:<12} {np.mean(rank):.3f} {min(rank):>11.3f} "
        f"{np.mean(mape):>7.1%} {'-' if np.isnan(covers) else f'{covers:.0%}':>6}",
        flush=True,
    )


def few_shot(
    codes: Any, time_s: Floats, networks: Networks, draw: Any, prior: list[Profile] | None = None
) -> Any:
    fitted, tested = draw
    result = adapt(SPACE, codes[fitted], time_s[fitted], prior=prior)
    predicted, low, high = (all_of[tested] for all_of in priced(result.profile, networks))
    covered = (low <= time_s[tested]) & (time_s[tested] <= high)
    return errors_of(predicted, time_s[tested], covered)


def six_sums(networks: Networks, time_s: Floats, fitted: Any, tested: Any) -> Any:
    """Constant, MACs of 1x1 and of depthwise, weights, activations, launches; none negative."""
    work, counts = networks.work, networks.counts
    depthwise = (work.groups > 2) * work.macs
    pointwise = (work.kernel_volume == 1) * work.macs
    sums = np.stack(
        [
            np.ones(len(time_s)),
            counts @ pointwise,
            counts @ depthwise,
            counts @ work.weights_read,
            counts @ (work.activations_read + work.elements_written),
            counts.sum(axis=1),
        ],
        axis=1,
    )
    sums /= sums.mean(axis=0)
    prices, _ = nnls(sums[fitted] / time_s[fitted, np.newaxis], np.ones(len(fitted)))
    return errors_of(sums[tested] @ prices, time_s[tested])


def per_operator(codes: Any, time_s: Floats) -> Any:
    chosen = np.concatenate([codes == choice for choice in range(len(SPACE.choices))], axis=1)
    columns = np.concatenate([chosen, np.ones((len(codes), 1))], axis=1).astype(float)
    fitted, tested = drawn(4000, len(codes), 0)
    prices = np.linalg.lstsq(columns[fitted], time_s[fitted], rcond=None)[0]
    return errors_of(columns[tested] @ prices, time_s[tested])


def family(codes: Any, devices: dict[str, Floats], networks: Networks, repeats: int) -> None:
    """Profiles from 300 networks of each device; few others of one device, and what helps."""
    known, rest = drawn(300, len(codes), 99)
    profiles = {
        device: adapt(SPACE, codes[known], time_s[known], name=device).profile
        for device, time_s in devices.items()
    }
    for device, time_s in devices.items():
        others = [profile for name, profile in profiles.items() if name != device]
        for n in (3, 10):
            parts = [drawn(n, len(rest), seed) for seed in range(repeats)]
            draws = [(rest[fitted], rest[tested]) for fitted, tested in parts]
            for method, prior in (
                ("no prior", None),
                ("the others", others),
                ("all four", [*others, profiles[device]]),
                ("itself", [profiles[device]]),
            ):
                found = [few_shot(codes, time_s, networks, d, prior) for d in draws]
                line(device, n, method, found)


if __name__ == "__main__":
    main()
