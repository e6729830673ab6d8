"""Single operators in eager PyTorch on this processor, predicted beside measured.

    python benchmarks/operators.py [PROFILE] [--layout nchw] [--budget 60]

Those that image classifiers seldom have; without PROFILE a calibration comes first. Each is timed
as within a network, alone in its session. A * marks what the profile was not timed on.
"""

from __future__ import annotations

import argparse

import numpy as np

import alphaflops as af
from alphaflops.measuring.backends import named
from alphaflops.measuring.shapes import Shape, graphs_of, to_table
from alphaflops.profiles import Profile
from alphaflops.scenarios.calibrate import calibrate

_IMAGE = (64, 56)  # channels, extent
_TOKENS = (768, 197)
IMAGES = (
    *("relu", "hardswish", "elu", "silu", "gelu", "gelu_tanh", "mish", "softplus"),
    *("batch_norm", "group_norm", "instance_norm", "contiguous"),
    *("interpolate_nearest", "interpolate_bilinear", "global_avg_pool", "mean"),
)
TOKENS = ("layer_norm", "rms_norm", "softmax")
_SAMPLES = 41


def measured_us(graphs: list[af.Graph], layout: str) -> list[float]:
    with named("torch", layout=layout, threads=1, on="cpu").session() as session:
        benches = [session.bench(graph) for graph in graphs]
        calls = [session.iterations_for(bench.warm_up()) for bench in benches]
        times = [
            [bench.sample(n).time_s * 1e6 for bench, n in zip(benches, calls, strict=True)]
            for _ in range(_SAMPLES)
        ]
    medians: list[float] = np.median(times, axis=0).tolist()
    return medians


def profile_of(path: str | None, layout: str, budget_s: float, threads: int = 1) -> Profile:
    if path is not None:
        return af.load_profile(path)
    backend = named("torch", layout=layout, threads=threads, on="cpu")
    return calibrate(name="this-cpu", budget_s=budget_s, backend=backend).profile


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("profile", nargs="?")
    parser.add_argument("--layout", default="nchw", choices=["nchw", "channels_last"])
    parser.add_argument("--budget", type=float, default=60.0, help="seconds for the calibration")
    options = parser.parse_args()
    profile = profile_of(options.profile, options.layout, options.budget)
    print(f"{named('torch', on='cpu').device()['name']}, {options.layout}, one thread")
    channels, extent = _IMAGE
    features, tokens = _TOKENS
    shapes = [Shape(op, channels, extent, channels) for op in IMAGES]
    shapes += [Shape(op, features, 1, features, batch=tokens) for op in TOKENS]
    graphs = graphs_of(to_table(shapes))
    ratios = []
    for shape, graph, measured in zip(
        shapes, graphs, measured_us(graphs, options.layout), strict=True
    ):
        report = af.estimate(graph, profile)
        least, most = (1e6 * end for end in report.time_interval_s or (np.nan, np.nan))
        ratios.append(report.time_s * 1e6 / measured)
        print(
            f"  {shape.op:22} predicted {report.time_s * 1e6:7.0f} us [{least:6.0f}, {most:6.0f}]"
            f"{'*' if report.extrapolated_share > 0 else ' '} measured {measured:7.0f} us, "
            f"ratio {ratios[-1]:.2f}"
        )
    off = np.exp(np.abs(np.log(ratios)))
    print(f"off by a factor of {np.median(off):.2f} in the median, {off.max():.2f} at most")


if __name__ == "__main__":
    main()
