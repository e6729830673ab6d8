"""Every plan of convolutions on hardware, against float64."""

from __future__ import annotations

import os

import numpy as np
import pytest

from alphaflops._cuda_plan import Target, conv_plans
from alphaflops.cuda.driver import Driver
from alphaflops.cuda.without import usable

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from conv_on_gpu import BOUNDS, Problem, random_sizes  # noqa: E402

#: Shapes of each dtype and pass.
SHAPES = int(os.environ.get("ALPHAFLOPS_TEST_SHAPES", "40"))


@pytest.mark.parametrize("pass_", ["forward", "input_gradient", "weight_gradient"])
@pytest.mark.parametrize("dtype", list(BOUNDS))
def test_every_plan_computes_its_convolution(driver: Driver, dtype: str, pass_: str) -> None:
    random = np.random.default_rng([len(dtype), len(pass_)])
    whole = driver.info().target
    # Blocks that stay have several tiles each only where there are few of them.
    few = Target(whole.arch, whole.has_a_features, 3, whole.shared_per_block_bytes)
    wrong, ran = [], 0
    for turn in range(SHAPES):
        target = few if turn % 2 else whole
        sizes = random_sizes(random, turn)
        bias = bool(random.integers(2)) and pass_ == "forward"
        activation = str(random.choice(["none", "relu", "relu6"])) if bias else "none"
        problem = Problem(sizes, dtype, random)
        for plan in usable(conv_plans(sizes, target, dtype, pass_, activation, bias)):
            ran += 1
            # Winograd's transforms round more.
            bound = BOUNDS[dtype] * (10 if plan.algorithm.startswith("winograd") else 1)
            error = problem.error(driver, plan, pass_, bias=bias, activation=activation)
            if not error <= bound:
                wrong.append(f"{plan.algorithm} {plan.tile}: {error:.3g} {sizes}")
    if ran == 0:
        pytest.skip(f"no plan does {pass_} in {dtype} on this GPU")
    assert not wrong, f"{len(wrong)} of {ran} runs:\n" + "\n".join(wrong[:10])
