"""Operators as rows of a table yet to be measured, and those of a network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from alphaflops import _core
from alphaflops._core import Graph, WorkTable
from alphaflops.table.columns import INTEGERS

__all__ = ["Frames", "Shape", "graphs_of", "operators_of", "passes_of", "to_table"]

_WINDOWED = {"conv2d", "max_pool", "avg_pool"}
_TRANSPOSED = "conv_transpose2d"
_OTHERS = {"global_avg_pool", "batch_norm", "add", "mul", "concat", "softmax"}
_ACTIVATIONS = {"relu", "relu6", "sigmoid", "silu", "hardsigmoid", "hardswish", "gelu", "tanh"}
GATES = {"lstm": 4, "gru": 3}
_TRAINED = {"conv2d", _TRANSPOSED, "linear", "batch_norm", "layer_norm"}
_IMAGE_OPS = _WINDOWED | _OTHERS | _ACTIVATIONS
_DTYPE = np.dtype(
    [
        ("op", "U24"),
        *((name, np.int64) for name in ("batch", "c_in", "h_in", "w_in", "c_out", "k_h", "k_w")),
        *((name, np.int64) for name in ("stride_h", "stride_w", "pad_h", "pad_w")),
        *((name, np.int64) for name in ("dilation_h", "dilation_w", "groups", "bias", "training")),
        ("dtype", "U4"),
        ("pass", "U15"),
    ]
)


class Frames(NamedTuple):
    """The first axis of a volume."""

    extent: int
    kernel: int = 1
    stride: int = 1
    pad: int = 0

    @property
    def extent_out(self) -> int:
        """Frames of the output."""
        return (self.extent + 2 * self.pad - self.kernel) // self.stride + 1


class Shape(NamedTuple):
    """An operator on square images with square windows, or on frames of them."""

    op: str
    c_in: int
    size: int
    c_out: int
    kernel: int = 1
    stride: int = 1
    pad: int = 0
    groups: int = 1
    batch: int = 1
    pass_: str = "forward"
    bias: bool = False
    frames: Frames = Frames(1)

    @property
    def size_out(self) -> int:
        """Extent of the output."""
        if self.op == _TRANSPOSED:
            return (self.size - 1) * self.stride - 2 * self.pad + self.kernel
        return (self.size + 2 * self.pad - self.kernel) // self.stride + 1

    @property
    def macs(self) -> int:
        """Multiply-accumulates; 0 for what does not multiply matrices."""
        if self.op == "matmul":
            return self.batch * self.groups * self.size * self.c_in * self.c_out
        if self.op == "attention":
            return self.batch * self.size**2 * (self.c_in + self.c_out)
        if self.op in GATES:
            return GATES[self.op] * self.batch * self.size * self.c_out * (self.c_in + self.c_out)
        if self.op not in {"conv2d", "conv3d", _TRANSPOSED, "linear"}:
            return 0
        fan_in = self.c_in // self.groups * self.kernel**2 * self.frames.kernel
        slid = self.size if self.op == _TRANSPOSED else self.size_out
        return self.batch * self.frames.extent_out * slid**2 * fan_in * self.c_out

    @property
    def elements(self) -> int:
        """Elements of the larger of input and output."""
        if self.op in GATES:
            return self.batch * self.size * max(self.c_in, self.c_out)
        into = self.c_in * self.size**2 * self.frames.extent
        return self.batch * max(into, self.c_out * self.size_out**2 * self.frames.extent_out)


def passes_of(shape: Shape) -> list[str]:
    """Return the passes of a step of training in which a shape launches something."""
    # Those of a sum and of a concatenation are the output's, or views of it. A recurrence has one
    # pass back for both of its gradients, which are not told apart.
    has_gradient = shape.op not in {"add", "concat", "call", *GATES}
    passes = ["forward", *["input_gradient"] * has_gradient]
    return [*passes, "weight_gradient"] if shape.op in _TRAINED else passes


def graphs_of(table: npt.NDArray[np.void]) -> list[Graph]:
    """Make a graph of one operator of each row of a table; the pass is not in it."""
    here = [name for name in INTEGERS if name in (table.dtype.names or ())]
    columns = {name: np.ascontiguousarray(table[name]) for name in here}
    return _core.graphs_from_specs(table["op"].tolist(), table["dtype"].tolist(), columns)


def largest_bytes(graph: Graph) -> int:
    """Return what the largest activation of a graph takes."""
    sizes = (math.prod(graph.shape(node)) for node in range(len(graph)))
    return max(sizes) * int(_core.DTYPE_BYTES[_core.DTYPES.index(graph.dtype)])


def weight_bytes(work: WorkTable) -> npt.NDArray[np.int64]:
    """Return what the weights of each row [n] take."""
    return np.array(_core.DTYPE_BYTES)[work.dtype] * work.weights_read


def to_table(shapes: Sequence[Shape], *, training: bool = False) -> npt.NDArray[np.void]:
    """Put shapes into a measurement table without times, fp32, of inference or of training."""
    rows = np.zeros(len(shapes), _DTYPE)
    rows["dtype"], rows["training"] = "fp32", training
    rows["dilation_h"] = rows["dilation_w"] = 1
    for row, shape in zip(rows, shapes, strict=True):
        for name in ("op", "batch", "groups", "c_in", "c_out", "bias"):
            row[name] = getattr(shape, name)
        row["pass"] = shape.pass_
        for axis in "hw":
            row[f"{axis}_in"] = shape.size
            for column, field in (("k", "kernel"), ("stride", "stride"), ("pad", "pad")):
                row[f"{column}_{axis}"] = getattr(shape, field)
        if shape.frames != Frames(1) or shape.op == "conv3d":
            row["h_in"], row["k_h"], row["stride_h"], row["pad_h"] = shape.frames
    return rows


def operators_of(graph: Graph, mode: str = "fused") -> list[Shape]:
    """Return the operators of a network as a work table shows them; windows are taken as square."""
    work = _core.lower(graph, mode)
    images = 4
    shapes = []
    for row, node in enumerate(work.node.tolist()):
        if node < 0:
            continue  # calls
        op = graph.node_op(node)
        inputs = graph.node_inputs(node)
        into, out = graph.shape(inputs[0]), graph.shape(node)
        if op == "linear":
            rows = math.prod(into[:-1])
            shapes.append(Shape(op, into[-1], 1, out[-1], batch=rows))
            continue
        repeats = op in {"add", "mul"} and [graph.shape(x) for x in inputs] != [into, into]
        is_plain_copy = op == "concat" and into == out
        if op not in _IMAGE_OPS or len(into) != images or repeats or is_plain_copy:
            continue
        windowed = op in _WINDOWED
        kernel = round(math.sqrt(work.kernel_volume[row])) if windowed else 1
        stride = round(math.sqrt(work.stride[row])) if windowed else 1
        pad = max(0, math.ceil(((out[2] - 1) * stride + kernel - into[2]) / 2)) if windowed else 0
        groups = int(work.groups[row])
        shapes.append(
            Shape(op, into[1], into[2], out[1], kernel, stride, pad, groups, batch=into[0])
        )
    return shapes
