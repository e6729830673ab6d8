"""ONNX operators that do a few operations an element: arithmetic, activations, reductions."""

from __future__ import annotations

from collections.abc import Sequence

from onnx import NodeProto

from alphaflops.frontends.onnx_call import Call, Handler

__all__ = ["HANDLERS", "MICROSOFT"]

_IMAGE_AXES = 4


def _broadcast(call: Call) -> tuple[int, ...]:
    """Return the shape of all inputs together."""
    shapes = [call.shape(i) for i in range(len(call.inputs)) if call.has(i)]
    rank = max(map(len, shapes))
    made: list[int] = []
    for sizes in zip(*((1,) * (rank - len(s)) + tuple(s) for s in shapes), strict=True):
        wide = {size for size in sizes if size != 1}
        if len(wide) > 1:
            raise call.fail(
                f"shapes {', '.join(map(str, map(list, shapes)))} do not broadcast; sizes must be "
                "equal or 1, from the last axis on"
            )
        made.append(wide.pop() if wide else 1)
    return tuple(made)


def _pointwise(kind: str) -> Handler:
    """Return the handler of an element operator whose operands broadcast."""

    def handle(call: Call) -> int | None:
        call.need(1)
        return call.element(kind, call.operands(), _broadcast(call))

    return handle


def _folded(kind: str) -> Handler:
    """Return the handler of an operator of any number of operands, taken two at a time."""

    def handle(call: Call) -> int | None:
        call.need(1)
        shape = _broadcast(call)
        made, *others = call.operands()
        if len(call.inputs) == 1:
            return made
        for i, other in enumerate(others[:-1]):
            made = call.graph.element([made, other], kind, name=f"{call.name}:{i + 1}")
        return call.element(kind, [made, *others[-1:]], shape)

    return handle


def _add(call: Call) -> int | None:
    call.need(2)
    x = call.operands()
    if len(x) == 2 and call.shape(0) == call.shape(1):  # noqa: PLR2004
        return call.graph.add(x[0], x[1], call.name)
    return _pointwise("add")(call)  # type: ignore[return-value]


def _sum(call: Call) -> int | None:
    if len(call.inputs) == 2:  # noqa: PLR2004
        return _add(call)
    return _folded("add")(call)  # type: ignore[return-value]


def _mul(call: Call) -> int | None:
    call.need(2)
    x = call.operands()
    if len(x) == 2:  # noqa: PLR2004
        for a, b in (x, x[::-1]):
            image, gate = call.graph.shape(a), call.graph.shape(b)
            if image == gate or (len(image) == _IMAGE_AXES and gate == (*image[:2], 1, 1)):
                return call.graph.mul(a, b, call.name)
    return _pointwise("mul")(call)  # type: ignore[return-value]


def _mean(call: Call) -> int | None:
    total = _folded("add")(call)
    return None if not isinstance(total, int) else call.graph.element([total], "div")


def _activation(function: str) -> Handler:
    def handle(call: Call) -> int | None:
        call.need(1)
        return call.graph.activation(call.tensor(0), function, call.name)

    return handle


def _sigmoid(call: Call) -> int | None:
    """With x * sigmoid(x), which exporters write for it, it is a SiLU."""
    call.need(1)
    made = call.node.output[0]
    product = call.net.only_reader(made, "Mul", call.inputs[0])
    if product is not None:
        call.net.fold(product, made)
    return _activation("sigmoid" if product is None else "silu")(call)  # type: ignore[return-value]


def _softplus(call: Call) -> int | None:
    """Softplus, or Mish with x * tanh(softplus(x)); a large x may be put through as it is."""
    call.need(1)
    net, x, made = call.net, call.inputs[0], call.node.output[0]
    kind, last, steps = "softplus", made, _put_through(call)
    if steps:
        last = steps[-1].output[0]
    tanh = net.only_reader(last, "Tanh")
    product = None if tanh is None else net.only_reader(tanh.output[0], "Mul", x)
    if tanh is not None and product is not None:
        kind, steps = "mish", [*steps, tanh, product]
    for step in steps:
        net.fold(step, made)
    return _element(kind)(call)  # type: ignore[return-value]


def _put_through(call: Call) -> list[NodeProto]:
    """Return the two nodes that choose x itself, where it is large, over what a node makes of x."""
    net, x, made = call.net, call.inputs[0], call.node.output[0]
    where = net.only_reader(made, "Where", x)
    if where is None or list(where.input[1:]) != [x, made]:
        return []
    for node in net.readers(x):
        compares = node.op_type == "Greater" and list(node.output) == [where.input[0]]
        alone = compares and net.only_reader(node.output[0], "Where") is where
        if alone and net.is_constant(node.input[-1]) and node.output[0] not in net.tensors:
            return [node, where]
    return []


def _element(kind: str) -> Handler:
    """Return the handler of an element operator of its first input alone."""

    def handle(call: Call) -> int | None:
        call.need(1)
        return call.element(kind, call.tensor(0), call.shape(0))

    return handle


def _clip(call: Call) -> int | None:
    call.need(1)
    low, high = call.scalar("min", 1), call.scalar("max", 2)
    if low == 0 and high in (6, None, float("inf")):
        return _activation("relu6" if high == 6 else "relu")(call)  # type: ignore[return-value]  # noqa: PLR2004
    return call.element("clip", call.tensor(0), call.shape(0))


def _gelu(call: Call) -> int | None:
    exact = call.text("approximate", "none") == "none"
    handle = _activation("gelu") if exact else _element("gelu_tanh")
    return handle(call)  # type: ignore[return-value]


def _bias_gelu(call: Call) -> int | None:
    call.need(1)
    x = call.tensor(0)
    if call.has(1):
        x = call.graph.element([x, call.tensor(1)], "add", name=f"{call.name}.add")
    if call.node.op_type == "FastGelu":
        return call.element("gelu_tanh", x, call.shape(0))
    return call.graph.activation(x, "gelu", call.name)


def _prelu(call: Call) -> int | None:
    call.need(2)
    return call.element("prelu", [call.tensor(0), call.tensor(1)], call.shape(0))


def _softsign(call: Call) -> int | None:
    """Divide x by 1 + |x|, which frameworks run as three steps."""
    call.need(1)
    x, shape = call.tensor(0), call.shape(0)
    size = call.graph.element([x], "abs", shape, f"{call.name}.abs")
    size = call.graph.element([size], "add", shape, f"{call.name}.add")
    return call.element("div", [x, size], shape)


def _softmax(call: Call) -> int | None:
    call.need(1)
    return call.graph.softmax(call.tensor(0), call.name)


def _random(call: Call) -> int | None:
    return call.element("fill", [], call.made())


# --- reductions ------------------------------------------------------------------------------


def _axes(call: Call) -> list[int] | None:
    """Return the reduced axes; all where none are given, None where they are not known."""
    rank = len(call.shape(0))
    axes = call.values("axes", 1)
    if axes is None and call.has(1):
        return None
    if not axes:
        return [] if call.integer("noop_with_empty_axes", 0) else list(range(rank))
    if any(not -rank <= axis < rank for axis in axes):
        raise call.fail(f"axes are {axes[:8]}; the input has {rank} axes")
    return sorted(axis % rank for axis in axes)


def _reduce(kind: str, then: Sequence[str] = ()) -> Handler:
    """Return the handler of a reduction, with element operators behind it."""

    def handle(call: Call) -> int | None:
        call.need(1)
        axes, x, keeps = _axes(call), call.tensor(0), bool(call.integer("keepdims", 1))
        if axes is None:
            return None
        if not axes:
            return x
        if kind == "mean" and len(call.shape(0)) == _IMAGE_AXES and axes == [2, 3]:
            made = call.graph.global_avg_pool(x, call.name)
            return made if keeps else call.graph.flatten(made, f"{call.name}.flatten")
        made = call.graph.reduce(x, kind, axes, keeps, call.name)
        for follower in then:
            made = call.graph.element([made], follower, name=f"{call.name}.{follower}")
        return made

    return handle


def _arg_reduce(call: Call) -> int | None:
    call.need(1)
    axis = call.axis(0, len(call.shape(0)))
    return call.graph.reduce(
        call.tensor(0), "argmax", [axis], bool(call.integer("keepdims", 1)), call.name
    )


def _top_k(call: Call) -> list[int | None]:
    """Find the values; their places are written along with them."""
    call.need(1)
    shape = call.made()
    made = call.element("topk", call.tensor(0), shape)
    return [made, call.graph.part(made, shape, f"{call.name}:1") if call.wants(1) else None]


_POINTWISE = {
    **dict.fromkeys(("And", "Or", "Xor", "Not"), "logical"),
    **dict.fromkeys(("BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot", "BitShift"), "logical"),
    **dict.fromkeys(("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"), "compare"),
    **dict.fromkeys(("IsInf", "IsNaN"), "compare"),
    # One transcendental function an element, whichever it is.
    **dict.fromkeys(("Acos", "Acosh", "Cos", "Cosh"), "cos"),
    **dict.fromkeys(("Asin", "Asinh", "Sin", "Sinh", "Tan", "Atan", "Atanh"), "sin"),
    **dict.fromkeys(("Div", "Mod"), "div"),
    "Abs": "abs",
    "Ceil": "ceil",
    "Erf": "erf",
    "Exp": "exp",
    "Floor": "floor",
    "Log": "log",
    "Neg": "neg",
    "Pow": "pow",
    "Reciprocal": "reciprocal",
    "Round": "round",
    "Sign": "sign",
    "Sqrt": "sqrt",
    "Sub": "sub",
    "Where": "where",
}
_OF_FIRST = {
    "Bernoulli": "fill",
    "Celu": "elu",
    "CumProd": "cumsum",
    "CumSum": "cumsum",
    "Elu": "elu",
    "EyeLike": "fill",
    "LeakyRelu": "leaky_relu",
    "LogSoftmax": "log_softmax",
    "Mish": "mish",
    "RandomNormalLike": "fill",
    "RandomUniformLike": "fill",
    "Selu": "selu",
    "Shrink": "clip",
    "ThresholdedRelu": "clip",
}
_ACTIVATIONS = {
    "HardSigmoid": "hardsigmoid",
    "HardSwish": "hardswish",
    "Relu": "relu",
    "Swish": "silu",
    "Tanh": "tanh",
}

HANDLERS: dict[str, Handler] = {
    **{op: _pointwise(kind) for op, kind in _POINTWISE.items()},
    **{op: _element(kind) for op, kind in _OF_FIRST.items()},
    **{op: _activation(function) for op, function in _ACTIVATIONS.items()},
    "Add": _add,
    "ArgMax": _arg_reduce,
    "ArgMin": _arg_reduce,
    "Clip": _clip,
    "Gelu": _gelu,
    "Max": _folded("maximum"),
    "Mean": _mean,
    "Min": _folded("minimum"),
    "Mul": _mul,
    "PRelu": _prelu,
    "RandomNormal": _random,
    "RandomUniform": _random,
    "ReduceL1": _reduce("norm"),
    "ReduceL2": _reduce("norm"),
    "ReduceLogSum": _reduce("sum", ["log"]),
    "ReduceLogSumExp": _reduce("logsumexp"),
    "ReduceMax": _reduce("max"),
    "ReduceMean": _reduce("mean"),
    "ReduceMin": _reduce("min"),
    "ReduceProd": _reduce("prod"),
    "ReduceSum": _reduce("sum"),
    "ReduceSumSquare": _reduce("norm"),
    "Sigmoid": _sigmoid,
    "Softmax": _softmax,
    "Softplus": _softplus,
    "Softsign": _softsign,
    "Sum": _sum,
    "TopK": _top_k,
}
MICROSOFT: dict[str, Handler] = {
    "BiasGelu": _bias_gelu,
    "FastGelu": _bias_gelu,
    "Gelu": _gelu,
    "QuickGelu": _activation("silu"),
}
