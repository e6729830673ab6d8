"""The walk over an ONNX graph: which tensors are constants, which are nodes of the graph made."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, TypeProto

from alphaflops._core import Graph
from alphaflops.errors import ModelError, UnsupportedError
from alphaflops.frontends.onnx_ops import HANDLERS

__all__ = ["Network"]

_DTYPES: dict[int, str] = {
    TensorProto.FLOAT: "fp32",
    TensorProto.FLOAT16: "fp16",
    TensorProto.BFLOAT16: "bf16",
    TensorProto.INT8: "int8",
    TensorProto.UINT8: "int8",
}
_MULTIPLIES = ("Conv", "Gemm", "MatMul")
_SHAPE_READERS = ("Shape", "Size")  # constant whatever they read, for every shape is known


class Network:
    """One ONNX graph with inferred shapes, while it is made into a `Graph`.

    Attributes
    ----------
    graph
        What has been made so far.
    tensors
        The node of `graph` that makes a tensor, by the tensor's name in the file.
    unknown
        How often each operator that cannot be counted was met.
    """

    def __init__(self, where: str, model: ModelProto) -> None:
        self._where = where
        self._proto = model.graph
        self._types: dict[str, TypeProto] = {
            value.name: value.type
            for value in (*model.graph.value_info, *model.graph.output, *model.graph.input)
        }
        self._constants: dict[str, TensorProto | None] = {
            tensor.name: tensor for tensor in model.graph.initializer
        }
        self._constants |= {t.values.name: None for t in model.graph.sparse_initializer}
        self._readers: dict[str, list[NodeProto]] = defaultdict(list)
        for node in model.graph.node:
            for name in node.input:
                self._readers[name].append(node)
        self._outputs = {value.name for value in model.graph.output}
        self._folded: set[str] = set()
        self.graph = Graph(Path(where).stem, self._dtype())
        self.tensors: dict[str, int] = {}
        self.unknown: Counter[str] = Counter()

    def build(self) -> Graph:
        """Add every node in the file's order, which is topological."""
        for value in self._proto.input:
            if value.name not in self._constants:
                self.tensors[value.name] = self.graph.input(self.shape(value.name), value.name)
        for node in self._proto.node:
            self._add(node)
        return self.graph

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the sizes of a tensor of the file.

        Raises
        ------
        ModelError
            They are neither in the file nor inferred from it.
        """
        constant = self._constants.get(name)
        if constant is not None:
            return tuple(constant.dims)
        kind = self._types.get(name)
        if kind is None or not kind.tensor_type.HasField("shape"):
            raise ModelError(
                f"{self._where}: the shape of tensor '{name}' is not known; simplify the model, or "
                "export it with fixed sizes"
            )
        sizes = kind.tensor_type.shape.dim
        if not all(size.HasField("dim_value") for size in sizes):
            symbols = ", ".join(s.dim_param or str(s.dim_value or "?") for s in sizes)
            raise ModelError(
                f"{self._where}: tensor '{name}' has the shape [{symbols}], which is not fixed; "
                "export the model with fixed sizes"
            )
        return tuple(size.dim_value for size in sizes)

    def is_constant(self, name: str) -> bool:
        """Whether a tensor is the same for every input of the network."""
        return name in self._constants

    def constant(self, name: str) -> TensorProto | None:
        """Return a constant with its elements, or None where they are not at hand."""
        return self._constants.get(name)

    def fold_bias(self, name: str, shapes: Iterable[tuple[int, ...]]) -> bool:
        """Whether tensor `name` only goes into an Add of a constant of one of the `shapes`.

        That Add is then part of the layer that makes `name`, and is not added again.
        """
        readers = self._readers[name]
        if len(readers) != 1 or readers[0].op_type != "Add" or name in self._outputs:
            return False
        others = [other for other in readers[0].input if other != name]
        if len(others) != 1 or not self.is_constant(others[0]):
            return False
        if self.shape(others[0]) not in shapes:
            return False
        self._folded.add(readers[0].output[0])
        return True

    def name_of(self, node: NodeProto) -> str:
        """Return the layer's name: the node's, else that of the tensor it makes."""
        return str(node.name or node.output[0])

    def fail(self, node: NodeProto, what: str) -> ModelError:
        """Return the error that `node` is malformed in the way `what` says."""
        return ModelError(f"{self._where}: {self.name_of(node)} ({node.op_type}): {what}")

    def _add(self, node: NodeProto) -> None:
        if not node.output:
            raise ModelError(f"{self._where}: node '{node.name}' ({node.op_type}) makes no tensor")
        for name in node.input:
            if name and name not in self.tensors and name not in self._constants:
                raise self.fail(node, f"it reads '{name}', which nothing before it makes")
        if self._makes_constants(node):
            self._constants.update(dict.fromkeys(node.output, self._value(node)))
            return
        main, *others = node.output
        made = None
        if main in self._folded:
            made = next(self.tensors[name] for name in node.input if name in self.tensors)
        elif node.domain in ("", "ai.onnx") and node.input and node.input[0] in self.tensors:
            handler = HANDLERS.get(node.op_type)
            made = handler(self, node) if handler else None
        if made is not None:
            self.tensors[main] = made
        else:
            self._add_unknown(node, main, self.name_of(node))
        for i, name in enumerate(others, 1):
            if name and (self._readers[name] or name in self._outputs):
                self._add_unknown(node, name, f"{self.name_of(node)}:{i}")

    def _add_unknown(self, node: NodeProto, output: str, name: str) -> None:
        inputs = [self.tensors[x] for x in node.input if x in self.tensors]
        self.tensors[output] = self.graph.unknown(inputs, node.op_type, self.shape(output), name)
        self.unknown[node.op_type] += 1

    def _makes_constants(self, node: NodeProto) -> bool:
        if any(attribute.type == AttributeProto.GRAPH for attribute in node.attribute):
            return False  # its body may read tensors that it does not list
        return node.op_type in _SHAPE_READERS or not any(x in self.tensors for x in node.input)

    def _value(self, node: NodeProto) -> TensorProto | None:
        """Return the one constant that a node hands on, where it does no more than that."""
        if node.op_type == "Constant":
            return next((a.t for a in node.attribute if a.name == "value"), None)
        if node.op_type in ("Identity", "Cast"):
            return self._constants.get(node.input[0])
        return None

    def _dtype(self) -> str:
        """Return the element type of the first layer that multiplies, else of the first input."""
        weights = [
            node.input[1]
            for node in self._proto.node
            if node.op_type in _MULTIPLIES and len(node.input) > 1
        ]
        inputs = [value.name for value in self._proto.input]
        for name in [*weights, *inputs]:
            constant = self._constants.get(name)
            kind = self._types.get(name)
            if constant is None and kind is None:
                continue
            code = constant.data_type if constant else kind.tensor_type.elem_type if kind else 0
            if code not in _DTYPES:
                known = [key for key, value in TensorProto.DataType.items() if value == code]
                raise UnsupportedError(
                    f"{self._where}: tensor '{name}' is {known[0] if known else code}, which has "
                    f"no cost model; export the model in fp32, fp16, bf16 or int8"
                )
            return _DTYPES[code]
        return "fp32"
