"""ONNX operators on integers that stand for real numbers."""

from __future__ import annotations

from alphaflops.frontends.onnx_call import Call, Handler
from alphaflops.frontends.onnx_products import product_of
from alphaflops.frontends.onnx_windows import conv_of

__all__ = ["HANDLERS", "MICROSOFT"]


def _quantize(kind: str) -> Handler:
    def handle(call: Call) -> list[int | None]:
        call.need(1)
        return [call.element(kind, call.tensor(0), call.shape(0))]

    return handle


def _dynamic_quantize(call: Call) -> list[int | None]:
    """Find the range, from which scale and zero point follow; then quantise."""
    call.need(1)
    x, graph, name = call.tensor(0), call.graph, call.name
    highest = graph.reduce(x, "max", name=f"{name}.max")
    lowest = graph.reduce(x, "min", name=f"{name}.min")
    made = call.element("quantize", x, call.shape(0))
    return [made, highest, lowest]


def _qlinear_conv(call: Call) -> int | None:
    return conv_of(call, 3, 8)


def _conv_integer(call: Call) -> int | None:
    return conv_of(call, 1, None)


def _qlinear_matmul(call: Call) -> int | None:
    call.need(4)
    return product_of(call, 0, 3)


def _matmul_integer(call: Call) -> int | None:
    call.need(2)
    return product_of(call, 0, 1)


def _qlinear(kind: str) -> Handler:
    """Return the handler of com.microsoft's arithmetic on quantised operands."""

    def handle(call: Call) -> int | None:
        call.need(4)
        operands = [call.tensor(0), call.tensor(3)]
        return call.graph.element(operands, kind, name=call.name)

    return handle


HANDLERS: dict[str, Handler] = {
    "ConvInteger": _conv_integer,
    "DequantizeLinear": _quantize("dequantize"),
    "DynamicQuantizeLinear": _dynamic_quantize,
    "MatMulInteger": _matmul_integer,
    "QLinearConv": _qlinear_conv,
    "QLinearMatMul": _qlinear_matmul,
    "QuantizeLinear": _quantize("quantize"),
}
MICROSOFT: dict[str, Handler] = {
    "DequantizeLinear": _quantize("dequantize"),
    "QLinearAdd": _qlinear("add"),
    "QLinearMul": _qlinear("mul"),
    "QuantizeLinear": _quantize("quantize"),
}
