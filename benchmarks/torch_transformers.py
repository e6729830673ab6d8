"""Transformers in eager PyTorch on this processor, predicted beside measured, after a calibration.

    python benchmarks/torch_transformers.py [--budget 60] [--rounds 15] [--threads 1 2]

Modules as people write them, traced by `from_torch`, run in turns; fp32, batch 1. Exit status 1
where a prediction is off by more than 15 %.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

import alphaflops as af
from alphaflops.measuring.backends import named
from alphaflops.measuring.control import Control, control_in
from alphaflops.measuring.readings import Reading, summarise
from alphaflops.scenarios.calibrate import calibrate

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from torch_models import GPT, Block, ViT

LIMIT = 0.15
_PASSES = 2  # the first finds another's data in cache


class Encoder(nn.Module):
    """An encoder of BERT's base size, over 128 tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(30522, 768)
        self.layers = nn.Sequential(*(Block(768, 12, "sdpa") for _ in range(12)))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.layers(self.tokens(tokens))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "ViT-B/16, SDPA": (lambda: ViT("sdpa"), (1, 3, 224, 224)),
    "ViT-B/16, matmul": (lambda: ViT("matmul"), (1, 3, 224, 224)),
    "encoder, 12 x 768": (Encoder, (1, 128)),
    "GPT, 4 x 256": (lambda: GPT(1000, 128, 256, 8, 4), (1, 128)),
}


def input_of(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.zeros(shape, dtype=torch.long) if len(shape) == 2 else torch.randn(shape)


def compare(threads: int, budget_s: float, rounds: int, seed: int) -> list[float]:
    """Print a row a network; return the errors of the predictions."""
    how = named("torch", threads=threads)
    fit = calibrate(name="this-cpu", backend=how, budget_s=budget_s, seed=seed)
    print(
        f"  form {fit.selected}, operators MAPE {fit.errors.mape:.1%}, median "
        f"{fit.errors.mdape:.1%}, n {fit.errors.n}"
    )
    modules = [make().eval() for make, _ in NETWORKS.values()]
    inputs = [input_of(shape) for _, shape in NETWORKS.values()]
    graphs = [af.from_torch(m, (x,)) for m, x in zip(modules, inputs, strict=True)]
    whole: list[list[Reading]] = [[] for _ in modules]
    with how.session() as session:
        runs = [
            session.timed(lambda module=module, x=x: module(x))
            for module, x in zip(modules, inputs, strict=True)
        ]
        then = control_in(fit.profile, how.provenance(), "fp32")
        control = Control(session, then, by_mode=how.by_mode)
        random = np.random.default_rng(0)
        for turn in range(rounds):
            for i in random.permutation(len(runs)).tolist():
                sample = runs[i].sample(_PASSES)
                if turn > 0:
                    whole[i].append(Reading.of(sample, 0.0))
            if turn > 0:
                control.sample(random)
    slowdown = control.slowdown()
    print(f"  operators of the calibration take {slowdown} of their time")
    errors = []
    for name, graph, taken in zip(NETWORKS, graphs, whole, strict=True):
        measured, report = summarise(taken), af.estimate(graph, fit.profile, mode="eager")
        errors.append(report.time_s / measured.time_s - 1)
        print(
            f"  {name:<18} {report.macs / 1e6:9,.0f} MMACs  measured {measured.time_s * 1e3:8.2f} "
            f"ms [{measured.time_lo_s * 1e3:.2f}, {measured.time_hi_s * 1e3:.2f}]; predicted "
            f"{report.time_s * 1e3:8.2f} ms, error {errors[-1]:+.1%} "
            f"({slowdown.without(errors[-1]):+.1%} at the calibration's speed)",
            flush=True,
        )
    return errors


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", type=float, default=60.0, help="seconds a calibration")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    errors = []
    for threads in options.threads:
        how = named("torch", threads=threads)
        print(f"{how.device()['name']}, {how.device()['compiler']}, {threads} threads")
        errors += compare(threads, options.budget, options.rounds, options.seed)
    within = sum(abs(error) <= LIMIT for error in errors)
    print(f"predictions within {LIMIT:.0%}: {within} of {len(errors)}")
    return 0 if within == len(errors) else 1


if __name__ == "__main__":
    sys.exit(main())
