"""Networks in eager PyTorch on this processor, predicted beside measured, after a calibration.

    python benchmarks/torch_networks.py [--budget 60] [--rounds 15] [--skip-calibration]

For NCHW and channels_last, with one thread and with two: calibrate, predict every network of the
zoo, then run networks and single operators in turns, a network after a pass of its own that is not
timed, as `validate` runs it. `benches` is the sum of a network's operators,
timed one by one as `measure` times them, over the network's time: what a sum of perfect predictions
would err by. Exit status 1 where fewer than nine predictions in ten are within 10 %.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter

import numpy as np

from alphaflops import zoo
from alphaflops.measuring.backends import named
from alphaflops.measuring.control import Control, control_in
from alphaflops.measuring.readings import Reading, summarise
from alphaflops.measuring.shapes import graphs_of, operators_of, to_table
from alphaflops.profiles import Profile
from alphaflops.report import estimate
from alphaflops.scenarios.calibrate import calibrate

LIMIT = 0.10
NEEDED = 0.9
CONFIGURATIONS = [(layout, n) for layout in ("nchw", "channels_last") for n in (1, 2)]
_PASSES = 2


def compare(
    layout: str, threads: int, profile: Profile | None, rounds: int
) -> list[tuple[float, float]]:
    """Print a row a network; return the predictions' errors, and at the calibration's speed."""
    graphs = [zoo.build(name) for name in zoo.REFERENCE]
    counts = [Counter(operators_of(graph, "eager")) for graph in graphs]
    shapes = sorted(set().union(*counts))
    backend = named("torch", layout=layout, threads=threads)
    with backend.session() as session:
        networks = [session.network(graph, 0) for graph in graphs]
        benches = [session.bench(graph) for graph in graphs_of(to_table(shapes))]
        calls = [session.iterations_for(bench.warm_up()) for bench in benches]
        whole: list[list[Reading]] = [[] for _ in networks]
        alone = [[] for _ in benches]
        then = control_in(profile, backend.provenance(), "fp32") if profile else None
        control = Control(session, then, by_mode=backend.by_mode)
        random = np.random.default_rng(0)
        for turn in range(rounds):
            for i in random.permutation(len(networks)).tolist():
                networks[i].sample(1)  # which finds another's data in the caches
                sample = networks[i].sample(_PASSES)
                if turn > 0:
                    whole[i].append(Reading.of(sample, 0.0))
            for i in random.permutation(len(benches)).tolist():
                alone[i].append(benches[i].sample(calls[i]))
            if turn > 0:
                control.sample(random)
    bench_s = {shape: low_s(taken) for shape, taken in zip(shapes, alone, strict=True)}
    slowdown = control.slowdown()
    if profile is not None:
        print(f"  operators of the calibration take {slowdown} of their time")
    errors = []
    for graph, count, taken in zip(graphs, counts, whole, strict=True):
        sum_s = sum(n * bench_s[shape] for shape, n in count.items())
        measured = summarise(taken)
        line = (
            f"  {graph.name:<14} measured {measured.time_s * 1e3:8.2f} ms "
            f"[{measured.time_lo_s * 1e3:.2f}, {measured.time_hi_s * 1e3:.2f}], lowest tenth "
            f"{low_s(taken) * 1e3:8.2f} ms; benches {sum_s / low_s(taken):.3f}"
        )
        if profile is not None:
            predicted_s = estimate(graph, profile, mode="eager").time_s
            error = predicted_s / measured.time_s - 1
            errors.append((error, slowdown.without(error)))
            line += f"; predicted {predicted_s * 1e3:8.2f} ms, error {error:+.1%}"
            line += f" ({errors[-1][1]:+.1%} at the calibration's speed)"
        print(line, flush=True)
    return errors


def low_s(samples: list) -> float:
    """Seconds that a tenth of the samples stay below."""
    return float(np.quantile([sample.time_s for sample in samples], 0.1))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", type=float, default=60.0, help="seconds a calibration")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--skip-calibration", action="store_true", help="only add up the benches")
    parser.add_argument("--only", help="one configuration, such as nchw:1")
    options = parser.parse_args()

    errors = []
    for layout, threads in CONFIGURATIONS:
        if options.only not in (None, f"{layout}:{threads}"):
            continue
        how = named("torch", layout=layout, threads=threads)
        print(f"{how.device()['name']}, {how.device()['compiler']}, {layout}, {threads} threads")
        profile = None
        if not options.skip_calibration:
            fit = calibrate(
                name="this-cpu",
                backend=how,
                budget_s=options.budget,
                seed=options.seed,
            )
            profile = fit.profile
            print(
                f"  form {fit.selected}, operators MAPE {fit.errors.mape:.1%}, median "
                f"{fit.errors.mdape:.1%}, n {fit.errors.n}"
            )
        errors += compare(layout, threads, profile, options.rounds)
    if not errors:
        return 0
    share, then = np.mean(np.abs(errors) <= LIMIT, axis=0)
    print(
        f"predictions within {LIMIT:.0%}: {share:.0%} of {len(errors)}, {then:.0%} at the "
        "calibration's speed"
    )
    return 0 if share >= NEEDED else 1


if __name__ == "__main__":
    sys.exit(main())
