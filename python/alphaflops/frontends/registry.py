"""Operators that users count themselves, whatever front end meets them.

A key is the name of an operator: ``"domain::Type"`` of ONNX (``"ai.onnx::Relu"``,
``"com.example::Fancy"``), ``"namespace::op"`` of a torch library (``"aten::grid_sampler_2d"``), or
the qualified name of a torch function (``"torch.nn.functional.grid_sample"``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from alphaflops._core import Graph

__all__ = ["OPERATORS", "Counter", "qualified_name", "register_op"]

Shapes: TypeAlias = Sequence[tuple[int, ...]]
# (graph, tensors that it reads, shapes that it makes, attributes) -> the tensor that it makes.
Counter: TypeAlias = Callable[
    [Graph, Sequence[int], Shapes, Mapping[str, Any]], "int | Sequence[int] | None"
]

OPERATORS: dict[str, Counter] = {}


def register_op(name_or_torch_function: str | Callable[..., Any], function: Counter) -> None:
    """Say what an operator is, to every front end.

    Parameters
    ----------
    name_or_torch_function
        ``"domain::Type"`` of ONNX, ``"namespace::op"`` or a qualified name of torch, or the torch
        function itself. A name that is registered already gets the new function.
    function
        Called as ``function(graph, inputs, shapes_out, attributes)`` for each use: `inputs` are
        the tensors of `graph` that the operator reads, `shapes_out` the shapes that it makes and
        `attributes` its other arguments by name. It adds nodes to `graph`, most often one by
        `Graph.custom`, and returns the tensor, or one a shape, that the operator makes; None
        leaves the operator to the front end, which may not know it.

    Raises
    ------
    TypeError
        `function` cannot be called, or the first argument is neither a name nor a function.

    Examples
    --------
    >>> def fused_rotation(graph, inputs, shapes_out, attributes):
    ...     flops = 6 * graph.shape(inputs[0])[-1]
    ...     return graph.custom(inputs, "rotation", shapes_out[0], flops=flops)
    >>> register_op("com.example::Rotation", fused_rotation)
    """
    if not callable(function):
        raise TypeError(
            f"register_op: the counter is {function!r}; give a function(graph, inputs, "
            "shapes_out, attributes)"
        )
    OPERATORS[qualified_name(name_or_torch_function)] = function


def qualified_name(operator: str | Callable[..., Any]) -> str:
    """Return the key of an operator, without importing a framework."""
    if isinstance(operator, str):
        return operator
    operator = getattr(operator, "_opoverload", operator)  # of torch.library.custom_op
    schema = getattr(operator, "_schema", None)  # of one overload in torch.ops
    if schema is not None:
        return str(schema.name)
    packet = getattr(operator, "_qualified_op_name", None)  # of all its overloads
    if packet is not None:
        return str(packet)
    name = getattr(operator, "__name__", None)
    if name is None:
        raise TypeError(f"register_op: {operator!r} is neither a name nor a function")
    owner = getattr(operator, "__module__", None) or "torch"
    # Functions of torch's C++ part are known by where people call them.
    owner = {"torch._C._nn": "torch.nn.functional", "torch._C": "torch"}.get(owner, owner)
    if hasattr(operator, "__objclass__"):
        owner = "torch.Tensor"
    return f"{owner}.{name}"
