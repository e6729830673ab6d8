"""Networks of other fields than classifying images, predicted beside measured in eager PyTorch.

    python benchmarks/fields.py [PROFILE] [--threads 1] [--layout nchw] [--only NAME ...]

Segmentation, detection, generation, video, text, speech, points, recommendation and more
(field_images.py, field_sequences.py), each run as the module that it is. None has been looked at
while the tool was made, but where docs/figures.md says so. Without PROFILE a calibration of 60 s
comes first.
"""

from __future__ import annotations

import argparse
import math

import field_images
import field_sequences
import numpy as np
import torch
from operators import profile_of

import alphaflops as af
from alphaflops.frontends.traced import Traced
from alphaflops.measuring.backends import named
from alphaflops.measuring.control import Slowdown
from alphaflops.measuring.validation import validate

NETWORKS = field_images.NETWORKS | field_sequences.NETWORKS
_LIMITS = (0.10, 0.20)
_SECONDS = 60.0
_RUNS_S = 2.0  # of each network


def traced(name: str) -> Traced:
    module, args = NETWORKS[name]()
    args = args if isinstance(args, tuple) else (args,)
    return Traced(af.from_torch(module.eval(), args, name=name), module, args)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("profile", nargs="?")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--layout", default="nchw", choices=["nchw", "channels_last"])
    parser.add_argument("--only", nargs="*", choices=[*NETWORKS], default=[*NETWORKS])
    options = parser.parse_args()
    runs = named("torch", layout=options.layout, threads=options.threads, on="cpu")
    profile = profile_of(options.profile, options.layout, _SECONDS, options.threads)
    print(f"{runs.device()['name']}, torch {torch.__version__}; {runs.provenance()}")
    networks = [traced(name) for name in options.only]
    rows = validate(networks, profile, backend=runs, budget_s=_RUNS_S * len(networks))
    slowdown, inside = Slowdown.of(rows), []
    for row, network in zip(rows, networks, strict=True):
        report = af.estimate(network.graph, profile, mode=runs.mode)
        low_s, high_s = report.time_interval_s or (math.nan, math.nan)
        inside.append(low_s <= row["measured_s"] <= high_s)
        print(
            f"  {row['name']:<24} {report.macs / 1e6:8,.0f} MMACs  measured "
            f"{row['measured_s'] * 1e3:8.2f} ms, predicted {row['predicted_s'] * 1e3:8.2f} ms, "
            f"error {row['error']:+6.1%} ({slowdown.without(row['error']):+6.1%} at the "
            f"calibration's speed), extrapolated {report.extrapolated_share:4.0%}"
            f"{'' if inside[-1] else ' (outside)'}"
        )
    for errors, said in (
        (rows["error"], ""),
        ([slowdown.without(error) for error in rows["error"]], " at the calibration's speed"),
    ):
        sizes = np.abs(errors)
        within = ", ".join(f"{np.sum(sizes <= limit)} within {limit:.0%}" for limit in _LIMITS)
        print(
            f"{len(rows)} networks{said}: {within}; mean {sizes.mean():.1%}, median "
            f"{np.median(sizes):.1%}"
        )
    print(
        f"{np.sum(inside)} inside of their 90 % intervals; operators of the calibration take "
        f"{slowdown} of their time"
    )


if __name__ == "__main__":
    main()
