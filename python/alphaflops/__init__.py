"""What a neural network costs on a device, before it runs there.

>>> import alphaflops as af
>>> graph = af.zoo.build("resnet50", batch=1)
>>> report = af.estimate(graph, af.load_profile("quadro-t2000"))
>>> report.macs
4089184256
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from alphaflops import pickling as pickling
from alphaflops._core import (
    Graph,
    PeakMemory,
    Training,
    WorkTable,
    __version__,
    alpha,
    lower,
    peak_memory,
)
from alphaflops.errors import Error

if TYPE_CHECKING:
    from alphaflops import cuda as cuda
    from alphaflops import spaces as spaces
    from alphaflops import zoo as zoo
    from alphaflops.adapting import Adapted as Adapted
    from alphaflops.adapting import adapt as adapt
    from alphaflops.adapting import from_datasheet as from_datasheet
    from alphaflops.fitting import Fit as Fit
    from alphaflops.fitting import fit as fit
    from alphaflops.frontends import from_torch as from_torch
    from alphaflops.frontends import load as load
    from alphaflops.frontends.registry import register_op as register_op
    from alphaflops.graph_file import save_graph as save_graph
    from alphaflops.measuring.adaptive import next_shapes as next_shapes
    from alphaflops.measuring.campaign import measure as measure
    from alphaflops.measuring.sampling import sample_shapes as sample_shapes
    from alphaflops.profiles import Profile as Profile
    from alphaflops.profiles import load_profile as load_profile
    from alphaflops.report import Report as Report
    from alphaflops.report import estimate as estimate
    from alphaflops.rows import predict_rows as predict_rows
    from alphaflops.rows import price as price
    from alphaflops.search import pareto as pareto
    from alphaflops.search import within as within
    from alphaflops.table import read_table as read_table
    from alphaflops.table import write_table as write_table

# Loaded on first use, so that `import alphaflops` costs numpy and the core and nothing else.
_LAZY = {
    "Adapted": "adapting",
    "Fit": "fitting",
    "Profile": "profiles",
    "Report": "report",
    "adapt": "adapting",
    "cuda": "",
    "estimate": "report",
    "fit": "fitting",
    "from_datasheet": "adapting",
    "from_torch": "frontends",
    "load": "frontends",
    "load_profile": "profiles",
    "measure": "measuring.campaign",
    "next_shapes": "measuring.adaptive",
    "pareto": "search",
    "predict_rows": "rows",
    "price": "rows",
    "read_table": "table",
    "register_op": "frontends.registry",
    "sample_shapes": "measuring.sampling",
    "save_graph": "graph_file",
    "spaces": "",
    "within": "search",
    "write_table": "table",
    "zoo": "",
}

__all__ = [
    "Adapted",
    "Error",
    "Fit",
    "Graph",
    "PeakMemory",
    "Profile",
    "Report",
    "Training",
    "WorkTable",
    "__version__",
    "adapt",
    "alpha",
    "cuda",
    "estimate",
    "fit",
    "from_datasheet",
    "from_torch",
    "load",
    "load_profile",
    "lower",
    "measure",
    "next_shapes",
    "pareto",
    "peak_memory",
    "predict_rows",
    "price",
    "read_table",
    "register_op",
    "sample_shapes",
    "save_graph",
    "spaces",
    "within",
    "write_table",
    "zoo",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'alphaflops' has no attribute {name!r}")
    module = importlib.import_module(f"alphaflops.{_LAZY[name] or name}")
    value = getattr(module, name) if _LAZY[name] else module
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
