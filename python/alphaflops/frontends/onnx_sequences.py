"""ONNX's sequences: lists of tensors, whose operators are others on the tensors in them.

The length of a sequence is known, and a position in it where it is constant. So a sequence costs
nothing: it is the names of its tensors, and `SequenceAt`, `ConcatFromSequence` and
`SplitToSequence` are `Identity`, `Concat` and `Split`; the body of `SequenceMap` runs on each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from onnx import AttributeProto, GraphProto, NodeProto, helper

from alphaflops.frontends.onnx_call import Call
from alphaflops.frontends.onnx_values import Constant

if TYPE_CHECKING:
    from alphaflops.frontends.onnx_network import Network

__all__ = ["Sequences"]

_SPLIT_IS_INPUT = 13  # the operator set from which on Split takes its sizes as an input


class Sequences:
    """The sequences of a file, by name, while its network is made.

    Parameters
    ----------
    network
        The network that their tensors are in.
    opset
        The version of ONNX's operators.
    """

    def __init__(self, network: Network, opset: int) -> None:
        self._net = network
        self._opset = opset
        self._tensors: dict[str, list[str]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def alias(self, name: str, of: str) -> None:
        """Let one sequence be another."""
        self._tensors[name] = self._tensors[of]

    def add(self, node: NodeProto) -> bool:
        """Add what an operator on sequences does; False where it is none that is known."""
        is_copy = node.op_type == "Identity" and any(name in self for name in node.input)
        handle = _copied if is_copy else _HANDLERS.get(node.op_type)
        if handle is None or node.domain not in ("", "ai.onnx"):
            return False
        made = handle(self, Call(self._net, node))
        self._tensors.update(zip(node.output, made, strict=False))
        return True

    # --- what handlers ask for and add -------------------------------------------------------

    def spread(self, names: Iterable[str]) -> list[str]:
        """Return names with the tensors of each sequence in its place."""
        return [tensor for name in names for tensor in self._tensors.get(name, [name])]

    def at(self, name: str, i: int) -> str:
        """Return tensor `i` of a sequence; of what is none, that itself."""
        return self._tensors[name][i] if name in self._tensors else name

    def operand(self, call: Call) -> list[str]:
        """Return the tensors of the first input."""
        if not call.has(0) or call.inputs[0] not in self:
            raise call.fail(
                "the sequence that it reads was made by an operator that is not known, so its "
                "length is not; export the model without sequences"
            )
        return list(self._tensors[call.inputs[0]])

    def place(self, call: Call, i: int, size: int, *, is_new: bool = False) -> int:
        """Return the position that input `i` is, counted from the first; without it the last.

        That of a new tensor may be behind all others.
        """
        value = call.value(i) if call.has(i) else np.array(size - 1 + is_new)
        if value is None:
            raise call.fail(
                "the position in a sequence of tensors of several sizes depends on the input; "
                "export the model with constant positions"
            )
        if value.size != 1 or value.dtype.kind not in "iu":
            raise call.fail(f"the position is {value.tolist()!r:.40}; one integer is needed")
        place = int(value.item())
        if not -size <= place < size + is_new:
            raise call.fail(f"position {place} is not in the sequence, which has {size} tensors")
        return place + size if place < 0 else place

    def run(
        self, op: str, call: Call, inputs: Sequence[str], *outputs: str, **attributes: Any
    ) -> None:
        """Add another operator in place of the node."""
        self._net.add(helper.make_node(op, inputs, outputs, name=call.name, **attributes))

    def number(self, name: str, value: int | Sequence[int]) -> str:
        """Keep integers as a constant."""
        self._net.constants[name] = Constant.of(np.array(value, np.int64))
        return name

    def split(self, call: Call, sizes: Sequence[int], axis: int) -> list[str]:
        """Split the first input; every part is written, whatever is read of it."""
        out = call.node.output[0]
        parts = [f"{out}.{i}" for i in range(len(sizes))]
        self._net.keep(parts)
        if self._opset >= _SPLIT_IS_INPUT:
            given = [call.inputs[0], self.number(f"{out}.split", sizes)]
            self.run("Split", call, given, *parts, axis=axis)
        else:
            self.run("Split", call, call.inputs[:1], *parts, axis=axis, split=sizes)
        return parts

    def mapped(self, body: GraphProto, given: Sequence[str], prefix: str) -> list[str]:
        """Run a body on these tensors; its own have `prefix` before their names."""
        names = dict(zip((value.name for value in body.input), given, strict=True))
        copy = _renamed(body, names, prefix)
        self._net.add_body(copy)
        return [value.name for value in copy.output]

    def reshaped(self, call: Call, tensor: str, shape: Sequence[int]) -> str:
        """View a tensor in another shape."""
        name = f"{call.node.output[0]}/{tensor}"
        self._net.keep([name])
        given = [tensor, self.number(f"{name}.shape", shape)]
        self._net.add(helper.make_node("Reshape", given, [name], name=f"{call.name}.view"))
        return name


# What a handler returns are the sequences that the operator makes, if any.
_Handler: TypeAlias = Callable[[Sequences, Call], Sequence[list[str]]]


def _empty(_: Sequences, call: Call) -> list[list[str]]:
    return [[]]


def _construct(_: Sequences, call: Call) -> list[list[str]]:
    call.need(len(call.inputs))
    call.need_tensors()
    return [call.inputs]


def _copied(sequences: Sequences, call: Call) -> list[list[str]]:
    return [sequences.operand(call)]


def _insert(sequences: Sequences, call: Call) -> list[list[str]]:
    call.need(2)
    call.need_tensors(1)
    tensors = sequences.operand(call)
    tensors.insert(sequences.place(call, 2, len(tensors), is_new=True), call.inputs[1])
    return [tensors]


def _erase(sequences: Sequences, call: Call) -> list[list[str]]:
    call.need_tensors(1)
    tensors = sequences.operand(call)
    del tensors[sequences.place(call, 1, len(tensors))]
    return [tensors]


def _map(sequences: Sequences, call: Call) -> list[list[str]]:
    """Run the body once for each tensor; sequences behind the first give one each too."""
    body, out = call.attributes.get("body"), call.node.output[0]
    if not isinstance(body, GraphProto) or len(body.input) != len(call.inputs):
        raise call.fail(f"its body does not take the {len(call.inputs)} inputs that it has")
    size = len(sequences.operand(call))
    sizes = [len(sequences.spread([name])) for name in call.inputs if name in sequences]
    if sizes != [size] * len(sizes):
        raise call.fail(f"its sequences have {sizes} tensors; all must have as many")
    made = []
    for i in range(size):
        given = [sequences.at(name, i) for name in call.inputs]
        made.append(sequences.mapped(body, given, f"{out}.{i}/"))
    return [list(each) for each in zip(*made, strict=True)] or [[] for _ in call.node.output]


def _at(sequences: Sequences, call: Call) -> list[list[str]]:
    call.need(2)
    call.need_tensors(1)
    tensors = sequences.operand(call)
    if call.value(1) is None and len({call.net.shape(tensor) for tensor in tensors}) == 1:
        call.net.add_unknown(call, tensors, call.net.shape(tensors[0]))
        return []
    picked = tensors[sequences.place(call, 1, len(tensors))]
    sequences.run("Identity", call, [picked], call.node.output[0])
    return []


def _length(sequences: Sequences, call: Call) -> list[list[str]]:
    sequences.number(call.node.output[0], len(sequences.operand(call)))
    return []


def _concat(sequences: Sequences, call: Call) -> list[list[str]]:
    tensors = sequences.operand(call)
    if not tensors:
        raise call.fail("the sequence that it joins is empty")
    net, is_stacked = call.net, call.integer("new_axis", 0)
    axis = call.axis(0, len(net.shape(tensors[0])) + bool(is_stacked))
    if is_stacked:
        shape = net.shape(tensors[0])
        one = [*shape[:axis], 1, *shape[axis:]]
        parts = {tensor: sequences.reshaped(call, tensor, one) for tensor in set(tensors)}
        tensors = [parts[tensor] for tensor in tensors]
    sequences.run("Concat", call, tensors, call.node.output[0], axis=axis)
    return []


def _split(sequences: Sequences, call: Call) -> list[list[str]]:
    """Cut in pieces of one size, or of those given; else of one, without the axis if asked for."""
    call.need(1)
    call.need_tensors()
    shape = call.shape(0)
    axis = call.axis(0, len(shape))
    value = np.array(1) if not call.has(1) else call.value(1)
    if value is None:
        raise call.fail("the sizes that it cuts depend on the input; export constant ones")
    if value.ndim > 1 or value.dtype.kind not in "iu":
        raise call.fail(f"the sizes that it cuts are {value.tolist()!r:.40}; integers are needed")
    if value.ndim:
        sizes = [int(size) for size in value]
    else:
        whole, rest = divmod(shape[axis], max(int(value), 1))
        sizes = [int(value)] * whole + [rest] * bool(rest)
    parts = sequences.split(call, sizes, axis)
    if call.has(1) or call.integer("keepdims", 1):
        return [parts]
    without = [*shape[:axis], *shape[axis + 1 :]]
    return [[sequences.reshaped(call, part, without) for part in parts]]


def _renamed(body: GraphProto, names: Mapping[str, str], prefix: str) -> GraphProto:
    """Return a graph in which other names stand for tensors, and its own have a prefix."""
    made = GraphProto()
    made.CopyFrom(body)
    own = [tensor.name for tensor in made.initializer]
    own += [name for node in made.node for name in node.output if name]
    names = {**names, **{name: prefix + name for name in own}}
    for tensor in made.initializer:
        tensor.name = names[tensor.name]
    for node in made.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        node.name = f"{prefix}{node.name}" if node.name else ""
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                attribute.g.CopyFrom(_renamed(attribute.g, names, prefix))
    for value in made.output:
        value.name = names.get(value.name, value.name)
    return made


_HANDLERS: dict[str, _Handler] = {
    "ConcatFromSequence": _concat,
    "SequenceAt": _at,
    "SequenceConstruct": _construct,
    "SequenceEmpty": _empty,
    "SequenceErase": _erase,
    "SequenceInsert": _insert,
    "SequenceLength": _length,
    "SequenceMap": _map,
    "SplitToSequence": _split,
}
