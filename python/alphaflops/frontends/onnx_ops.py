"""What each ONNX operator is in a graph: the tables of the handlers.

A handler gets the call of a node and returns the tensor that the node makes, or one a result with
None for those that it leaves out; None where this use of the operator has no counterpart, which is
then listed as unknown. Attributes and their defaults: https://onnx.ai/onnx/operators.
"""

from __future__ import annotations

from alphaflops.frontends import (
    onnx_arithmetic,
    onnx_attention,
    onnx_layout,
    onnx_norms,
    onnx_products,
    onnx_quantized,
    onnx_windows,
)
from alphaflops.frontends.onnx_call import Handler

__all__ = ["handler_of", "operators"]

_MODULES = (
    onnx_arithmetic,
    onnx_attention,
    onnx_layout,
    onnx_norms,
    onnx_products,
    onnx_quantized,
    onnx_windows,
)
_STANDARD: dict[str, Handler] = {op: h for module in _MODULES for op, h in module.HANDLERS.items()}
_MICROSOFT: dict[str, Handler] = {
    op: h for module in _MODULES for op, h in getattr(module, "MICROSOFT", {}).items()
}


def handler_of(domain: str, op: str) -> Handler | None:
    """Return the handler of an operator, or None where it is not known."""
    if domain in ("", "ai.onnx"):
        return _STANDARD.get(op)
    return _MICROSOFT.get(op) if domain == "com.microsoft" else None


def operators(domain: str = "") -> tuple[str, ...]:
    """Return the operators of a domain that have handlers, sorted."""
    known = _STANDARD if domain in ("", "ai.onnx") else _MICROSOFT
    return tuple(sorted(known)) if domain in ("", "ai.onnx", "com.microsoft") else ()
