"""A network of each family of timm, as timm makes it, predicted beside measured in eager PyTorch.

    python benchmarks/timm_networks.py [PROFILE] [--rounds 5] [--rank 0] [--only NAME ...]

Of a family's first twelve networks it is the one whose MACs are nearest to a giga, with `--rank 1`
the next, if they are no more than twenty; fp32, batch 1, NCHW, one thread, traced by `from_torch`.
Without PROFILE a calibration of 60 s comes first. Networks run in turns, each timed after a pass of
its own. Denormal numbers are flushed to zero: weights are random, and a softmax of such has many,
which take ten times as long. Last, the share of containers and views in what is predicted, its
median and its 10 % and 90 % quantiles. Needs timm.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
import warnings
from typing import NamedTuple

import numpy as np
import timm
import torch
from operators import profile_of

import alphaflops as af
from alphaflops.measuring.backends import named
from alphaflops.measuring.control import Control, Slowdown, control_in
from alphaflops.measuring.readings import Reading, Summary, summarise
from alphaflops.profiles import Profile
from alphaflops.totals import totals_of

_MACS = 1e9
_MOST_MACS = 20e9
_CHOICES = 12
_SECONDS = 60.0
_BETWEEN = 8  # networks, between two samples of the control
_LIMITS = (0.10, 0.20)


class Traced(NamedTuple):
    """A network's name in timm, its input's shape, and its graph."""

    name: str
    shape: tuple[int, ...]
    graph: af.Graph
    macs: int


def traced(name: str) -> Traced:
    with torch.device("meta"):
        module = timm.create_model(name).eval()
    shape = (1, *module.default_cfg.get("input_size", (3, 224, 224)))
    graph = af.from_torch(module, (torch.zeros(shape, device="meta"),))
    return Traced(name, shape, graph, totals_of(af.lower(graph, "eager"), name).macs)


def of_family(family: str, rank: int) -> Traced | None:
    """Trace some of a family; return the one `rank` places behind the nearest to a giga of MACs."""
    all_traced = []
    for name in timm.list_models(module=family)[:_CHOICES]:
        try:
            all_traced.append(traced(name))
        except Exception as error:
            print(f"  {name}: {type(error).__name__}: {str(error).splitlines()[0][:120]}")
    all_traced.sort(key=lambda t: abs(math.log(max(t.macs, 1) / _MACS)))
    return all_traced[rank] if rank < len(all_traced) else None


def measured(
    networks: list[Traced], profile: Profile, rounds: int
) -> tuple[list[Summary], Slowdown]:
    modules = [timm.create_model(network.name).eval() for network in networks]
    inputs = [torch.randn(network.shape) for network in networks]
    taken: list[list[Reading]] = [[] for _ in networks]
    random = np.random.default_rng(0)
    backend = named("torch", layout="nchw", threads=1)
    with backend.session() as session:
        then = control_in(profile, backend.provenance(), "fp32")
        control = Control(session, then, by_mode=backend.by_mode)
        runs = [
            session.timed(lambda module=module, x=x: module(x))
            for module, x in zip(modules, inputs, strict=True)
        ]
        for turn in range(rounds + 1):
            for place, i in enumerate(random.permutation(len(runs)).tolist()):
                runs[i].sample(1)  # which finds another's data in the caches
                sample = runs[i].sample(2)
                if turn > 0:
                    taken[i].append(Reading.of(sample, 0.0))
                    if place % _BETWEEN == 0:
                        control.sample(random)
    return [summarise(readings) for readings in taken], control.slowdown()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("profile", nargs="?")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rank", type=int, default=0, help="0: nearest to a giga; 1: the next")
    parser.add_argument("--only", nargs="*", help="networks, in place of one a family")
    parser.add_argument("--csv", help="where to write the rows as well")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of deprecated names
    if unknown := [name for name in options.only or [] if not timm.is_model(name)]:
        parser.error(f"timm has no {', '.join(unknown)}; timm.list_models('*') lists what it has")
    profile = profile_of(options.profile, "nchw", _SECONDS)
    print(f"{named('torch').device()['name']}, timm {timm.__version__}, torch {torch.__version__}")
    if options.only:
        networks = [traced(name) for name in options.only]
    else:
        found = [of_family(family, options.rank) for family in sorted(timm.list_modules())]
        networks = [n for n in found if n is not None and n.macs <= _MOST_MACS]
    rows = []
    torch.set_flush_denormal(True)
    with torch.inference_mode():
        taken, slowdown = measured(networks, profile, options.rounds)
    for network, reading in zip(networks, taken, strict=True):
        report = af.estimate(network.graph, profile, mode="eager")
        low_s, high_s = report.time_interval_s or (math.nan, math.nan)
        rows.append(
            {
                "network": network.name,
                "mmacs": round(network.macs / 1e6),
                "measured_ms": 1e3 * reading.time_s,
                "predicted_ms": 1e3 * report.time_s,
                "error": report.time_s / reading.time_s - 1,
                "error_then": slowdown.without(report.time_s / reading.time_s - 1),
                "extrapolated": report.extrapolated_share,
                "calls": report.layers["share"][report.layers["kind"] == "call"].sum(),
                "in_interval": low_s <= reading.time_s <= high_s,
            }
        )
    for row in sorted(rows, key=lambda row: -abs(row["error"])):
        print(
            f"  {row['network']:<36} {row['mmacs']:6,} MMACs  measured {row['measured_ms']:8.2f} "
            f"ms, predicted {row['predicted_ms']:8.2f} ms, error {row['error']:+6.1%}, "
            f"extrapolated {row['extrapolated']:4.0%}{'' if row['in_interval'] else ' (outside)'}"
        )
    if options.csv:
        with open(options.csv, "w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    errors = np.abs([row["error"] for row in rows])
    within = ", ".join(f"{np.mean(errors <= limit):.0%} within {limit:.0%}" for limit in _LIMITS)
    inside = np.mean([row["in_interval"] for row in rows])
    print(
        f"{len(rows)} networks: {within}; mean {errors.mean():.1%}, median "
        f"{np.median(errors):.1%}; {inside:.0%} inside of their intervals"
    )
    then = np.abs([row["error_then"] for row in rows])
    within = ", ".join(f"{np.mean(then <= limit):.0%} within {limit:.0%}" for limit in _LIMITS)
    print(
        f"operators of the calibration take {slowdown} of their time; at the calibration's speed "
        f"{within}; median {np.median(then):.1%}"
    )
    low, median, high = np.quantile([row["calls"] for row in rows], [0.1, 0.5, 0.9])
    print(f"containers and views: {median:.1%} of the time [{low:.1%}, {high:.1%}]")
    return 0


if __name__ == "__main__":
    sys.exit(main())
