"""A forward that computes nothing: every torch function becomes nodes of a graph.

The tensors that the module sees are on the meta device: they have a shape and a type, and no
elements. A function mode gets every call before torch does. Layers have rules here that know the
shape of what they make; what has none is run on meta tensors, where torch finds the shape.

Three kinds of tensors meet. Traced ones depend on an input and have a node. Parameters become
constants of the graph when something reads them that is not their layer. All others (masks,
positions, buffers) are known: what depends on them alone is computed, as it is small, and costs
nothing, as a constant.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from torch.overrides import TorchFunctionMode

from alphaflops._core import Graph
from alphaflops.errors import ModelError, UnsupportedError
from alphaflops.frontends import torch_names as names
from alphaflops.frontends.registry import OPERATORS, qualified_name

Rule: TypeAlias = Callable[..., Any]
Key: TypeAlias = tuple[int, int, int]  # of a parameter or a part of it: storage, offset, elements

RULES: dict[str, Rule] = {}
_LARGEST_KNOWN = 1 << 20  # elements; more is not computed during a trace
EMPTY = -1  # the node of a tensor without elements


def rule(*operators: str) -> Callable[[Rule], Rule]:
    """Let a function (trace, arguments as torch's) be what these operators do.

    It returns NotImplemented where this use of the operator is not its business.
    """

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(operators, function))
        return function

    return register


class Trace(TorchFunctionMode):
    """The graph of one forward, while that runs."""

    def __init__(self, graph: Graph, module: torch.nn.Module) -> None:
        super().__init__()
        self.graph = graph
        self.paths = {id(m): path for path, m in module.named_modules()}
        self._parameters = {
            id(t): path for path, t in (*module.named_parameters(), *module.named_buffers())
        }
        self.stack: list[tuple[str, torch.nn.Module]] = []
        self.failed: tuple[BaseException, str] | None = None
        self.unknown: dict[str, int] = {}
        first = next(iter(module.parameters()), None)
        self.device = torch.device("cpu") if first is None else first.device
        self._nodes: dict[int, int] = {}  # of traced tensors, by the identity of the tensor
        self._constants: dict[int, int] = {}  # of all others that traced ones met
        self._alive: list[Any] = []  # identities stay those of the same tensors
        self._own: set[int] = set()  # storages made during the trace, which may be written
        self._twins: dict[int, torch.Tensor] = {}
        self._owners: dict[Key, int] = {}
        self._names: dict[str, int] = {}
        self._bases: dict[int, torch.Tensor] = {}  # storages of twins to their parameters

    # What rules use.

    def node(self, tensor: torch.Tensor) -> int:
        """Return the node that makes a tensor; a constant where none does."""
        found = self._nodes.get(id(tensor), self._constants.get(id(tensor)))
        if found is not None:
            return found
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

    def tensor(self, node: int, dtype: torch.dtype, shape: Sequence[int] = ()) -> torch.Tensor:
        """Return what the module sees of a node."""
        made = torch.empty(shape or self.graph.shape(node), dtype=dtype, device="meta")
        return self.bind(made, node)

    def name(self, operator: str, is_free: bool = False) -> str:
        """Return the layer's name, with the operator's where the layer is more than that."""
        path, module = self.stack[-1] if self.stack else ("", None)
        name = path
        if not path or is_free or module is None or module._modules or path in self._names:
            name = f"{path}.{operator}" if path else operator
        count = self._names.get(name, 0)
        self._names[name] = count + 1
        return f"{name}_{count}" if count else name

    def key(self, tensor: torch.Tensor) -> Key | None:
        """Return what tells a parameter, or a part of one, from others; None of other tensors."""
        base = self._base(tensor)
        if base is None:
            return None
        start = 0 if base is tensor else tensor.storage_offset()
        return (id(base), start, tensor.numel())

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

    def shaped(self, function: Any, args: Any, kwargs: Any) -> Any:
        """Call a function on meta tensors: its result has shapes and no elements."""
        return function(*self.on_meta(args), **self.on_meta(kwargs))

    def record(self, result: Any, operands: Sequence[torch.Tensor], make: Rule) -> Any:
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

    def inputs(self, operands: Sequence[torch.Tensor]) -> list[int]:
        """Return the nodes of those that have elements."""
        return [n for n in map(self.node, operands) if n != EMPTY]

    def fail(self, why: str) -> ModelError:
        """Return an error that names the layer being run."""
        path, module = self.stack[-1] if self.stack else ("", None)
        kind = "forward" if module is None else type(module).__name__
        return ModelError(f"{path or self.graph.name} ({kind}): {why}")

    # The mode.

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Run one call of torch; the mode itself is off meanwhile."""
        kwargs = kwargs or {}
        name, in_place = names.NAMES.get(function) or names.canonical(function)
        if name in names.QUERIES:
            return function(*args, **kwargs)
        if name == "device" and not in_place:
            return self.device if id(args[0]) in self._nodes else args[0].device
        operands = tensors_in(args)
        if kwargs:
            operands += tensors_in(kwargs.values())
        if not operands:
            return self._make(name, function, args, kwargs)
        if self._are_known(operands) and name not in names.RANDOM:
            target = kwargs.get("out", args[0] if in_place else None)
            if target is not None and target.untyped_storage()._cdata not in self._own:
                return target  # the module's own tensors are never written
            return self._keep(function(*args, **kwargs), operands)
        if name in names.LIKE:
            return self._like(name, function, args, kwargs)
        if name in names.READS_VALUES:
            raise self.fail(
                f"the forward reads the values of a tensor ('{name}'), which a trace of shapes "
                "does not have; take such a branch or size from an argument, or from a shape"
            )
        return self.call(name, function, args, kwargs, operands, in_place)

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
            target = args[0]
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
            inputs = self.inputs(operands)
            return self.graph.element(inputs, kind or "copy", shape or (1,), self.name(name))

        return self.record(result, operands, make)

    def _apart(
        self, name: str, function: Any, args: Any, kwargs: Any, operands: Sequence[torch.Tensor]
    ) -> Any:
        """Run what no rule knows on meta tensors, and count what it is made of."""
        from alphaflops.frontends.torch_aten import AtenMode  # noqa: PLC0415  (rarely needed)

        try:
            with AtenMode(self, name, operands):
                return self.shaped(function, args, kwargs)
        except NotImplementedError as error:
            raise UnsupportedError(
                f"{self.name(name)}: torch does not say which shape '{qualified_name(function)}' "
                f"makes ({str(error).splitlines()[0]}); register a fake implementation with "
                "torch.library.register_fake"
            ) from error

    def is_counted(self, name: str, function: Any) -> bool:
        """Whether a rule, a table or a user says what an operator costs."""
        tables = (RULES, names.ELEMENTS, names.COPIES, names.VIEWS)
        return any(name in table for table in tables) or qualified_name(function) in OPERATORS

    def add_unknown(self, operator: str, inputs: list[int], shape: tuple[int, ...]) -> int:
        """Add an operator that is reported and not counted."""
        self.unknown[operator] = self.unknown.get(operator, 0) + 1
        return self.graph.unknown(inputs, operator, shape or (1,), self.name(operator))

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
        wanted = kwargs.get("device")
        on_cpu = wanted is None or torch.device(wanted).type == "cpu"
        if name in names.RANDOM or not on_cpu or shape.numel() > _LARGEST_KNOWN:
            return shape
        return self._keep(function(*args, **kwargs), ())

    def _like(self, name: str, function: Any, args: Any, kwargs: Any) -> Any:
        """Run a function that reads the shape of a traced tensor, not its values."""
        made = self.shaped(function, args, {**kwargs, "device": "meta"})
        if name in names.RANDOM or made.numel() > _LARGEST_KNOWN:
            return made
        return self._keep(function(*args, **{**kwargs, "device": "cpu"}), ())

    def _are_known(self, tensors: Sequence[torch.Tensor]) -> bool:
        """Whether none depends on an input or a parameter, and all are small."""
        return all(
            id(t) not in self._nodes
            and t.device.type == "cpu"
            and not t.requires_grad
            and not isinstance(t, torch.nn.Parameter)
            and t.numel() <= _LARGEST_KNOWN
            for t in tensors
        )

    def _keep(self, result: Any, operands: Sequence[torch.Tensor]) -> Any:
        """Remember the storages that a computed result does not share with its operands."""
        shared = {t.untyped_storage()._cdata for t in operands}
        for tensor in tensors_in([result]):
            storage = tensor.untyped_storage()
            if storage._cdata in self._own or storage._cdata not in shared:
                self._own.add(storage._cdata)
                self._alive.append(storage)
        return result

    def on_meta(self, value: Any) -> Any:
        """Return the same arguments without elements."""
        if isinstance(value, torch.Tensor):
            return value if value.is_meta and not value.requires_grad else self._twin(value)
        if isinstance(value, (list, tuple)):
            changed = [self.on_meta(each) for each in value]
            if isinstance(value, list):
                return changed
            return type(value)(*changed) if hasattr(value, "_fields") else tuple(changed)
        if isinstance(value, dict):
            return {key: self.on_meta(each) for key, each in value.items()}
        if isinstance(value, torch.device):
            return torch.device("meta")
        return value

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

    # The names of layers.

    @contextmanager
    def following_modules(self) -> Iterator[None]:
        """Know which module runs: `Module.__call__` is another function meanwhile, in this thread.

        Hooks would do the same and would have to be taken out of every module again.
        """
        original = torch.nn.Module.__call__
        thread = threading.get_ident()

        def call(module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() != thread:
                return original(module, *args, **kwargs)
            module = self._unwrapped(module)
            path = self.paths.get(id(module))
            if path is None:
                path = f"{self.stack[-1][0] if self.stack else ''}.{type(module).__name__}"
            self.stack.append((path.lstrip("."), module))
            try:
                return original(module, *args, **kwargs)
            except BaseException as error:
                if self.failed is None or self.failed[0] is not error:
                    self.failed = (error, f"{path or self.graph.name} ({type(module).__name__})")
                raise
            finally:
                self.stack.pop()

        with _PATCH:
            torch.nn.Module.__call__ = call
            try:
                yield
            finally:
                torch.nn.Module.__call__ = original

    def _unwrapped(self, module: torch.nn.Module) -> torch.nn.Module:
        if isinstance(module, torch.jit.ScriptModule):
            raise ModelError(
                f"{self.paths.get(id(module)) or self.graph.name}: a scripted module runs outside "
                "Python, where it cannot be followed; give the module that was scripted"
            )
        # torch.compile wraps; what it wraps runs the same.
        wrapped = type(module).__name__ == "OptimizedModule"
        return module._orig_mod if wrapped else module  # type: ignore[return-value]


_PATCH = threading.RLock()


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
