"""Which algorithms run at all and are right on this GPU, each tried in a process of its own.

    python benchmarks/gpu_smoke.py [--shapes 6] [--timeout 45] [--out FILE]

A kernel that faults breaks its process's context, and one that hangs holds its process up: neither
must spoil what comes after. Each algorithm of convolutions, attention, products of activations,
gates and recurrences gets a few odd shapes in every dtype and pass, against float64 (tests/gpu).
FILE gets the names of those that failed, with commas between, as ALPHAFLOPS_CUDA_WITHOUT takes
them. Exit status 1 where one failed.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from alphaflops._cuda_plan import Plan, Target, conv_plans
from alphaflops.cuda.driver import Driver, open_driver
from alphaflops.files import write_text

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "gpu"))

from conv_on_gpu import BOUNDS, Problem, random_sizes
from sequences_on_gpu import KINDS, TYPES

PASSES = ("forward", "input_gradient", "weight_gradient")
_AT_A_TIME = 4
_DRAWN = 60  # shapes of each dtype and pass, of which an algorithm does some


def algorithms() -> list[str]:
    """Return those of which some plan is made for this GPU."""
    target = open_driver().info().target
    found = {
        plan.algorithm
        for turn in range(_DRAWN)
        for each in problems(turn, target)
        for plan in each.plans
    }
    # What is least certain first, and itself before what copies for it.
    return sorted(found, key=lambda name: ("wgmma" not in name, "padded" in name, name))


@dataclass(frozen=True)
class Drawn:
    """A problem that nothing was computed of yet."""

    group: tuple[str, str]  # dtype, and pass or kind
    plans: Sequence[Plan]
    make: Callable[[], Callable[[Driver, Plan], float]]  # what tells a plan's error


def problems(turn: int, target: Target) -> Iterator[Drawn]:
    """Yield one of each dtype and pass, and of each kind of sequences."""
    for number, (dtype, pass_) in enumerate(itertools.product(BOUNDS, PASSES)):
        random = np.random.default_rng([turn, number])
        sizes = random_sizes(random, turn)
        yield Drawn(
            (dtype, pass_),
            conv_plans(sizes, target, dtype, pass_, "none", 0),
            partial(_convolution, sizes, dtype, random, pass_),
        )
    for number, (dtype, draw) in enumerate(itertools.product(TYPES, KINDS)):
        problem = draw(np.random.default_rng([turn, number]), target, dtype)
        yield Drawn((dtype, draw.__name__), problem.plans, lambda made=problem: made.error)


def _convolution(
    sizes: dict[str, int], dtype: str, random: np.random.Generator, pass_: str
) -> Callable[[Driver, Plan], float]:
    problem = Problem(sizes, dtype, random)
    return lambda driver, plan: problem.error(driver, plan, pass_, bias=False, activation="none")


def try_one(algorithm: str, shapes: int) -> int:
    """Run some shapes of one algorithm; print what is wrong."""
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // _AT_A_TIME))
    driver = open_driver()
    target = driver.info().target
    ran = wrong = 0
    done: Counter[tuple[str, str]] = Counter()
    for turn in range(_DRAWN):
        for each in problems(turn, target):
            own = [plan for plan in each.plans if plan.algorithm == algorithm]
            if not own or done[each.group] == shapes:
                continue
            done[each.group] += 1
            error_of = each.make()
            for plan in own:
                ran += 1
                most = BOUNDS[each.group[0]] * (10 if algorithm.startswith("winograd") else 1)
                error = error_of(driver, plan)
                if not error <= most:
                    wrong += 1
                    print(f"{' '.join(each.group)} {plan.tile}: {error:.3g}", flush=True)
    print(f"{ran} runs, {wrong} wrong")
    return 1 if wrong or not ran else 0


def outcome(algorithm: str, options: argparse.Namespace) -> tuple[str, bool, str]:
    """Return the name, whether it is right, and what was said."""
    command = [sys.executable, __file__, "--only", algorithm, "--shapes", str(options.shapes)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=options.timeout
        )
    except subprocess.TimeoutExpired as late:
        said = (late.stdout or b"").decode() if isinstance(late.stdout, bytes) else ""
        return algorithm, False, f"{said}did not come to an end in {options.timeout:g} s"
    lines = [*done.stdout.splitlines()[-4:], *done.stderr.splitlines()[-1:]]
    return algorithm, done.returncode == 0, "\n    ".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", type=int, default=6, help="of each dtype and pass")
    parser.add_argument("--timeout", type=float, default=45.0, help="seconds of each algorithm")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only is not None:
        return try_one(options.only, options.shapes)
    failed = []
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        for name, right, said in pool.map(lambda each: outcome(each, options), algorithms()):
            print(f"{name}: {'right' if right else 'FAILED'}\n    {said}", flush=True)
            failed += [] if right else [name]
            if options.out is not None:
                write_text(options.out, ",".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
