"""Plans that are left out by name, for a GPU on which a kernel turns out to be wrong."""

from __future__ import annotations

import os
from collections.abc import Sequence

from alphaflops._cuda_plan import Plan

__all__ = ["usable"]

_VARIABLE = "ALPHAFLOPS_CUDA_WITHOUT"


def usable(plans: Sequence[Plan]) -> list[Plan]:
    """Return the plans but for algorithms that ALPHAFLOPS_CUDA_WITHOUT names, with commas between.

    ``implicit_gemm_wgmma`` stands for all of its tiles.
    """
    left_out = set(filter(None, os.environ.get(_VARIABLE, "").split(",")))
    return [plan for plan in plans if plan.algorithm not in left_out]
