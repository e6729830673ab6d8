"""ONNX normalisations."""

from __future__ import annotations

from alphaflops.frontends.onnx_call import Call, Handler

__all__ = ["HANDLERS", "MICROSOFT"]


def _is_parameter(call: Call, i: int) -> bool:
    """Whether input `i` is stored in the file, not put there by an exporter as ones or zeros."""
    constant = call.constant(i)
    return call.has(i) and (constant is None or constant.trainable)


def _owning(call: Call, made: int, *inputs: int) -> int:
    names = [call.inputs[i] for i in inputs if call.constant(i) is not None]
    return call.net.own(made, names)


def _batch_norm(call: Call) -> int | None:
    call.need(3)
    return _owning(call, call.graph.batch_norm(call.tensor(0), call.name), 1, 2)


def _over_last(call: Call, x: int, kind: str, scale: int, shift: int) -> int:
    rank = len(call.graph.shape(x))
    axes = rank - call.axis(-1, rank)
    made = call.graph.norm(
        x, kind, axes, _is_parameter(call, scale), _is_parameter(call, shift), call.name
    )
    return _owning(call, made, scale, shift)


def _layer_norm(call: Call) -> int | None:
    call.need(1)
    return _over_last(call, call.tensor(0), "layer", 1, 2)


def _rms_norm(call: Call) -> int | None:
    call.need(1)
    return _over_last(call, call.tensor(0), "rms", 1, len(call.inputs))


def _over_image(kind: str) -> Handler:
    def handle(call: Call) -> int | None:
        call.need(1)
        scale, shift = _is_parameter(call, 1), _is_parameter(call, 2)
        made = call.graph.norm(call.tensor(0), kind, 1, scale, shift, call.name)
        return _owning(call, made, 1, 2)

    return handle


def _mean_variance_norm(call: Call) -> int | None:
    call.need(1)
    return call.graph.norm(call.tensor(0), "instance", 1, False, False, call.name)


def _lp_norm(call: Call) -> int | None:
    """Take the norm along an axis, and divide by it."""
    call.need(1)
    x, shape = call.tensor(0), call.shape(0)
    axis = call.axis(-1, len(shape))
    size = call.graph.reduce(x, "norm", [axis], True, f"{call.name}.norm")
    return call.element("div", [x, size], shape)


def _skip(kind: str) -> Handler:
    """Return the handler of a sum of input, residual and bias that is normalised then."""
    scale, shift, bias = (2, 3, 4) if kind == "layer" else (2, 99, 3)

    def handle(call: Call) -> list[int | None]:
        call.need(3)
        shape = call.shape(0)
        total = call.graph.element([call.tensor(0), call.tensor(1)], "add", name=f"{call.name}.add")
        if call.has(bias):
            operands = [total, call.tensor(bias)]
            total = call.graph.element(operands, "add", shape, f"{call.name}.bias")
        made = _over_last(call, total, kind, scale, shift)
        return [made, None, None, total]

    return handle


HANDLERS: dict[str, Handler] = {
    "BatchNormalization": _batch_norm,
    "GroupNormalization": _over_image("group"),
    "InstanceNormalization": _over_image("instance"),
    "LayerNormalization": _layer_norm,
    "LpNormalization": _lp_norm,
    "MeanVarianceNormalization": _mean_variance_norm,
    "RMSNormalization": _rms_norm,
    "SimplifiedLayerNormalization": _rms_norm,
}
MICROSOFT: dict[str, Handler] = {
    "LayerNormalization": _layer_norm,
    "SimplifiedLayerNormalization": _rms_norm,
    "SkipLayerNormalization": _skip("layer"),
    "SkipSimplifiedLayerNormalization": _skip("rms"),
}
