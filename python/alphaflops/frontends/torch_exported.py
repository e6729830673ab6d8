"""An exported program as a module whose forward a trace can follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import fx
from torch.export.graph_signature import InputKind

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
