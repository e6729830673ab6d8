"""ONNX operators that move elements, or only say how they are to be read."""

from __future__ import annotations

import math

from alphaflops.frontends.onnx_call import Call, Handler
from alphaflops.frontends.onnx_values import FLOATS

__all__ = ["HANDLERS"]


def _same(call: Call) -> list[int | None]:
    call.need(1)
    return [call.tensor(0), None]


def _view(call: Call) -> int | None:
    call.need(1)
    x, shape = call.tensor(0), call.made()
    if shape == call.graph.shape(x):
        return x
    return call.graph.view(x, shape, call.name)


def _reshape(call: Call) -> int | None:
    """Read in the shape that a constant says; inferred here, for transformers have hundreds."""
    call.need(1)
    shape, sizes = call.shape(0), call.values("shape", 1)
    if sizes is None or call.integer("allowzero", 0):
        return _view(call)
    if any(size == 0 and i >= len(shape) for i, size in enumerate(sizes)):
        raise call.fail(f"it keeps axes of {list(shape)} in {sizes[:8]} that are not there")
    sizes = [size or shape[i] for i, size in enumerate(sizes)]
    if sizes.count(-1) == 1:
        known = math.prod(size for size in sizes if size != -1)
        sizes[sizes.index(-1)] = math.prod(shape) // known if known else 0
    x = call.tensor(0)
    return x if sizes == list(shape) else call.graph.view(x, sizes, call.name)


def _copy(kind: str) -> Handler:
    """Return the handler of what writes elements of its first input, and where others say."""

    def handle(call: Call) -> int | None:
        call.need(1)
        return call.element(kind, call.tensor(0), call.made())

    return handle


def _repeat(call: Call) -> int | None:
    call.need(1)
    x, shape = call.tensor(0), call.made()
    return x if shape == call.graph.shape(x) else call.element("repeat", x, shape)


def _cut(call: Call) -> int | None:
    """Copy a slice; one of the whole is none."""
    call.need(1)
    x, shape = call.tensor(0), call.made()
    steps = call.value(4) if call.has(4) else None
    if shape == call.graph.shape(x) and (steps is None or (steps > 0).all()):
        return x
    return call.element("slice", x, shape)


def _split(call: Call) -> list[int | None]:
    call.need(1)
    x, name = call.tensor(0), call.name
    sizes = call.values("split", 1)
    shape = list(call.shape(0))
    axis = call.axis(0, len(shape))
    parts = len(call.node.output)
    if sizes is None:
        size = -(-shape[axis] // parts)
        sizes = [size] * (parts - 1) + [shape[axis] - size * (parts - 1)]
    if len(sizes) != parts or sum(sizes) != shape[axis]:
        raise call.fail(f"split is {sizes[:8]}; {parts} sizes that add up to {shape[axis]} are due")
    if parts == 1:
        return [x]
    made: list[int | None] = []
    for i, size in enumerate(sizes):
        shape[axis] = size
        piece = f"{name}:{i}" if i else name
        wanted = call.wants(i) or i == 0
        made.append(call.graph.element([x], "slice", shape, piece) if wanted else None)
    return made


def _concat(call: Call) -> int | None:
    call.need(1)
    shapes = [(i, call.shape(i)) for i in range(len(call.inputs)) if call.has(i)]
    held = [call.tensor(i) for i, shape in shapes if math.prod(shape)]  # an empty one adds nothing
    if not held:
        raise call.fail("all that it joins is empty; export the model with sizes above 0")
    axis = call.axis(1, len(call.graph.shape(held[0])))
    return held[0] if len(held) == 1 else call.graph.concat(held, call.name, axis)


def _transpose(call: Call) -> int | None:
    call.need(1)
    x, shape = call.tensor(0), call.shape(0)
    axes = len(shape)
    order = call.ints("perm") or list(range(axes))[::-1]
    if sorted(order) != list(range(axes)):
        raise call.fail(f"perm is {order[:8]}; each of {axes} axes is needed once")
    made = [shape[axis] for axis in order]
    if not made:
        return x
    moved = [axis for axis in order if shape[axis] > 1]
    if moved == sorted(moved):  # only axes of one element change places
        return x if tuple(made) == shape else call.graph.view(x, made, call.name)
    return call.element("transpose", x, made, order=[order.index(axis) for axis in range(axes)])


def _gather(call: Call) -> int | None:
    """Rows of a stored table are an embedding; anything else is a copy."""
    call.need(2)
    table = call.constant(0)
    shape, picked = call.shape(0), call.shape(1)
    axis = call.axis(0, len(shape))
    is_table = table is not None and bool(table.bases) and len(shape) == 2  # noqa: PLR2004
    if is_table and axis == 0 and not call.is_constant(1):
        made = call.graph.embedding(call.tensor(1), shape[0], shape[1], call.name)
        return call.net.own(made, call.inputs[:1])
    made_shape = [*shape[:axis], *picked, *shape[axis + 1 :]]
    x = call.tensor(0)
    if not made_shape or math.prod(picked) == 1:  # one slice, at a place that is known or not
        return call.graph.part(x, made_shape, call.name)
    return call.element("gather", x, made_shape)


def _scatter(call: Call) -> int | None:
    call.need(3)
    return call.element("scatter", [call.tensor(0), call.tensor(2)], call.shape(0))


def _cast(call: Call) -> int | None:
    """Copy; between floating types it is the model's precision, not a step of its own."""
    like = call.node.op_type == "CastLike"
    call.need(2 if like else 1)
    types = call.net.types
    to = call.integer("to", 0)
    if like:
        to = types.element(call.inputs[1], call.net.constants)
    of = types.element(call.inputs[0], call.net.constants)
    x = call.tensor(0)
    if to == of or (to in FLOATS and of in FLOATS):
        return x
    return call.element("cast", x, call.graph.shape(x))


HANDLERS: dict[str, Handler] = {
    "Cast": _cast,
    "CastLike": _cast,
    "CenterCropPad": _copy("pad"),
    "Col2Im": _copy("unfold"),
    "Concat": _concat,
    "DepthToSpace": _copy("pixel_shuffle"),
    "Dropout": _same,
    "Expand": _repeat,
    "Flatten": _view,
    "Gather": _gather,
    "GatherElements": _copy("gather"),
    "GatherND": _copy("gather"),
    "Identity": _same,
    "MaxUnpool": _copy("scatter"),
    "OneHot": _copy("scatter"),
    "Pad": _copy("pad"),
    "Reshape": _reshape,
    "ReverseSequence": _copy("flip"),
    "Scatter": _scatter,
    "ScatterElements": _scatter,
    "ScatterND": _scatter,
    "Slice": _cut,
    "SpaceToDepth": _copy("pixel_shuffle"),
    "Split": _split,
    "Squeeze": _view,
    "TensorScatter": _scatter,
    "Tile": _repeat,
    "Transpose": _transpose,
    "Trilu": _copy("copy"),
    "Unsqueeze": _view,
}
