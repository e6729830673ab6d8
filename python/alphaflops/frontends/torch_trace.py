"""A forward that computes nothing: every torch function becomes nodes of a graph.

The tensors that the module sees are on the meta device: they have a shape and a type, and no
elements. A function mode gets every call before torch does. Layers have rules here that know the
shape of what they make; what has none is run on meta tensors, where torch finds the shape.

Three kinds of tensors meet. Traced ones depend on an input and have a node; some have values
beside it (torch_values.py). Parameters become constants of the graph when something reads them that
is not their layer. All others (masks, positions, buffers) are known: what depends on them alone is
computed, as it is small, and costs nothing, as a constant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch.overrides import TorchFunctionMode

from alphaflops._core import Graph
from alphaflops.errors import UnsupportedError
from alphaflops.frontends import torch_names as names
from alphaflops.frontends.registry import OPERATORS, qualified_name
from alphaflops.frontends.torch_memory import copied, rearranges
from alphaflops.frontends.torch_tensors import EMPTY, map_leaves, storage_of, tensors_in
from alphaflops.frontends.torch_values import LARGEST, Values, moved

__all__ = ["EMPTY", "RULES", "Rule", "Trace", "map_leaves", "rule", "tensors_in"]

Rule: TypeAlias = Callable[..., Any]

RULES: dict[str, Rule] = {}


def rule(*operators: str) -> Callable[[Rule], Rule]:
    """Let a function (trace, arguments as torch's) be what these operators do.

    It returns NotImplemented where this use of the operator is not its business.
    """

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(operators, function))
        return function

    return register


class Trace(TorchFunctionMode, Values):
    """The graph of one forward, while that runs."""

    def __init__(self, graph: Graph, module: torch.nn.Module, causal: bool = False) -> None:
        TorchFunctionMode.__init__(self)
        Values.__init__(self, graph, module)
        self.causal = causal  # whether causal attention leaves out the scores that it masks
        self.unknown: dict[str, int] = {}
        self._apart_now: list[Any] = []  # functions that are run for what they are made of
        first = next(iter(module.parameters()), None)
        # What the module is told, so that masks it makes there are known.
        self.device = torch.device("cpu") if first is None or first.is_meta else first.device

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Run one call of torch; the mode itself is off meanwhile."""
        kwargs = kwargs or {}
        name, in_place = names.NAMES.get(function) or names.canonical(function)
        if name in names.QUERIES and not in_place:
            return function(*args, **kwargs)
        if name == "device" and args and isinstance(args[0], torch.Tensor):
            return self.device if id(args[0]) in self._nodes else args[0].device
        operands = tensors_in(args)
        if kwargs:
            operands += tensors_in(kwargs.values())
        before = len(self.graph)
        if not operands:
            result = self._make(name, function, args, kwargs)
        elif self.are_known(operands) and name not in names.RANDOM:
            result = self._compute(function, args, kwargs, operands, in_place)
        else:
            result = self._trace(name, function, args, kwargs, operands, in_place)
        self.calls += not self._launches_since(before)
        return result

    def _launches_since(self, node: int) -> bool:
        """Whether nodes from that one on are more than views and what was there before."""
        ops = map(self.graph.node_op, range(node, len(self.graph)))
        return not _FREE.issuperset(ops)

    def _compute(
        self,
        function: Any,
        args: Any,
        kwargs: Any,
        operands: Sequence[torch.Tensor],
        in_place: bool,
    ) -> Any:
        """Run a function of known tensors, on the processor."""
        target = kwargs.get("out", operands[0] if in_place else None)
        if target is not None and storage_of(target) not in self._own:
            return target  # the module's own tensors are never written
        args, kwargs = map_leaves(lambda leaf: moved(leaf, "cpu"), (args, kwargs))
        return self._keep(function(*args, **kwargs), operands)

    def _trace(
        self,
        name: str,
        function: Any,
        args: Any,
        kwargs: Any,
        operands: Sequence[torch.Tensor],
        in_place: bool,
    ) -> Any:
        if name in names.TAKES_SIZES:
            own = {k: v for k, v in kwargs.items() if k in ("input", "self")}
            args, kwargs = (*args[:1], *self.numbers(args[1:])), {**self.numbers(kwargs), **own}
        if name in names.LIKE:
            return self._like(name, function, args, kwargs)
        if name in names.FACTORIES and not in_place:
            sizes = self.numbers((args, kwargs))
            if not tensors_in(sizes):
                return self._make(name, function, *sizes)
        if name in names.READS_VALUES or (name == "where" and len(args) == 1 and not kwargs):
            return self._read(name, function, args, kwargs, operands)
        result = self.call(name, function, args, kwargs, operands, in_place)
        if self._values:
            self._follow(name, result, function, args, kwargs, operands, in_place)
        return result

    def _follow(
        self,
        name: str,
        result: Any,
        function: Any,
        args: Any,
        kwargs: Any,
        operands: Sequence[torch.Tensor],
        in_place: bool,
    ) -> None:
        """Know the elements of what was made and of what was written, or forget them."""
        in_place = in_place or bool(kwargs.get("inplace"))
        written = tensors_in([kwargs.get("out", operands[0] if in_place else None)])
        if name in names.RANDOM:
            self.forget(written)
        else:
            self.follow(result, function, args, kwargs, written)

    def _read(
        self, name: str, function: Any, args: Any, kwargs: Any, operands: Sequence[torch.Tensor]
    ) -> Any:
        """Run a function of which values decide the shape, or that returns them as numbers."""
        if not self.has_values(operands):
            raise self.fail(reads_values(name))
        values = self.on_values(function, args, kwargs)
        made = map_leaves(_without_elements, values)
        for tensor, value in zip(tensors_in([made]), tensors_in([values]), strict=True):
            self._values[id(tensor)] = value

        def make(shape: tuple[int, ...]) -> int:
            return self.graph.element(self.inputs(operands), "gather", shape, self.name(name))

        return self.record(made, operands, make)

    def call(
        self,
        name: str,
        function: Any,
        args: Any,
        kwargs: Any,
        operands: Sequence[torch.Tensor],
        in_place: bool = False,
    ) -> Any:
        """Do what one operator does to shapes and to the graph."""
        target = kwargs.get("out")
        if target is not None:
            kwargs = {k: v for k, v in kwargs.items() if k != "out"}
        elif in_place or kwargs.get("inplace"):
            target = operands[0]
        result = NotImplemented
        if OPERATORS:
            result = self._registered(function, args, kwargs, operands)
        known = RULES.get(name)
        if result is NotImplemented and known is not None:
            result = known(self, *args, **kwargs)
        if result is NotImplemented:
            result = self._generic(name, function, args, kwargs, operands)
        if isinstance(target, torch.Tensor) and isinstance(result, torch.Tensor):
            self.bind(target, self.node(result))
            return target
        return result

    def _generic(
        self, name: str, function: Any, args: Any, kwargs: Any, operands: Sequence[torch.Tensor]
    ) -> Any:
        """Let torch find the shape, and the tables the cost."""
        kind = names.ELEMENTS.get(name) or names.COPIES.get(name)
        if kind is None and name not in names.VIEWS:
            return self._apart(name, function, args, kwargs, operands)
        result = self.shaped(function, args, kwargs)

        def make(shape: tuple[int, ...]) -> int:
            inputs, at = self.inputs(operands), self.name(name)
            if kind in {"contiguous", "copy"} and rearranges(operands, result):
                return copied(self, operands[0], shape, at)
            return self.graph.element(inputs, kind or "copy", shape or (1,), at)

        return self.record(result, operands, make)

    def _apart(
        self, name: str, function: Any, args: Any, kwargs: Any, operands: Sequence[torch.Tensor]
    ) -> Any:
        """Run what no rule knows on meta tensors, and count what it is made of."""
        from alphaflops.frontends.torch_aten import AtenMode  # noqa: PLC0415  (rarely needed)

        if function in self._apart_now:  # it is made of itself, and its rule does not want it

            def make(shape: tuple[int, ...]) -> int:
                return self.add_unknown(qualified_name(function), self.inputs(operands), shape)

            return self.record(self.shaped(function, args, kwargs), operands, make)
        self._apart_now.append(function)
        try:
            with AtenMode(self, name, operands):
                return self.shaped(function, args, kwargs)
        except NotImplementedError as error:
            raise UnsupportedError(
                f"{self.name(name)}: torch does not say which shape '{qualified_name(function)}' "
                f"makes ({str(error).splitlines()[0]}); register a fake implementation with "
                "torch.library.register_fake"
            ) from error
        finally:
            self._apart_now.pop()

    def _registered(
        self, function: Any, args: Any, kwargs: Any, operands: Sequence[torch.Tensor]
    ) -> Any:
        """Ask a user's counter, if there is one for this function."""
        counter = OPERATORS.get(qualified_name(function))
        if counter is None:
            return NotImplemented
        result = self.shaped(function, args, kwargs)
        outputs = tensors_in([result])
        shapes = [tuple(t.shape) for t in outputs]
        attributes = names.attributes_of(function, args, kwargs)
        made = counter(self.graph, self.inputs(operands), shapes, attributes)
        if made is None:
            return NotImplemented
        nodes = [made] if isinstance(made, int) else list(made)
        if len(nodes) != len(outputs):
            raise self.fail(
                f"the counter of '{qualified_name(function)}' made {len(nodes)} tensors; the "
                f"operator makes {len(outputs)}"
            )
        for output, node in zip(outputs, nodes, strict=True):
            self.bind(output, node)
        return result

    def _make(self, name: str, function: Any, args: Any, kwargs: Any) -> Any:
        """Run a function that reads no tensor: most make one, whose values are then known."""
        if name not in names.FACTORIES:
            return function(*args, **kwargs)
        shape = function(*args, **{**kwargs, "device": "meta"})
        if name in names.RANDOM or shape.numel() > LARGEST:
            return shape
        return self._keep(function(*args, **{**kwargs, "device": "cpu"}), ())

    def _like(self, name: str, function: Any, args: Any, kwargs: Any) -> Any:
        """Run a function that reads the shape of a traced tensor, not its values."""
        made = self.shaped(function, args, {**kwargs, "device": "meta"})
        if name in names.RANDOM or made.numel() > LARGEST:
            return made
        return self._keep(function(*args, **{**kwargs, "device": "cpu"}), ())

    def _keep(self, result: Any, operands: Sequence[torch.Tensor]) -> Any:
        """Remember the storages that a computed result does not share with its operands."""
        shared = {storage_of(t) for t in operands}
        for tensor in tensors_in([result]):
            storage = storage_of(tensor)
            if storage is not None and (storage in self._own or storage not in shared):
                self._own.add(storage)
                self._alive.append(tensor)
        return result

    def shaped(self, function: Any, args: Any, kwargs: Any) -> Any:
        """Call a function on meta tensors: its result has shapes and no elements."""
        return function(*self.on_meta(args), **self.on_meta(kwargs))

    def is_counted(self, name: str, function: Any) -> bool:
        """Whether a rule, a table or a user says what an operator costs."""
        tables = (RULES, names.ELEMENTS, names.COPIES, names.VIEWS)
        return any(name in table for table in tables) or qualified_name(function) in OPERATORS

    def add_unknown(self, operator: str, inputs: list[int], shape: tuple[int, ...]) -> int:
        """Add an operator that is reported and not counted."""
        self.unknown[operator] = self.unknown.get(operator, 0) + 1
        return self.graph.unknown(inputs, operator, shape or (1,), self.name(operator))

    def on_meta(self, value: Any) -> Any:
        """Return the same arguments without elements."""

        def change(leaf: Any) -> Any:
            if isinstance(leaf, torch.Tensor):
                return leaf if leaf.is_meta and not leaf.requires_grad else self._twin(leaf)
            return moved(leaf, "meta")

        return map_leaves(change, value)


#: Operators of nodes that nothing is launched for.
_FREE = frozenset(("constant", "flatten", "parameter", "part"))


def reads_values(name: str) -> str:
    """Return why a forward that calls this cannot be traced."""
    return (
        f"the forward reads the values of a tensor ('{name}'), which a trace of shapes does not "
        "have; take such a branch or size from an argument, or from a shape, or give the inputs "
        "that it depends on with their elements, if they are integers"
    )


def _without_elements(leaf: Any) -> Any:
    return torch.empty_like(leaf, device="meta") if isinstance(leaf, torch.Tensor) else leaf
