"""Search spaces: from a code to a graph, and from all codes to their costs.

>>> space = fbnet()
>>> graph = space.graph("7-8-1-8-4-8-8-8-7-4-1-4-7-3-2-7-3-2-4-2-4-5")
>>> seconds = space.compile(profile).evaluate(space.sample(1000, 0))
"""

from __future__ import annotations

from collections.abc import Callable

from alphaflops.spaces.compiled import METRICS, Bounds, CompiledSpace
from alphaflops.spaces.darts import darts
from alphaflops.spaces.differentiable import torch_expected
from alphaflops.spaces.fbnet import fbnet
from alphaflops.spaces.nasbench201 import nasbench201
from alphaflops.spaces.ofa import ofa
from alphaflops.spaces.proxyless import proxyless
from alphaflops.spaces.space import Flow, SearchSpace
from alphaflops.spaces.transformer import transformer

__all__ = [
    "METRICS",
    "SPACES",
    "Bounds",
    "CompiledSpace",
    "Flow",
    "SearchSpace",
    "darts",
    "fbnet",
    "nasbench201",
    "ofa",
    "proxyless",
    "torch_expected",
    "transformer",
]

#: Spaces by name, as their papers have them.
SPACES: dict[str, Callable[[], SearchSpace]] = {
    "darts": darts,
    "fbnet": fbnet,
    "nasbench201": nasbench201,
    "ofa": ofa,
    "proxyless": proxyless,
    "transformer": transformer,
}
