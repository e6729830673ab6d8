"""Every plan of attention, products, gates, concatenations and recurrences, against float64."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import pytest

from alphaflops.cuda.driver import Driver
from alphaflops.cuda.without import usable

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from conv_on_gpu import BOUNDS  # noqa: E402
from sequences_on_gpu import KINDS, TYPES, Problem  # noqa: E402

#: Problems of each kind and dtype.
SHAPES = int(os.environ.get("ALPHAFLOPS_TEST_SHAPES", "30"))


@pytest.mark.parametrize("draw", KINDS)
@pytest.mark.parametrize("dtype", list(TYPES))
def test_every_plan_computes_what_it_should(
    driver: Driver, dtype: str, draw: Callable[..., Problem]
) -> None:
    random, target = np.random.default_rng(7), driver.info().target
    wrong, ran = [], 0
    for _ in range(SHAPES):
        problem = draw(random, target, dtype)
        for plan in usable(problem.plans):
            ran += 1
            error = problem.error(driver, plan)
            if not error <= BOUNDS[dtype]:
                wrong.append(f"{plan.algorithm} {plan.tile}: {error:.3g} {problem.what}")
    if ran == 0:
        pytest.skip(f"no plan does it in {dtype} on this GPU")
    assert not wrong, f"{len(wrong)} of {ran} runs:\n" + "\n".join(wrong[:10])
