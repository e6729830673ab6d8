"""Steps of what transformers have: products of activations, attention, tables, and copies."""

from __future__ import annotations

import math

from alphaflops._cuda_plan import PARTS, attention_plans, matmul_plans
from alphaflops.measuring.cuda_layouts import Strides, dense
from alphaflops.measuring.cuda_step import (
    ITEM_BYTES,
    SUM_BYTES,
    Maker,
    Row,
    Step,
    key_of,
    no_plan,
    stream,
)

__all__ = ["SEQUENCE_MAKERS"]

_AXES = 5  # of a copy
_HEADS = 4  # axes of queries, keys and values


def _matrices(row: Row, tensor: int, name: str, outer: tuple[int, ...]) -> dict[str, int]:
    """Return the strides of an operand, whose axes before the last two may repeat."""
    shape, strides = row.graph.shape(tensor), row.layouts.strides(tensor)
    missing = len(outer) + 2 - len(shape)
    shape, axes = (1,) * missing + shape, (0,) * missing + strides.axes
    steps = [0 if n == 1 else step for n, step in zip(shape, axes, strict=True)]
    names = ("outer", "inner", "row", "column")
    sizes = dict(zip(names, (*steps[:-2], *axes[-2:]), strict=True))
    return {f"{name}_{key}": value for key, value in (*sizes.items(), ("offset", strides.offset))}


def _matmul(row: Row) -> list[Step]:
    graph = row.graph
    a, b = row.inputs
    out = graph.shape(row.node)
    if len(out) > _HEADS:
        return no_plan(row)
    outer = (1,) * (_HEADS - len(out)) + out[:-2]
    sizes = {"outer": outer[0], "inner": outer[1]}
    sizes |= {"rows": out[-2], "columns": out[-1], "depth": graph.shape(a)[-1]}
    sizes |= _matrices(row, a, "a", outer) | _matrices(row, b, "b", outer)
    c = dense((*outer, *out[-2:]))
    sizes |= dict(zip(("c_outer", "c_inner", "c_row"), c, strict=False))
    if sizes["a_column"] != 1 or 1 not in (sizes["b_row"], sizes["b_column"]):
        return no_plan(row)
    return [
        Step(
            name=graph.node_name(row.node),
            plans=matmul_plans(sizes, row.target, graph.dtype),
            inputs={"input": a, "second_input": b},
            output=row.last,
            key=key_of("matmul", sizes, graph.dtype),
        )
    ]


def _repeats(shape: tuple[int, ...], whole: tuple[int, ...]) -> bool:
    """Tell whether a mask has all columns of the scores, and of the other axes all or one."""
    missing = len(whole) - len(shape)
    axes = zip((1,) * missing + shape, whole, strict=True) if missing >= 0 else ()
    return shape[-1:] == whole[-1:] and missing >= 0 and all(n in (1, of) for n, of in axes)


def _attention(row: Row) -> list[Step]:
    """Attention writes its heads side by side, as what follows it reads them."""
    graph = row.graph
    q, k, v, *masks = row.inputs
    batch, heads, length, depth = graph.shape(q)
    shared_heads = graph.shape(k)[1]
    kv_length, v_depth = graph.shape(v)[2:]
    sizes = {"batch": batch, "heads": heads, "length": length, "kv_length": kv_length}
    sizes |= {"depth": depth, "v_depth": v_depth}
    for name, tensor in (("q", q), ("k", k), ("v", v)):
        sizes |= _matrices(row, tensor, name, (batch, heads))
        if sizes[f"{name}_column"] != 1:
            return no_plan(row)
    if shared_heads > 1:  # else steps of 0 say that all have the same
        sizes["group"] = heads // shared_heads
    inputs = {"input": q, "second_input": k, "third_input": v}
    for mask in masks:
        if not _repeats(graph.shape(mask), (batch, heads, length, kv_length)):
            return no_plan(row)
        sizes |= _matrices(row, mask, "mask", (batch, heads))
        if graph.shape(mask)[-2:-1] in ((), (1,)):
            sizes["mask_row"] = 0  # the same for all queries
        inputs["mask"] = mask
    features = heads * v_depth
    sizes |= {"y_outer": length * features, "y_inner": v_depth, "y_row": features}
    causal = bool(row.attributes.get("causal", False))
    if causal and length > kv_length:  # queries that see no key
        return no_plan(row)
    return [
        Step(
            name=graph.node_name(row.node),
            plans=attention_plans(sizes, row.target, graph.dtype, causal),
            inputs=inputs,
            output=row.last,
            key=key_of("attention", sizes, graph.dtype, causal),
        )
    ]


def _embedding(row: Row) -> list[Step]:
    """Rows of a table that the layer owns."""
    rows, features = row.attributes["rows"], row.attributes["features"]
    indices = math.prod(row.graph.shape(row.inputs[0]))
    sizes = {"batch": indices, "channels": features, "table_rows": rows}
    table = {"weights": rows * features * ITEM_BYTES[row.graph.dtype]}
    return [
        stream(row, "lookup", sizes=sizes, inputs={"input": row.inputs[0]}, parameters=table),
    ]


def _gather(row: Row) -> list[Step]:
    """Rows of another tensor, at indices that no graph has."""
    (table,) = row.inputs
    *indices, features = row.graph.shape(row.node)
    rows, same = math.prod(row.graph.shape(table)[:-1]), row.graph.shape(table)[-1]
    if same != features:
        return no_plan(row)
    sizes = {"batch": math.prod(indices), "channels": features, "table_rows": rows}
    parameters = {"input": math.prod(indices) * SUM_BYTES}
    return [stream(row, "lookup", sizes=sizes, inputs={"weights": table}, parameters=parameters)]


def _concat(row: Row) -> list[Step]:
    """As many inputs a launch as one takes, each into its columns of the output."""
    layouts = row.layouts
    shape = layouts.memory_shape(row.node)
    axis = layouts.memory_axis(row.node, row.attributes.get("axis", 1))
    sizes = {"batch": math.prod(shape[:axis]), "out_channels": math.prod(shape[axis:])}
    steps, column = [], 0
    for first in range(0, len(row.inputs), PARTS):
        parts, own = row.inputs[first : first + PARTS], {"out_channel": column}
        for i, tensor in enumerate(parts):
            rows = layouts.rows(tensor, row.node, axis)
            own |= {f"channels_{i}": rows.length, f"stride_{i}": rows.stride}
            own |= {f"offset_{i}": rows.offset}
            column += rows.length
        inputs = {f"part_{i}": tensor for i, tensor in enumerate(parts)}
        steps.append(stream(row, "concat", sizes=sizes | own, inputs=inputs))
    return steps


def _copy_axes(
    row: Row,
    shape: tuple[int, ...],
    strides: Strides,
    extents: tuple[int, ...] | None = None,
    shifts: tuple[int, ...] | None = None,
) -> list[Step]:
    missing = _AXES - len(shape)
    sizes = {"offset": strides.offset}
    for axis in range(len(shape)):
        sizes[f"size_{axis + missing}"] = shape[axis]
        sizes[f"stride_{axis + missing}"] = strides.axes[axis]
        sizes[f"extent_{axis + missing}"] = shape[axis] if extents is None else extents[axis]
        sizes[f"shift_{axis + missing}"] = 0 if shifts is None else shifts[axis]
    return [stream(row, "copy_axes", sizes=sizes, inputs={"input": row.inputs[0]})]


def _resize(row: Row) -> list[Step]:
    """Pad or cut: every axis to another extent."""
    shape = row.layouts.memory_shape(row.node)
    into = row.layouts.memory_shape(row.inputs[0])
    if len(shape) != len(into) or len(shape) > _AXES or len(row.inputs) != 1:
        return no_plan(row)
    return _copy_axes(row, shape, Strides(dense(into)), into)


def _roll(row: Row) -> list[Step]:
    """Shift the middle axes, by about as much as windows of attention are."""
    shape = row.layouts.memory_shape(row.node)
    if len(shape) > _AXES:
        return no_plan(row)
    shifts = tuple(min(3, n - 1) if 0 < i < len(shape) - 1 else 0 for i, n in enumerate(shape))
    return _copy_axes(row, shape, Strides(dense(shape)), shape, shifts)


def _copy(row: Row) -> list[Step]:
    """Copy in another order, as far as shapes tell which."""
    graph, layouts = row.graph, row.layouts
    (source,) = row.inputs
    into, out = graph.shape(source), graph.shape(row.node)
    if math.prod(into) != math.prod(out):
        return no_plan(row)
    strides = layouts.strides(source)
    if layouts.is_image(source):
        return _shuffle(row) if graph.node_op(row.node) == "transpose" else _straight(row)
    order: tuple[int, ...] = ()  # of the axes of what is read
    if len(into) == 2 and out[-2:] != into:  # noqa: PLR2004  (a matrix)
        order = (1, 0)
    elif len(into) == _HEADS and out == (into[0], into[2], into[1] * into[3]):
        order = (0, 2, 1, 3)  # heads side by side
    elif len(into) == _HEADS and out == (*into[:2], into[3], into[2]) and into[2] != into[3]:
        order = (0, 1, 3, 2)
    elif strides.axes != dense(into):
        order = tuple(range(len(into)))
    if not order:
        return _windows(row) or _straight(row)
    axes = Strides(tuple(strides.axes[axis] for axis in order), strides.offset)
    return _copy_axes(row, tuple(into[axis] for axis in order), axes)


def _straight(row: Row) -> list[Step]:
    elements = math.prod(row.graph.shape(row.node))
    sizes = {"channels_0": elements, "out_channels": elements}
    return [stream(row, "concat", sizes=sizes, inputs={"part_0": row.inputs[0]})]


def _shuffle(row: Row) -> list[Step]:
    """Take the channels of two halves by turns."""
    *pixels, channels = row.layouts.memory_shape(row.node)
    if channels % 2:
        return _straight(row)
    return _copy_axes(
        row, (math.prod(pixels), channels // 2, 2), Strides((channels, 1, channels // 2))
    )


def _windows(row: Row) -> list[Step]:
    """Sort the pixels of [n, h, w, c] into square windows [windows, pixels, c], or back."""
    into, out = row.graph.shape(row.inputs[0]), row.graph.shape(row.node)
    to_windows = len(into) == _HEADS
    images, windows = (into, out) if to_windows else (out, into)
    if len(images) != _HEADS or len(windows) != _HEADS - 1 or images[3] != windows[2]:
        return []
    side, channels = math.isqrt(windows[1]), images[3]
    batch, height, width = images[:3]
    if side * side != windows[1] or height % side or width % side:
        return []
    down, across = batch * height // side, width // side
    row_step, window_step = width * channels, side * side * channels
    if to_windows:
        shape = (down, across, side, side, channels)
        axes = (side * row_step, side * channels, row_step, channels, 1)
    else:
        shape = (down, side, across, side, channels)
        axes = (across * window_step, side * channels, window_step, channels, 1)
    return _copy_axes(row, shape, Strides(axes))


SEQUENCE_MAKERS: dict[str, Maker] = {
    "matmul": _matmul,
    "attention": _attention,
    "embedding": _embedding,
    "gather": _gather,
    "concat": _concat,
    "pad": _resize,
    "slice": _resize,
    "roll": _roll,
    "transpose": _copy,
    "contiguous": _copy,
    "copy": _copy,
}
