"""What a GPU runs for the rows of a work table: every plan of each, and its memory."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

from alphaflops._core import Graph, lower
from alphaflops._cuda_plan import Target
from alphaflops.errors import UnsupportedError
from alphaflops.measuring.cuda_layouts import Layouts
from alphaflops.measuring.cuda_step import ITEM_BYTES, SUM_BYTES, Row, Step, stream
from alphaflops.measuring.cuda_step_makers import LAYER_MAKERS
from alphaflops.measuring.cuda_step_recurrent import RECURRENT_MAKERS
from alphaflops.measuring.cuda_step_sequences import SEQUENCE_MAKERS

__all__ = ["Step", "bytes_of", "steps_of", "views_of"]

#: That a sum or a norm may apply at last.
_ACTIVATIONS = {
    *("relu", "relu6", "sigmoid", "silu", "hardsigmoid", "hardswish", "gelu", "tanh"),
    *("gelu_tanh", "leaky_relu"),
}
_FUNCTIONS = _ACTIVATIONS | {
    *("elu", "selu", "softplus", "mish", "exp", "log", "erf", "sqrt", "rsqrt", "reciprocal"),
    *("abs", "neg"),
}
#: Whose bounds no graph has.
_STAND_INS = {"clip": "relu6"}
_NORM = "batch_norm"
_VIEWS = {"flatten", "view", "part", "dropout", "identity"}
_MAKERS = LAYER_MAKERS | SEQUENCE_MAKERS | RECURRENT_MAKERS


def bytes_of(graph: Graph, steps: Sequence[Step] = ()) -> list[int]:
    """Return what the memory of each tensor takes; 0 for views of another's.

    Those that steps write and that are none of the graph follow. Sums of int8 are of four bytes,
    and so are indices. What a view repeats lies there once more.
    """
    layouts, owner = Layouts(graph), views_of(graph)
    sizes = [0] * len(graph)
    for node in range(len(graph)):
        is_sum = graph.dtype == "int8" and graph.node_op(node) in ("conv2d", "linear")
        item = SUM_BYTES if is_sum or layouts.is_index(node) else ITEM_BYTES[graph.dtype]
        own = math.prod(graph.shape(node)) * item
        sizes[owner[node]] = max(sizes[owner[node]], own)
    spare = {step.output: step.output_bytes for step in steps if step.output >= len(graph)}
    return sizes + [spare[tensor] for tensor in sorted(spare)]


def views_of(graph: Graph) -> dict[int, int]:
    """Return the tensor in whose memory each tensor lies: itself, but for views of another."""
    owner: dict[int, int] = {}
    for node in range(len(graph)):
        inputs = graph.node_inputs(node)
        is_view = graph.node_op(node) in _VIEWS
        owner[node] = owner[inputs[0]] if is_view and inputs else node
    return owner


def steps_of(graph: Graph, target: Target) -> list[Step]:
    """Return the launches of a graph, norms and activations folded where a kernel can do so.

    Raises
    ------
    UnsupportedError
        An operator without a kernel; the message names the layer.
    """
    work = lower(graph, "fused_relu")
    layouts = Layouts(graph)
    steps: list[Step] = []
    done: set[int] = set()
    spare = itertools.count(len(graph))
    for node, folded in zip(work.node.tolist(), work.folded, strict=True):
        if node in done:  # a second row of the same operator
            continue
        done |= {node, *folded}
        steps += _row(graph, layouts, node, folded, target, spare=spare)
    return steps


def _row(
    graph: Graph,
    layouts: Layouts,
    node: int,
    folded: Sequence[int],
    target: Target,
    *,
    spare: Iterator[int],
) -> list[Step]:
    """Return the steps of one row: its operator, and what its epilogue cannot take over."""
    ops = [_STAND_INS.get(op, op) for op in map(graph.node_op, folded)]
    for each, op in zip(folded, ops, strict=True):
        if op not in _FUNCTIONS and op != _NORM:
            raise _unknown(graph, each)
    function = next((op for op in ops if op in _FUNCTIONS), "none")
    op = _STAND_INS.get(graph.node_op(node), graph.node_op(node))
    if op in _FUNCTIONS:
        return [stream(Row(graph, layouts, node, target, op, False, node, spare), "activation")]
    if op not in _MAKERS:
        raise _unknown(graph, node)
    stands_alone = function not in _ACTIVATIONS or _repeats(graph, node)
    in_launch = "none" if stands_alone else function
    last = folded[-1] if folded else node
    row = Row(graph, layouts, node, target, in_launch, _NORM in ops, last, spare)
    steps = _MAKERS[op](row)
    if in_launch != function:
        after = Row(graph, layouts, last, target, function, False, last, spare)
        steps.append(stream(after, "activation", inputs={"input": last}))
    for step in steps:
        if not step.plans:
            raise _unknown(graph, node)
    return steps


def _repeats(graph: Graph, node: int) -> bool:
    """Tell whether an operand of a sum is smaller than it: such a kernel applies no function."""
    shape = graph.shape(node)
    return graph.node_op(node) == "add" and any(
        graph.shape(each) != shape for each in graph.node_inputs(node)
    )


def _unknown(graph: Graph, node: int) -> UnsupportedError:
    return UnsupportedError(
        f"{graph.node_name(node)}: no kernel of the cuda backend does '{graph.node_op(node)}' of "
        f"{[graph.shape(i) for i in graph.node_inputs(node)]} in {graph.dtype} on this GPU; the "
        "torch backend may (--backend torch --on cuda)"
    )
