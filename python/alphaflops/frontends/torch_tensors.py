"""Which node of the graph makes which tensor, and whose the parameters are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch

from alphaflops._core import Graph
from alphaflops.frontends.torch_path import Layers
from alphaflops.frontends.torch_refusals import refusal_of

Key: TypeAlias = tuple[int, int, int]  # of a parameter or a part of it: which, offset, elements

EMPTY = -1  # the node of a tensor without elements


class Tensors(Layers):
    """Tensors by identity: Python's objects, which stay alive as long as this does."""

    def __init__(self, graph: Graph, module: torch.nn.Module) -> None:
        super().__init__(graph, module)
        self._parameters = {
            id(t): path for path, t in (*module.named_parameters(), *module.named_buffers())
        }
        self._nodes: dict[int, int] = {}  # of traced tensors
        self._constants: dict[int, int] = {}  # of all others that traced ones met
        self._alive: list[Any] = []
        self._twins: dict[int, torch.Tensor] = {}  # without elements, of tensors with them
        self._bases: dict[int, torch.Tensor] = {}  # storages of twins to their parameters
        self._owners: dict[Key, int] = {}

    def node(self, tensor: torch.Tensor) -> int:
        """Return the node that makes a tensor; a constant where none does."""
        found = self._nodes.get(id(tensor), self._constants.get(id(tensor)))
        if found is not None:
            return found
        if (why := refusal_of(tensor)) is not None:
            raise self.fail(why)
        shape = tuple(tensor.shape)
        base = self._base(tensor)
        if 0 in shape:
            node = EMPTY
        elif base is not None and base is not tensor:
            node = self._view(base, self._twins[id(base)], tensor)
        else:
            key = self.key(tensor)
            owned = key is not None and key in self._owners
            trainable = key is not None and not owned
            path = self._parameters.get(id(tensor))
            name = path if path is not None else self.name("constant", True)
            node = self.graph.constant(shape, trainable, name)
            if key is not None and not owned:
                self._owners[key] = node
        self._constants[id(tensor)] = node
        self._alive.append(tensor)
        return node

    def bind(self, tensor: torch.Tensor, node: int) -> torch.Tensor:
        """Let `node` be what makes `tensor` from now on."""
        self._alive.append(tensor)
        self._nodes[id(tensor)] = node
        return tensor

    def tensor(
        self,
        node: int,
        dtype: torch.dtype,
        shape: Sequence[int] | None = None,
        like: torch.Tensor | None = None,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> torch.Tensor:
        """Return what the module sees of a node; its axes lie in memory as those of `like`."""
        if like is not None:
            made = torch.empty_like(like, dtype=dtype, device="meta", requires_grad=False)
            return self.bind(made, node)
        size = self.graph.shape(node) if shape is None else shape
        made = torch.empty(size, dtype=dtype, device="meta", memory_format=memory_format)
        return self.bind(made, node)

    def depends(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor comes from an input or from a parameter."""
        return id(tensor) in self._nodes or self.key(tensor) is not None

    def key(self, tensor: torch.Tensor) -> Key | None:
        """Return what tells a parameter, or a part of one, from others; None of other tensors."""
        base = self._base(tensor)
        if base is None:
            return None
        start = 0 if base is tensor else tensor.storage_offset()
        return (id(base), int(start), tensor.numel())

    def _base(self, tensor: torch.Tensor) -> torch.Tensor | None:
        """Return the parameter that a tensor is, or is a view of."""
        if isinstance(tensor, torch.nn.Parameter) or (tensor.requires_grad and tensor.is_leaf):
            return tensor
        if not tensor.is_meta or id(tensor) in self._nodes:
            return None
        return self._bases.get(tensor.untyped_storage()._cdata)

    def layer(self, make: Callable[[bool], int], *weights: torch.Tensor | None) -> int:
        """Add a layer by `make(with its bias)`, with weights that may be another's as well.

        The first of `weights` decides whose they are. A bias (the last) that is the layer's own
        where the weight is not, or the other way round, is added in a row of its own, so that
        every parameter counts once.
        """
        given = [w for w in weights if w is not None]
        if not given:
            return make(False)
        bias = weights[-1]
        tie = self._owner(given[0])
        apart = bias is not None and (tie is None) != (self._owner(bias) is None)
        node = make(bias is not None and not apart)
        if tie is None:
            owned = given[:-1] if apart else given
            self._owners.update({k: node for k in map(self.key, owned) if k is not None})
        elif tie != EMPTY:
            self.graph.tie(node, tie)
        if apart and bias is not None:
            inputs = [node, self.node(bias)]
            node = self.graph.element(inputs, "add", self.graph.shape(node), self.name("bias"))
        return node

    def _owner(self, weight: torch.Tensor) -> int | None:
        """Return the node whose parameters these are; None where they are a new layer's own."""
        key = self.key(weight)
        return self.node(weight) if key is None else self._owners.get(key)

    def inputs(self, operands: Sequence[torch.Tensor]) -> list[int]:
        """Return the nodes of those that have elements."""
        return [n for n in map(self.node, operands) if n != EMPTY]

    def record(
        self, result: Any, operands: Sequence[torch.Tensor], make: Callable[..., int]
    ) -> Any:
        """Give the tensors of a result their nodes: views, and the first other by `make`."""
        made: list[int] = []

        def walk(value: Any) -> Any:
            if isinstance(value, torch.Tensor):
                if not self._bind_view(value, operands):
                    shape = tuple(value.shape)
                    if 0 in shape:
                        self.bind(value, EMPTY)
                    elif not made:
                        made.append(make(shape))
                        self.bind(value, made[0])
                    else:
                        node = self.graph.part(made[0], shape, self.name("part", True))
                        self.bind(value, node)
            elif isinstance(value, (tuple, list)):
                for each in value:
                    walk(each)
            return value

        return walk(result)

    def _bind_view(self, value: torch.Tensor, operands: Sequence[torch.Tensor]) -> bool:
        """Bind a result that shares its elements with an operand; nothing was launched."""
        if id(value) in self._nodes:
            return True
        storage = value.untyped_storage()._cdata
        for operand in operands:
            twin = self._twins.get(id(operand), operand)
            if twin.is_meta and twin.untyped_storage()._cdata == storage:
                # Views of a parameter get a node when something reads them that is not a layer.
                if self._base(operand) is None:
                    self.bind(value, self._view(operand, twin, value))
                else:
                    self._alive.append(value)
                return True
        return False

    def _view(self, operand: torch.Tensor, twin: torch.Tensor, value: torch.Tensor) -> int:
        node, shape = self.node(operand), tuple(value.shape)
        if node == EMPTY or 0 in shape:
            return EMPTY
        if shape == tuple(twin.shape) and value.stride() == twin.stride():
            return node
        if twin.numel() == value.numel() and twin.is_contiguous() and value.is_contiguous():
            return self.graph.view(node, shape, self.name("view", True))
        return self.graph.part(node, shape, self.name("part", True))

    def _twin(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return a tensor without elements that stands for one with them."""
        twin = self._twins.get(id(tensor))
        if twin is None:
            plain = tensor.detach() if tensor.requires_grad else tensor
            twin = torch.empty_strided(
                plain.shape, plain.stride(), dtype=plain.dtype, device="meta"
            )
            self._twins[id(tensor)] = twin
            self._alive.append(tensor)
            if self._base(tensor) is not None:
                self._bases[twin.untyped_storage()._cdata] = tensor
        return twin


def tensors_in(values: Any) -> list[torch.Tensor]:
    """Return the tensors among arguments, and in lists of them."""
    found: list[torch.Tensor] = []
    for value in values:
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            found += tensors_in(value)
        elif isinstance(value, dict):
            found += tensors_in(value.values())
    return found


def storage_of(tensor: torch.Tensor) -> int | None:
    """Return what tensors of the same elements share; None of the tensors that vmap makes."""
    if torch._C._functorch.is_batchedtensor(tensor):
        return None
    return int(tensor.untyped_storage()._cdata)


def map_leaves(change: Callable[[Any], Any], value: Any) -> Any:
    """Return lists, tuples and dicts as they are, with everything else in them changed."""
    if isinstance(value, (list, tuple)):
        changed = [map_leaves(change, each) for each in value]
        if hasattr(value, "_fields"):
            return type(value)(*changed)
        return changed if isinstance(value, list) else tuple(changed)
    if isinstance(value, dict):
        return {key: map_leaves(change, each) for key, each in value.items()}
    return change(value)
