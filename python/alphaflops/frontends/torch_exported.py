"""An exported program as a module whose forward a trace can follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import fx
from torch.export.graph_signature import InputKind
from torch.utils._pytree import tree_leaves

from alphaflops.errors import ModelError
from alphaflops.frontends.torch_path import Layer

if TYPE_CHECKING:
    from torch.export import ExportedProgram


class Exported(torch.nn.Module):
    """Runs the operators of an exported program one by one, each in the name of its layer."""

    def __init__(self, program: ExportedProgram) -> None:
        super().__init__()
        self.program = program
        # Attributes of an own table: names with dots are no names of parameters.
        self.state: dict[str, torch.Tensor] = {**program.state_dict, **program.constants}
        specs = program.graph_signature.input_specs
        self.input_names = [str(s.arg.name) for s in specs if s.kind is InputKind.USER_INPUT]
        self.stack: list[Layer] = []  # the trace's, which names layers

    def leaves(self, args: Any, kwargs: Any) -> list[Any]:
        """Return the arguments one by one: those given, or those that it was exported with.

        Raises
        ------
        ModelError
            Those given are not such as it was exported with.
        """
        own_args, own_kwargs = self.program.example_inputs or ((), {})
        own = tree_leaves((own_args, own_kwargs))
        if own and not len(args) and not kwargs:
            return own
        kwargs = dict(kwargs or {})
        in_order = {**{key: kwargs[key] for key in own_kwargs if key in kwargs}, **kwargs}
        given = tree_leaves((tuple(args), in_order))
        if len(given) != len(self.input_names):
            raise ModelError(
                f"from_torch: {len(given)} arguments are given; the program was exported with "
                f"{len(self.input_names)}, {', '.join(self.input_names)}"
            )
        for at, one, other in zip(self.input_names, given, own, strict=False):
            if _describe(one) != _describe(other):
                raise ModelError(
                    f"from_torch: argument '{at}' is {_describe(one)}; the program was exported "
                    f"with {_describe(other)}. Export it with these arguments, or give the module"
                )
        return given

    def named_parameters(self, *options: Any, **more: Any) -> Any:
        """Return the program's parameters."""
        named = self.state.items()
        return ((k, v) for k, v in named if isinstance(v, torch.nn.Parameter))

    def forward(self, *args: Any) -> Any:
        """Run the program; `args` are the leaves of those that it was exported with."""
        flat = iter(args)
        values: list[Any] = []
        for spec in self.program.graph_signature.input_specs:
            if spec.kind is InputKind.USER_INPUT:
                values.append(next(flat))
            else:
                values.append(self.state.get(spec.target or ""))
        return _Named(self.program.graph_module, self).run(*values, enable_io_processing=False)


def _describe(value: Any) -> str:
    if not isinstance(value, torch.Tensor):
        return f"{value!r:.40}"
    return f"a tensor {list(value.shape)} of {str(value.dtype).removeprefix('torch.')}"


class _Named(fx.Interpreter):
    """Knows which layer an operator was in before the export."""

    def __init__(self, graph_module: fx.GraphModule, owner: Exported) -> None:
        super().__init__(graph_module)
        self.owner = owner
        paths = [_paths(n) for n in graph_module.graph.nodes]
        self.containers = {path for each in paths for path in each[:-1]}

    def run_node(self, n: fx.Node) -> Any:
        """Run one operator under the name of its innermost module."""
        paths, stack = _paths(n), self.owner.stack
        if not paths:
            return super().run_node(n)
        stack.append(Layer(paths[-1], self.owner, paths[-1] not in self.containers))
        try:
            return super().run_node(n)
        finally:
            stack.pop()


def _paths(n: fx.Node) -> list[str]:
    """Return the modules that an operator was in, outermost first."""
    modules = n.meta.get("nn_module_stack") or {}
    return [path.removeprefix("L['self'].") for path, _ in modules.values()]
