"""What no rule knows, as the operators that torch makes it of.

A function is run on meta tensors under a dispatch mode, which sees each operator of torch's own
set (``aten``). Those with a rule or in a table are counted; the others become unknown nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from alphaflops.frontends import torch_names as names

if TYPE_CHECKING:
    from alphaflops.frontends.torch_trace import Trace


class AtenMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Hands every operator to the trace."""

    def __init__(self, trace: Trace, name: str, operands: Sequence[torch.Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.trace = trace
        self.name = name
        for tensor in operands:  # what runs are their twins on the meta device
            twin = trace.on_meta(tensor)
            if twin is not tensor and trace.key(tensor) is None:
                trace.bind(twin, trace.node(tensor))

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Count one operator; the mode itself is off meanwhile."""
        from alphaflops.frontends.torch_trace import tensors_in  # noqa: PLC0415  (a cycle)

        kwargs = kwargs or {}
        name, in_place = names.NAMES.get(function) or names.canonical(function)
        operands = tensors_in(args) + tensors_in(kwargs.values())
        if not operands:
            return function(*args, **kwargs)
        if self.trace.is_counted(name, function):
            return self.trace.call(name, function, args, kwargs, operands, in_place)
        result = function(*args, **kwargs)

        def make(shape: tuple[int, ...]) -> int:
            operator = str(function._schema.name)
            return self.trace.add_unknown(operator, self.trace.inputs(operands), shape)

        return self.trace.record(result, operands, make)
