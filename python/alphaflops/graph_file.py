"""Graphs as JSON files: every node by the method of `Graph` that makes it, and what it was given.

A file is one object:

``{"format": "alphaflops-graph", "version": 1, "name": ..., "dtype": ..., "nodes": [...]}``

and a node, whose inputs are places of earlier ones in the list,

``{"op": "conv2d", "name": "stem", "inputs": [0], "shape": [1, 64, 112, 112], "c_out": 64, ...}``

with ``"dtype"`` where it is another than the graph's, and ``"tied_to"`` where its parameters are an
earlier node's. Shapes are inferred again when a file is read, and must be those in it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from alphaflops._core import Graph
from alphaflops.errors import ModelError
from alphaflops.files import write_text

__all__ = ["graph_from_json", "graph_to_json", "load_graph", "save_graph"]

FORMAT = "alphaflops-graph"
VERSION = 1
_LARGEST = 2**63 - 1

_INT, _BOOL, _TEXT, _SIZES = "an integer", "true or false", "a string", "a list of integers"
_Fields: TypeAlias = Mapping[str, str]
_WINDOW = {"kernel": _SIZES, "stride": _SIZES, "padding": _SIZES, "dilation": _SIZES}
_CONV = {**_WINDOW, "c_out": _INT, "groups": _INT, "bias": _BOOL}
_COUNTS = {"macs": _INT, "flops": _INT, "params": _INT}
_CELL = {"cell": _TEXT, "hidden": _INT, "layers": _INT, "projection": _INT}
_ANY = range(1 << 31)

# How many operands an operator has, and its attributes with their types.
_OPERATORS: dict[str, tuple[range, _Fields]] = {
    "activation": (range(1, 2), {"function": _TEXT}),
    "adaptive_pool": (range(1, 2), {"kind": _TEXT, "extent": _SIZES}),
    "add": (range(2, 3), {}),
    "attention": (range(3, 5), {"causal": _BOOL}),
    "avg_pool": (range(1, 2), {**_WINDOW, "ceil_mode": _BOOL, "count_include_pad": _BOOL}),
    "batch_norm": (range(1, 2), {}),
    "concat": (_ANY, {"axis": _INT}),
    "constant": (range(1), {"trainable": _BOOL}),
    "conv": (range(1, 2), {**_CONV, "transposed": _BOOL, "output_padding": _SIZES}),
    "conv2d": (range(1, 2), _CONV),
    "custom": (_ANY, {"type": _TEXT, **_COUNTS}),
    "element": (_ANY, {"type": _TEXT}),
    "embedding": (range(1, 2), {"rows": _INT, "features": _INT}),
    "global_avg_pool": (range(1, 2), {}),
    "input": (range(1), {}),
    "linear": (range(1, 2), {"out_features": _INT, "bias": _BOOL}),
    "matmul": (range(2, 3), {}),
    "max_pool": (range(1, 2), {**_WINDOW, "ceil_mode": _BOOL}),
    "mul": (range(2, 3), {}),
    "norm": (range(1, 2), {"kind": _TEXT, "axes": _INT, "scale": _BOOL, "shift": _BOOL}),
    "part": (range(1, 2), {}),
    "pool": (range(1, 2), {**_WINDOW, "kind": _TEXT, "ceil_mode": _BOOL}),
    "recurrent": (range(1, 4), {**_CELL, "bidirectional": _BOOL, "bias": _BOOL}),
    "softmax": (range(1, 2), {}),
    "unknown": (_ANY, {"type": _TEXT}),
    "view": (range(1, 2), {}),
}
_SHAPED = frozenset(("constant", "custom", "element", "input", "part", "unknown", "view"))
_LISTED = frozenset(("concat", "custom", "element", "unknown"))  # operands are one argument


def save_graph(graph: Graph, path: str | os.PathLike[str]) -> None:
    """Write a graph to a JSON file, which `alphaflops.load` reads.

    Raises
    ------
    IoError
        The file cannot be written.
    """
    document = graph_to_json(graph)
    nodes = ",\n  ".join(json.dumps(node) for node in document.pop("nodes"))
    head = json.dumps(document)[1:-1]
    write_text(Path(path), f'{{{head}, "nodes": [\n  {nodes}\n]}}\n')


def load_graph(path: str | os.PathLike[str]) -> Graph:
    """Read a graph that `save_graph` wrote.

    Raises
    ------
    ModelError
        There is no such file, or it is not a graph of this version; the message names the node.
    ShapeError, UnsupportedError, OverflowError
        A node that no graph can have, as the method of `Graph` that makes it raises.
    """
    where = os.fspath(path)
    try:
        document = json.loads(Path(where).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"{where}: there is no such file; check the path") from error
    except OSError as error:
        raise ModelError(f"{where}: cannot be read ({error}); check the path") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"{where}: this is not a JSON file ({error}); write it with alphaflops.save_graph"
        ) from error
    return graph_from_json(document, where)


def graph_to_json(graph: Graph) -> dict[str, Any]:
    """Return a graph as an object of numbers, strings and lists."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "name": graph.name,
        "dtype": graph.dtype,
        **({"calls": graph.calls} if graph.calls else {}),
        "nodes": [_node_to_json(graph, i) for i in range(len(graph))],
    }


def _node_to_json(graph: Graph, i: int) -> dict[str, Any]:
    attributes = graph.node_attributes(i)
    node = {
        "op": graph.node_method(i),
        "name": graph.node_name(i),
        "inputs": graph.node_inputs(i),
        "shape": list(graph.shape(i)),
        **{key: list(v) if isinstance(v, tuple) else v for key, v in attributes.items()},
    }
    if graph.node_dtype(i) != graph.dtype:
        node["dtype"] = graph.node_dtype(i)
    if graph.tied_to(i) >= 0:
        node["tied_to"] = graph.tied_to(i)
    return node


def graph_from_json(document: object, where: str = "graph") -> Graph:
    """Return the graph of an object that `graph_to_json` made; errors name `where`.

    Raises
    ------
    ModelError
        It is not a graph of this version.
    ShapeError, UnsupportedError, OverflowError
        A node that no graph can have.
    """
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ModelError(
            f"{where}: this is not a graph; one that alphaflops.save_graph wrote is needed"
        )
    if document.get("version") != VERSION or isinstance(document["version"], bool):
        raise ModelError(
            f"{where}: the graph is of version {document.get('version')!r:.20}; this library reads "
            f"version {VERSION}; save it again, or use the library that wrote it"
        )
    _check_fields(
        where, document, {"format": _TEXT, "name": _TEXT, "dtype": _TEXT}, "calls nodes version"
    )
    nodes = document.get("nodes")
    if not isinstance(nodes, list):
        raise ModelError(f"{where}: 'nodes' is {nodes!r:.40}; a list is needed")
    graph = Graph(document["name"], document["dtype"])
    if not _is_int(calls := document.get("calls", 0)):
        raise ModelError(f"{where}: 'calls' is {calls!r:.40}; {_INT} is needed")
    graph.set_calls(calls)
    for i, node in enumerate(nodes):
        here = f"{where}: node {i}"
        if not isinstance(node, dict):
            raise ModelError(f"{here} is {node!r:.40}; an object is needed")
        _add(graph, i, node, f"{here} ({node.get('name')!r:.60})")
    return graph


def _add(graph: Graph, i: int, node: dict[str, Any], here: str) -> None:
    op = node.get("op")
    if not isinstance(op, str) or op not in _OPERATORS:
        raise ModelError(f"{here}: operator {op!r:.40} is not known; use {', '.join(_OPERATORS)}")
    counts, fields = _OPERATORS[op]
    common = {"op": _TEXT, "name": _TEXT, "inputs": _SIZES, "shape": _SIZES}
    _check_fields(here, node, {**common, **fields}, "dtype tied_to" + " order" * (op == "element"))
    inputs, shape = node["inputs"], node["shape"]
    if len(inputs) not in counts:
        raise ModelError(f"{here}: {op} has {len(inputs)} inputs, which it cannot have")
    for x in inputs:
        if not 0 <= x < i:
            raise ModelError(
                f"{here}: input {x} is not an earlier node; nodes stand behind those that they "
                "read, without cycles"
            )
    dtype = graph.dtype
    try:
        if "dtype" in node:
            if not isinstance(node["dtype"], str):
                raise ModelError(f"{here}: 'dtype' is {node['dtype']!r:.40}; {_TEXT} is needed")
            graph.set_dtype(node["dtype"])
        made = _make(graph, node, fields)
        graph.set_dtype(dtype)
        if "tied_to" in node:
            tied_to = node["tied_to"]
            if not _is_int(tied_to) or not 0 <= tied_to < i:
                raise ModelError(f"{here}: tied_to is {tied_to!r:.40}; an earlier node is needed")
            graph.tie(made, tied_to)
    except TypeError as error:
        raise ModelError(f"{here}: {op} cannot be made with these sizes ({error})") from error
    if list(graph.shape(made)) != shape:
        raise ModelError(
            f"{here}: the shape in the file is {shape}; {op} makes {list(graph.shape(made))}"
        )


def _make(graph: Graph, node: dict[str, Any], fields: _Fields) -> int:
    op, name, inputs, shape = node["op"], node["name"], node["inputs"], node["shape"]
    attributes = {field: node[field] for field in fields}
    if op == "element" and not shape and len(inputs) == 1 and graph.shape(inputs[0]):
        return graph.reduce(inputs[0], attributes["type"], name=name)  # of everything
    method: Callable[..., int] = getattr(graph, op)
    operands: list[Any] = [inputs] if op in _LISTED else list(inputs)
    if op == "recurrent":
        operands, attributes["states"] = inputs[:1], inputs[1:]
    if op in _SHAPED:
        attributes["shape"] = shape
    if "order" in node:  # of some copies
        attributes["order"] = node["order"]
    return method(*operands, **attributes, name=name)


def _check_fields(here: str, given: Mapping[str, Any], fields: _Fields, others: str) -> None:
    for name, kind in fields.items():
        if name not in given:
            raise ModelError(f"{here}: '{name}' is missing; {kind} is needed")
        if not _CHECKS[kind](given[name]):
            raise ModelError(f"{here}: '{name}' is {given[name]!r:.40}; {kind} is needed")
    for name in given:
        if name not in fields and name not in others.split():
            raise ModelError(f"{here}: '{name:.40}' is not a field; it has {', '.join(fields)}")


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _is_text(value: object) -> bool:
    """Whether it is a string that UTF-8 has; JSON can escape halves of characters."""
    return isinstance(value, str) and not any("\ud800" <= x <= "\udfff" for x in value)


_CHECKS: dict[str, Callable[[Any], bool]] = {
    _INT: _is_int,
    _BOOL: lambda value: isinstance(value, bool),
    _TEXT: _is_text,
    _SIZES: lambda value: isinstance(value, list) and all(map(_is_int, value)),
}
