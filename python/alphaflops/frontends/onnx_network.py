"""The walk over an ONNX graph: which tensors are constants, which are nodes of the graph made.

Sizes are known from the first node to the last, because those of the inputs are. A handler makes
the node of the graph, which infers its shape; where a shape must be given, onnx infers it for that
one node.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto

from alphaflops._core import Graph
from alphaflops.errors import ModelError
from alphaflops.frontends.onnx_call import Call, attributes_of
from alphaflops.frontends.onnx_inference import Types
from alphaflops.frontends.onnx_ops import handler_of
from alphaflops.frontends.onnx_sequences import Sequences
from alphaflops.frontends.onnx_values import Constant, computed
from alphaflops.frontends.registry import OPERATORS

__all__ = ["Network"]

_SHAPE_READERS = ("Shape", "Size")  # constant whatever they read, for every shape is known
_LITERALS = {
    "value_int": np.int64,
    "value_ints": np.int64,
    "value_float": np.float32,
    "value_floats": np.float32,
}


class Network:
    """One ONNX graph, while it is made into a `Graph`.

    Attributes
    ----------
    graph
        What has been made so far.
    constants
        The tensors that are the same for every input, by their names in the file.
    unknown
        How often each operator that cannot be counted was met.
    sequences
        The sequences of tensors.
    causal
        Whether causal attention leaves out the scores that it masks.
    """

    def __init__(
        self,
        where: str,
        model: ModelProto,
        inputs: Mapping[str, Sequence[int]],
        symbols: Mapping[str, int],
        causal: bool = False,
    ) -> None:
        self.where = where
        self.causal = causal
        self._proto = model.graph
        self._inputs = inputs
        self.types = Types(where, model, symbols)
        self.constants: dict[str, Constant] = {}
        self._store(model.graph)
        self._readers: defaultdict[str, list[NodeProto]] = defaultdict(list)
        self._outputs: set[str] = set()
        self._note_readers(model.graph)
        self._folded: dict[str, str] = {}  # to what makes them, a node before their own
        self._owners: dict[str, int] = {}  # the layer at which a stored weight counts
        self._constant_tensors: dict[str, int] = {}
        self.graph = Graph(Path(where).stem, self.types.dtype(self.constants))
        self.tensors: dict[str, int] = {}
        self.sequences = Sequences(self, self.types.opset)
        self.unknown: Counter[str] = Counter()

    def build(self) -> Graph:
        """Add every node in the file's order, which is topological."""
        for value in self._proto.input:
            if value.name not in self.constants:
                shape = self._inputs[value.name]
                add = self.graph.input if shape else self.graph.constant
                self.tensors[value.name] = add(shape, name=value.name)
        for node in self._proto.node:
            self.add(node)
        return self.graph

    # --- tensors -----------------------------------------------------------------------------

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the sizes of a tensor that has been made."""
        constant = self.constants.get(name)
        return self.graph.shape(self.tensors[name]) if constant is None else constant.shape

    def tensor(self, name: str) -> int:
        """Return the graph's tensor for a name of the file.

        A constant becomes a node on its first use. What is only cut or repeated from stored
        weights reads those, so that they count as parameters once.
        """
        if name in self.tensors:
            return self.tensors[name]
        constant = self.constants[name]
        base = constant.bases[0] if len(constant.bases) == 1 else name
        if base not in self._constant_tensors:
            source = self.constants.get(base, constant)
            fresh = constant.trainable and not any(b in self._owners for b in constant.bases)
            made = self.graph.constant(source.shape, fresh, base)
            self._constant_tensors[base] = made
            for each in constant.bases:
                self._owners.setdefault(each, made)
        made = self._constant_tensors[base]
        if self.graph.shape(made) != constant.shape:
            made = self.graph.part(made, constant.shape, name)
        return made

    def keep(self, names: Iterable[str]) -> None:
        """Take these tensors, which are still to come, for read by something outside."""
        self._outputs.update(names)

    def _is_made(self, name: str) -> bool:
        return name in self.tensors or name in self.constants or name in self.sequences

    def is_constant(self, name: str) -> bool:
        """Whether a tensor is the same for every input of the network."""
        return name in self.constants

    def is_read(self, name: str) -> bool:
        """Whether any node, or the caller of the network, reads a tensor."""
        return bool(name) and (name in self._readers or name in self._outputs)

    def only_reader(self, name: str, op: str, *others: str) -> NodeProto | None:
        """Return the only node that reads a tensor, where it is an `op` of the `others` too."""
        readers = self.readers(name)
        if len(readers) != 1 or name in self._outputs:
            return None
        reader = readers[0]
        fits = reader.op_type == op and set(others) <= set(reader.input) and reader.output
        return reader if fits else None

    def readers(self, name: str) -> list[NodeProto]:
        """Return the nodes that read a tensor."""
        return self._readers.get(name, [])

    def fold(self, node: NodeProto, name: str) -> None:
        """Let `node`, which is still to come, be part of what makes tensor `name`."""
        self._folded[node.output[0]] = name

    def is_owned(self, name: str) -> bool:
        """Whether a constant's parameters count at an earlier layer already."""
        bases = self.constants[name].bases
        return bool(bases) and all(base in self._owners for base in bases)

    def own(self, layer: int, names: Iterable[str]) -> int:
        """Let `layer` have the parameters that these constants are; those of an earlier one tie.

        Returns the layer.
        """
        bases = [base for name in names if name for base in self.constants[name].bases]
        earlier = [self._owners[base] for base in bases if base in self._owners]
        if bases and len(earlier) == len(bases) and earlier[0] != layer:
            self.graph.tie(layer, earlier[0])
        for base in bases:
            self._owners.setdefault(base, layer)
        return layer

    def fold_bias(self, name: str, shapes: Iterable[tuple[int, ...]]) -> str:
        """Return the constant, of one of the `shapes`, that an Add behind tensor `name` adds.

        That Add, its only reader, is then part of the layer that makes `name`, and is not added
        again. Empty where there is none.
        """
        add = self.only_reader(name, "Add")
        if add is None:
            return ""
        others = [other for other in add.input if other != name]
        if len(others) != 1 or others[0] not in self.constants:
            return ""
        if self.shape(others[0]) not in shapes:
            return ""
        self.fold(add, name)
        return str(others[0])

    # --- nodes -------------------------------------------------------------------------------

    def add(self, node: NodeProto) -> None:
        """Add one node of the file, or one that stands for it."""
        self._check(node)
        if node.op_type == "If" and self._add_branch(node):
            return
        if self.sequences.add(node) or self._fold(node):
            return
        main = node.output[0]
        if main in self._folded:
            self.tensors[main] = self.tensors[self._folded[main]]
            self.types.note(node, self.constants)
            return
        call = Call(self, node)
        call.inputs = self.sequences.spread(node.input)  # for what no handler knows
        made = self._add_registered(call)
        handle = handler_of(node.domain, node.op_type)
        if made is None and handle:
            call.need_tensors()
            made = handle(call)
        if made is None:
            made = self._add_unknown(call)
        tensors = [made] if isinstance(made, int) else made
        for i, name in enumerate(node.output):
            tensor = tensors[i] if i < len(tensors) else None
            if name and tensor is not None:
                self.tensors[name] = tensor
            elif self.is_read(name):
                self.tensors[name] = self._unknown_tensor(call, i)
        self.types.note(node, self.constants)

    def _check(self, node: NodeProto) -> None:
        """Raise where a node has no results, or operands that are not there."""
        names = (node.op_type, node.domain, node.name, *node.input, *node.output)
        if not all(isinstance(name, str) for name in names):  # protobuf gives bytes then
            raise ModelError(f"{self.where}: {names[2]!r} ({names[0]!r}): a name is not UTF-8 text")
        if not any(node.output):
            raise ModelError(f"{self.where}: node '{node.name}' ({node.op_type}) makes no tensor")
        for name in node.input:
            if name and not self._is_made(name):
                raise Call(self, node).fail(
                    f"it reads '{name}', which nothing before it makes; nodes must stand behind "
                    "those that they read, without cycles"
                )

    def _add_registered(self, call: Call) -> int | Sequence[int | None] | None:
        """Add an operator as the user's own function says, where there is one."""
        node = call.node
        counter = OPERATORS.get(f"{node.domain or 'ai.onnx'}::{node.op_type}")
        if counter is None:
            return None
        shapes = [call.made(i) for i, name in enumerate(node.output) if name]
        return counter(self.graph, call.operands(), shapes, call.attributes)

    def _add_unknown(self, call: Call) -> list[int | None]:
        """Add an operator that has no handler: one unknown node for each tensor that is read."""
        outputs = call.node.output
        return [
            self._unknown_tensor(call, i) if name and (i == 0 or self.is_read(name)) else None
            for i, name in enumerate(outputs)
        ]

    def _unknown_tensor(self, call: Call, i: int) -> int:
        op = call.node.op_type
        name = call.name if i == 0 else f"{call.name}:{i}"
        inputs = [self.tensors[x] for x in call.inputs if x in self.tensors]
        shape = call.made(i)
        self.unknown[op] += 1
        return self.graph.unknown(inputs, op, shape, name)

    def add_unknown(self, call: Call, tensors: Iterable[str], shape: Sequence[int]) -> None:
        """Let a node be an unknown one of these tensors, like the first of them."""
        inputs = [self.tensor(name) for name in tensors]
        self.unknown[call.node.op_type] += 1
        made = self.graph.unknown(inputs, call.node.op_type, shape, call.name)
        self.tensors[call.node.output[0]] = made

    def _add_branch(self, node: NodeProto) -> bool:
        """Add the nodes of the branch that a known condition takes."""
        condition = self.constants.get(node.input[0]) if node.input else None
        value = None if condition is None else condition.value
        if value is None or value.size != 1:
            return False
        branches = attributes_of(node)
        branch = branches.get("then_branch" if value.item() else "else_branch")
        if not isinstance(branch, GraphProto) or len(branch.output) != len(node.output):
            return False
        self.add_body(branch)
        for outer, inner in zip(node.output, branch.output, strict=True):
            if inner.name in self.constants:
                self.constants[outer] = self.constants[inner.name]
            elif inner.name in self.tensors:
                self.tensors[outer] = self.tensors[inner.name]
                self.types.alias(outer, inner.name)
            elif inner.name in self.sequences:
                self.sequences.alias(outer, inner.name)
            else:
                raise Call(self, node).fail(f"its branch does not make '{inner.name}'")
        return True

    def add_body(self, body: GraphProto) -> None:
        """Add the nodes of a graph that an operator runs."""
        self._store(body)
        self._note_readers(body)
        for node in body.node:
            self.add(node)

    # --- constants ---------------------------------------------------------------------------

    def _note_readers(self, graph: GraphProto) -> None:
        for node in graph.node:
            for name in node.input:
                self._readers[name].append(node)
            for attribute in node.attribute:
                if attribute.type == AttributeProto.GRAPH:
                    self._outputs |= _read_from_outside(attribute.g)
        self._outputs.update(value.name for value in graph.output)

    def _store(self, graph: GraphProto) -> None:
        for tensor in graph.initializer:
            self.constants[tensor.name] = Constant.stored(tensor.name, tensor, trainable=True)
        for sparse in graph.sparse_initializer:
            dense = TensorProto(dims=sparse.dims, data_type=sparse.values.data_type)
            dense.data_location = TensorProto.EXTERNAL  # its elements are not at hand
            name = sparse.values.name
            self.constants[name] = Constant.stored(name, dense, trainable=True)

    def _fold(self, node: NodeProto) -> bool:
        """Whether all that a node makes is the same for every input; it is then kept so."""
        if node.op_type in _SHAPE_READERS and node.input and node.input[0]:
            self._fold_shape(node)
        elif any(name in self.tensors or name in self.sequences for name in node.input):
            return False
        elif any(a.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS) for a in node.attribute):
            return False  # its body may read tensors that it does not list
        elif node.op_type == "Constant":
            self.constants[node.output[0]] = self._literal(node)
        elif any(node.input):
            self._fold_results(node)
        else:
            return False  # a random number, or an operator that is not known
        return True

    def _fold_results(self, node: NodeProto) -> None:
        """Keep what a node makes of constants: its value where it is small, else its sizes."""
        inputs = [self.constants[name] if name else None for name in node.input]
        values = [None if x is None else x.value for x in inputs]
        if len(node.output) == 1 and all(
            v is not None or x is None for v, x in zip(values, inputs, strict=True)
        ):
            value = computed(node.op_type, attributes_of(node), values)
            if value is not None:
                made = Constant.of(value)
                self.constants[node.output[0]] = self._derived(made, inputs)
                return
        call = Call(self, node)
        for i, name in enumerate(node.output):
            if name:
                made = Constant(call.made(i), self.types.made(node, i, self.constants))
                self.constants[name] = self._derived(made, inputs)

    def _derived(self, made: Constant, inputs: Iterable[Constant | None]) -> Constant:
        given = [x for x in inputs if x is not None and x.bases]
        made.bases = tuple(dict.fromkeys(base for x in given for base in x.bases))
        made.trainable = any(x.trainable for x in given)
        return made

    def _fold_shape(self, node: NodeProto) -> None:
        Call(self, node).need_tensors()
        shape = self.shape(node.input[0])
        if node.op_type == "Size":
            value = np.array(math.prod(shape), np.int64)
        else:
            attributes = attributes_of(node)
            value = np.array(shape, np.int64)[attributes.get("start", 0) : attributes.get("end")]
        self.constants[node.output[0]] = Constant.of(value)

    def _literal(self, node: NodeProto) -> Constant:
        """Return the constant of a Constant node; its elements are no parameters."""
        attributes = attributes_of(node)
        tensor = attributes.get("value")
        if isinstance(tensor, TensorProto):
            return Constant.stored(str(node.output[0]), tensor, trainable=False)
        for name, kind in _LITERALS.items():
            if name in attributes:
                return Constant.of(np.array(attributes[name], kind))
        call = Call(self, node)
        return Constant(call.made(), TensorProto.STRING)


def _read_from_outside(body: GraphProto) -> set[str]:
    """Return what the nodes of a branch, or of a loop, read that is not made in it."""
    read, made = set(), set()
    for node in body.node:
        inner = [_read_from_outside(a.g) for a in node.attribute if a.type == AttributeProto.GRAPH]
        read |= set(node.input).union(*inner)
        made |= set(node.output)
    return read.union(value.name for value in body.output) - made
