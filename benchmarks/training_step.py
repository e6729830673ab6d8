"""Steps of training in eager PyTorch on this processor, predicted beside measured.

    python benchmarks/training_step.py [--budget 60] [--rounds 9] [--batch 4] [--threads 1]

Calibrates with `--training`, then runs steps (forward, backward, SGD) of each network in turns;
fp32, 224 x 224 or 128 tokens, NCHW. Forward, backward and optimizer are timed apart as well. Exit
status 1 where a step is off by more than 20 %.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import torch

import alphaflops as af
from alphaflops import _core, zoo
from alphaflops.measuring.backends import named
from alphaflops.measuring.torch_network import TorchNetwork
from alphaflops.scenarios.calibrate import calibrate

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from torch_models import GPT

LIMIT = 0.20
PARTS = ("forward", "backward", "optimizer")


class Step:
    """A step of training, and the seconds of its parts."""

    def __init__(self, run: Callable[[], torch.Tensor], parameters: list[torch.Tensor]) -> None:
        self._run = run
        self._optimizer = torch.optim.SGD(parameters, lr=1e-6)
        self._gradient = torch.ones_like(run()) * 1e-3

    def times_s(self) -> list[float]:
        self._optimizer.zero_grad()
        marks = [self._clocks()]
        output = self._run()
        marks.append(self._clocks())
        output.backward(self._gradient)
        del output
        marks.append(self._clocks())
        self._optimizer.step()
        marks.append(self._clocks())
        return np.diff(marks, axis=0).min(axis=1).tolist()

    @staticmethod
    def _clocks() -> list[float]:
        """One thread's processor time is what it works, whatever else runs on the machine."""
        alone = torch.get_num_threads() == 1
        return [time.perf_counter(), time.thread_time() if alone else time.perf_counter()]


def of_zoo(name: str, batch: int) -> tuple[_core.Graph, Step]:
    graph = zoo.build(name, batch=batch)
    network = TorchNetwork(graph, "nchw")
    modules = [m for m in network.operators.values() if isinstance(m, torch.nn.Module)]
    for module in modules:
        module.train()
    return graph, Step(network.run, [p for m in modules for p in m.parameters()])


def of_gpt(batch: int) -> tuple[_core.Graph, Step]:
    module, tokens = GPT(1000, 128, 256, 8, 4), torch.zeros((batch, 128), dtype=torch.long)
    graph = af.from_torch(module, (tokens,))
    return graph, Step(lambda: module(tokens), list(module.parameters()))


def predicted_s(report: af.Report) -> list[float]:
    by_pass = {name: total["time_s"] for name, total in report.passes.items()}
    gradients = by_pass["input_gradient"] + by_pass["weight_gradient"]
    return [by_pass["forward"], gradients, by_pass["optimizer"]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", type=float, default=60.0, help="seconds of the calibration")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--profile", help="one that was made before, in place of a calibration")
    options = parser.parse_args()
    how = named("torch", threads=options.threads)
    print(
        f"{how.device()['name']}, {how.device()['compiler']}, {options.threads} threads, batch "
        f"{options.batch}, {datetime.now(timezone.utc):%Y-%m-%d}"
    )
    if options.profile:
        profile = af.load_profile(options.profile)
    else:
        fit = calibrate(
            name="this-cpu",
            backend=how,
            budget_s=options.budget,
            seed=options.seed,
            training=True,
        )
        profile = fit.profile
        for name, each in {"forward": fit, **fit.passes}.items():
            e = each.errors
            print(f"  {name}: {each.selected}, MAPE {e.mape:.1%}, median {e.mdape:.1%}, n {e.n}")
    errors = []
    with how.session(training=True):
        steps = {name: of_zoo(name, options.batch) for name in ("resnet18", "mobilenet_v2")}
        steps["GPT, 4 x 256"] = of_gpt(options.batch)
        taken: dict[str, list[list[float]]] = {name: [] for name in steps}
        random = np.random.default_rng(0)
        for turn in range(options.rounds + 1):
            for name in random.permutation(list(steps)).tolist():
                parts = steps[name][1].times_s()
                if turn > 0:
                    taken[name].append(parts)
    training = af.Training("sgd", recompute_attention=True)
    for name, (graph, _) in steps.items():
        whole = np.sum(taken[name], axis=1)
        low, median, high = np.quantile(whole, [0.1, 0.5, 0.9]) * 1e3
        report = af.estimate(graph, profile, mode="eager", training=training)
        expected = predicted_s(report)
        errors.append(sum(expected) / np.median(whole) - 1)
        parts = np.median(taken[name], axis=0)
        listed = ", ".join(
            f"{part} {own * 1e3:.1f} ({guess / own - 1:+.0%})"
            for part, own, guess in zip(PARTS, parts, expected, strict=True)
        )
        print(
            f"  {name:<13} measured {median:7.1f} ms [{low:.1f}, {high:.1f}], predicted "
            f"{sum(expected) * 1e3:7.1f} ms, error {errors[-1]:+.1%}; {listed}",
            flush=True,
        )
    return 0 if max(map(abs, errors)) <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
