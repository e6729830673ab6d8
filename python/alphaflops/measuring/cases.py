"""What a bench is to time: rows of a table of shapes, or the distinct layers of a network."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alphaflops import _core
from alphaflops._core import Graph
from alphaflops.errors import Error, TableError
from alphaflops.measuring.measured import shapes_of
from alphaflops.table import Table, read_table
from alphaflops.table.columns import INTEGERS

__all__ = ["Case", "cases_of", "cases_of_graph", "cases_of_table"]

_OPS = ("conv2d", "linear")
_FIELDS = {
    **dict.fromkeys(("batch", "c_in", "h_in", "w_in", "c_out", "k_h", "k_w"), 1),
    **dict.fromkeys(("stride_h", "stride_w"), 1),
    **dict.fromkeys(("pad_top", "pad_bottom", "pad_left", "pad_right"), 0),
    **dict.fromkeys(("dilation_h", "dilation_w", "groups"), 1),
}


@dataclass(frozen=True)
class Case:
    """One convolution; a linear layer is one of a pixel an image. Absent sizes are 1, pads 0."""

    name: str
    op: str
    shape: dict[str, int]  # batch, c_in, ..., pad_top, ..., groups
    dtype: str
    count: int = 1  # layers of the network that are like this

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", {**_FIELDS, **self.shape})

    @property
    def kind(self) -> str:
        """What sort of layer it is: linear, depthwise, grouped, 1x1 or its kernel's extent."""
        s = self.shape
        if self.op == "linear":
            return "linear"
        if s["groups"] > 1:
            return "depthwise" if s["groups"] == s["c_in"] == s["c_out"] else "grouped"
        return f"{s['k_h']}x{s['k_w']}"

    @property
    def label(self) -> str:
        """Describe the shape in a few characters."""
        s = self.shape
        if self.op == "linear":
            return f"linear {s['batch']}x{s['c_in']}>{s['c_out']}"
        text = f"{s['h_in']}x{s['w_in']} {s['c_in']}>{s['c_out']} k{s['k_h']}"
        text += "" if s["k_h"] == s["k_w"] else f"x{s['k_w']}"
        text += f" s{s['stride_h']}" if s["stride_h"] > 1 or s["stride_w"] > 1 else ""
        text += f" d{s['dilation_h']}" if s["dilation_h"] > 1 or s["dilation_w"] > 1 else ""
        text += f" g{s['groups']}" if s["groups"] > 1 else ""
        return text + (f" n{s['batch']}" if s["batch"] > 1 else "")


def cases_of(target: str | os.PathLike[str], dtype: str | None = None) -> list[Case]:
    """Read a table of shapes (.csv, .parquet), or a network (zoo name, .onnx).

    Raises
    ------
    TableError, ModelError
        Neither can be read, or has no convolution or linear layer.
    """
    if Path(target).suffix.lower() in {".csv", ".parquet"}:
        return cases_of_table(read_table(target), dtype)
    from alphaflops.frontends import load  # noqa: PLC0415  (front ends may need extras)

    return cases_of_graph(load(target), dtype)


def cases_of_graph(graph: Graph, dtype: str | None = None) -> list[Case]:
    """Return the distinct convolutions and linear layers of a network, in its order."""
    found: dict[str, tuple[str, str, dict[str, int], int]] = {}
    for name, op, shape in _core.conv_layers(graph):
        key = op + json.dumps(shape)
        first = found.get(key, (name, op, shape, 0))
        found[key] = (*first[:3], first[3] + 1)
    if not found:
        raise TableError(f"network {graph.name}: no convolution or linear layer to bench")
    return [Case(n, op, s, dtype or graph.dtype, count) for n, op, s, count in found.values()]


def cases_of_table(table: Table, dtype: str | None = None) -> list[Case]:
    """Return the rows of a table of convolutions and linear layers.

    Raises
    ------
    TableError
        A row is another operator, or malformed; the message names it.
    """
    shapes = shapes_of(table)
    ops: Sequence[str] = shapes["op"].tolist()
    dtypes: Sequence[str] = [dtype] * len(shapes) if dtype else shapes["dtype"].tolist()
    for row, op in enumerate(ops):
        if op not in _OPS:
            raise TableError(
                f"table: row {row + 1}: op {op!r} is no convolution; bench times conv2d and linear"
            )
    columns = {n: np.ascontiguousarray(shapes[n]) for n in INTEGERS}
    try:
        graphs = _core.graphs_from_specs(ops, dtypes, columns)
    except Error as error:
        raise TableError(f"table: {error}") from error
    cases = []
    for row, (graph, of) in enumerate(zip(graphs, dtypes, strict=True)):
        _, op, shape = _core.conv_layers(graph)[0]
        cases.append(Case(f"row {row + 1}", op, shape, of))
    return cases
