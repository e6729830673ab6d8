"""Which algorithms run at all and are right on this GPU, each tried in a process of its own.

    python benchmarks/gpu_smoke.py [--shapes 6] [--timeout 45] [--out FILE]

A kernel that faults breaks its process's context, and one that hangs holds its process up: neither
must spoil what comes after. Each algorithm gets a few odd shapes in every dtype and pass, against
float64 (tests/gpu). FILE gets the names of those that failed, with commas between, as
ALPHAFLOPS_CUDA_WITHOUT takes them. Exit status 1 where one failed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from alphaflops._cuda_plan import conv_plans
from alphaflops.cuda.driver import open_driver

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "gpu"))

from conv_on_gpu import BOUNDS, Problem, random_sizes

PASSES = ("forward", "input_gradient", "weight_gradient")
_AT_A_TIME = 4
_MOST_DRAWN = 400  # shapes, of which an algorithm does some


def algorithms() -> list[str]:
    """Return those of which some plan is made for this GPU."""
    target = open_driver().info().target
    random = np.random.default_rng(0)
    found = set()
    for _ in range(60):
        sizes = random_sizes(random)
        for dtype in BOUNDS:
            for pass_ in PASSES:
                found |= {p.algorithm for p in conv_plans(sizes, target, dtype, pass_, "none", 0)}
    # What is least certain first, and itself before what copies for it.
    return sorted(found, key=lambda name: ("wgmma" not in name, "padded" in name))


def try_one(algorithm: str, shapes: int) -> int:
    """Run some shapes of one algorithm; print what is wrong."""
    driver = open_driver()
    target = driver.info().target
    ran = wrong = 0
    for dtype, bound in BOUNDS.items():
        for pass_ in PASSES:
            random = np.random.default_rng([len(dtype), len(pass_)])
            done = 0
            for _ in range(_MOST_DRAWN):
                sizes = random_sizes(random)
                plans = conv_plans(sizes, target, dtype, pass_, "none", 0)
                own = [plan for plan in plans if plan.algorithm == algorithm]
                if done == shapes:
                    break
                if not own:
                    continue
                done += 1
                problem = Problem(sizes, dtype, random)
                for plan in own:
                    ran += 1
                    most = bound * (10 if algorithm.startswith("winograd") else 1)
                    error = problem.error(driver, plan, pass_, bias=False, activation="none")
                    if not error <= most:
                        wrong += 1
                        print(f"{dtype} {pass_} {plan.tile}: {error:.3g} {sizes}", flush=True)
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
                options.out.write_text(",".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
