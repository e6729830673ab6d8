"""One node of an ONNX graph with its attributes and operands, as a handler sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from onnx import AttributeProto, NodeProto

from alphaflops.errors import ModelError
from alphaflops.frontends.onnx_values import Array, Constant

if TYPE_CHECKING:
    from alphaflops.frontends.onnx_network import Network

__all__ = ["Call", "Handler", "attributes_of"]

Handler: TypeAlias = "Callable[[Call], int | Sequence[int | None] | None]"

_LARGEST = 2**31  # an attribute beyond it is no size of a window

_READERS: dict[int, str] = {
    AttributeProto.FLOAT: "f",
    AttributeProto.INT: "i",
    AttributeProto.FLOATS: "floats",
    AttributeProto.INTS: "ints",
    AttributeProto.TENSOR: "t",
    AttributeProto.GRAPH: "g",
}


def attributes_of(node: NodeProto) -> dict[str, Any]:
    """Return the attributes by name; lists for repeated ones, strings decoded."""
    found: dict[str, Any] = {}
    for attribute in node.attribute:
        if attribute.type == AttributeProto.STRING:
            found[attribute.name] = attribute.s.decode("utf-8", "replace")
        elif attribute.type in _READERS:
            value = getattr(attribute, _READERS[attribute.type])
            is_list = attribute.type in (AttributeProto.INTS, AttributeProto.FLOATS)
            found[attribute.name] = list(value) if is_list else value
    return found


class Call:
    """One node of the file.

    Attributes
    ----------
    net, node
        The network that is made, and the node of the file.
    attributes
        Those that the node states, by name.
    name
        The layer's name: the node's, else that of the tensor it makes.
    """

    def __init__(self, net: Network, node: NodeProto) -> None:
        self.net = net
        self.graph = net.graph
        self.node = node
        self.inputs: list[str] = list(node.input)
        self.attributes = attributes_of(node)
        self.name = str(node.name or next(filter(None, node.output), node.op_type))

    # --- attributes --------------------------------------------------------------------------

    def ints(self, name: str, default: Sequence[int] | None = None) -> list[int]:
        """Return an attribute of integers, as many as a default has."""
        value = self.attributes.get(name)
        if value is None:
            return list(default or ())
        is_ints = isinstance(value, list) and all(isinstance(x, int) for x in value)
        fits = default is None or (is_ints and len(value) == len(default))
        if not is_ints or not fits or any(abs(x) >= _LARGEST for x in value):
            shown = value[:8] if isinstance(value, list) else value
            needed = f"; {len(default)} sizes are needed" if default is not None else ""
            raise self.fail(f"{name} is {shown}{needed or '; sizes are needed'}")
        return list(value)

    def integer(self, name: str, default: int) -> int:
        """Return an attribute of one integer."""
        value = self.attributes.get(name, default)
        if not isinstance(value, int) or abs(value) >= _LARGEST:
            raise self.fail(f"{name} is {value!r:.40}; an integer is needed")
        return value

    def number(self, name: str, default: float) -> float:
        """Return an attribute of one number."""
        value = self.attributes.get(name, default)
        if not isinstance(value, float | int):
            raise self.fail(f"{name} is {value!r:.40}; a number is needed")
        return float(value)

    def text(self, name: str, default: str) -> str:
        """Return an attribute that is a string."""
        value = self.attributes.get(name, default)
        if not isinstance(value, str):
            raise self.fail(f"{name} is {value!r:.40}; a string is needed")
        return value

    # --- operands ----------------------------------------------------------------------------

    def has(self, i: int) -> bool:
        """Whether input `i` is given."""
        return len(self.inputs) > i and bool(self.inputs[i])

    def need(self, count: int) -> None:
        """Raise where one of the first `count` inputs is missing."""
        if not all(self.has(i) for i in range(count)):
            raise self.fail(f"it has the inputs {self.inputs[:8]}; {count} are needed")

    def need_tensors(self, start: int = 0) -> None:
        """Raise where one of the inputs from `start` on is a sequence of tensors."""
        for name in self.node.input[start:]:
            if name in self.net.sequences:
                raise self.fail(f"it takes tensors, and '{name}' is a sequence of them")

    def _require(self, i: int) -> None:
        if not self.has(i):
            raise self.fail(f"input {i} is missing; it has {self.inputs[:8]}")

    def shape(self, i: int) -> tuple[int, ...]:
        """Return the sizes of input `i`."""
        self._require(i)
        return self.net.shape(self.inputs[i])

    def constant(self, i: int) -> Constant | None:
        """Return input `i` where it is given and constant."""
        return self.net.constants.get(self.inputs[i]) if self.has(i) else None

    def value(self, i: int) -> Array | None:
        """Return the elements of input `i` where they are known."""
        constant = self.constant(i)
        return None if constant is None else constant.value

    def values(self, name: str, i: int) -> list[int] | None:
        """Return integers that are an attribute or, in later opsets, input `i`."""
        if name in self.attributes:
            return self.ints(name)
        value = self.value(i)
        if value is None:
            return None
        if value.dtype.kind not in "iu":
            raise self.fail(f"{name} is of type {value.dtype}; integers are needed")
        return [int(x) for x in value.reshape(-1)]

    def scalar(self, name: str, i: int) -> float | None:
        """Return a number that is an attribute or, later, input `i`; NaN where not known."""
        if name in self.attributes:
            return self.number(name, 0.0)
        if not self.has(i):
            return None
        value = self.value(i)
        try:
            return float("nan") if value is None else float(value.item())
        except (ValueError, TypeError):  # several, or no number
            return float("nan")

    def tensor(self, i: int) -> int:
        """Return the graph's tensor of input `i`, a constant one where need be."""
        self._require(i)
        return self.net.tensor(self.inputs[i])

    def is_constant(self, i: int) -> bool:
        """Whether input `i` is given and the same for every input of the network."""
        return self.constant(i) is not None

    def is_number(self, i: int) -> bool:
        """Whether input `i` is one constant number, which no operator reads from memory."""
        constant = self.constant(i)
        return constant is not None and not constant.bases and _is_one(constant.shape)

    def operands(self) -> list[int]:
        """Return the inputs as tensors, constant numbers left out."""
        given = [i for i in range(len(self.inputs)) if self.has(i)]
        return [self.tensor(i) for i in given if not self.is_number(i)]

    def axis(self, default: int, rank: int) -> int:
        """Return the attribute `axis`, counted from the first."""
        axis = self.integer("axis", default)
        if not -rank <= axis < rank:
            raise self.fail(f"axis is {axis}; the input has {rank} axes")
        return axis % rank

    # --- results -----------------------------------------------------------------------------

    @cached_property
    def _inferred(self) -> list[tuple[int, ...] | None]:
        return self.net.types.inferred(self)

    def made(self, i: int = 0) -> tuple[int, ...]:
        """Return the sizes of output `i`, inferred by onnx.

        Raises
        ------
        ModelError
            They are neither inferred nor in the file.
        """
        shape = self._inferred[i] if i < len(self._inferred) else None
        return self.net.types.declared(self, self.node.output[i]) if shape is None else shape

    def wants(self, i: int) -> bool:
        """Whether output `i` is read."""
        return len(self.node.output) > i and self.net.is_read(self.node.output[i])

    def element(
        self,
        kind: str,
        x: int | Sequence[int],
        shape: Sequence[int] | None = None,
        order: Sequence[int] = (),
    ) -> int:
        """Add an element operator under this node's name."""
        inputs = [x] if isinstance(x, int) else list(x)
        return self.graph.element(inputs, kind, () if shape is None else shape, self.name, order)

    def layer(
        self,
        make: Callable[[bool], int],
        weight: int,
        bias: int | None = None,
        shapes: Sequence[tuple[int, ...]] = (),
    ) -> int:
        """Add a layer, made with a bias or without, that has the weight which input `weight` is.

        The bias is input `bias`, or what an Add behind the node adds, a constant of one of the
        `shapes`; exporters store equal ones once, so it may be an earlier layer's too. A weight
        that an earlier layer has too is tied to it; a bias of its own is then added apart, so that
        it counts.
        """
        net, kernel = self.net, self.inputs[weight]
        given = self.inputs[bias] if bias is not None and self.has(bias) else ""
        name = given or net.fold_bias(self.node.output[0], shapes)
        if not name:
            return net.own(make(False), [kernel])
        if name in net.constants and (net.is_owned(name) or not net.is_owned(kernel)):
            return net.own(make(True), [kernel, name])
        made = net.own(make(False), [kernel])
        shape = self.graph.shape(made)
        return self.graph.element([made, net.tensor(name)], "add", shape, f"{self.name}.bias")

    def part(self, x: int, shape: Sequence[int]) -> int:
        """Read a tensor in another order or shape; nothing is launched."""
        if self.graph.shape(x) == tuple(shape):
            return x
        return self.graph.part(x, shape, f"{self.name}.part")

    def view(self, x: int, shape: Sequence[int]) -> int:
        """Read a tensor in another shape; nothing is launched."""
        if self.graph.shape(x) == tuple(shape):
            return x
        return self.graph.view(x, shape, f"{self.name}.view")

    def fail(self, what: str) -> ModelError:
        """Return the error that the node is malformed in the way `what` says."""
        return ModelError(f"{self.net.where}: {self.name} ({self.node.op_type}): {what}")


def _is_one(shape: tuple[int, ...]) -> bool:
    return all(size == 1 for size in shape)
