"""An exported program as a module whose forward a trace can follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import fx
from torch.export.graph_signature import InputKind

if TYPE_CHECKING:
    from torch.export import ExportedProgram


class _Layer(torch.nn.Module):
    """Stands for a module of the program, so that its name is on the stack."""


class Exported(torch.nn.Module):
    """Runs the operators of an exported program one by one, each in the name of its layer."""

    def __init__(self, program: ExportedProgram) -> None:
        super().__init__()
        self.program = program
        # Attributes of an own table: names with dots are no names of parameters.
        self.state: dict[str, torch.Tensor] = {**program.state_dict, **program.constants}
        self.named = [value for value in self.state.values() if isinstance(value, torch.Tensor)]

    def parameters(self, recurse: bool = True) -> Any:
        """Return the program's parameters."""
        return iter(v for v in self.named if isinstance(v, torch.nn.Parameter))

    def forward(self, *args: Any) -> Any:
        """Run the program; `args` are the leaves of those that it was exported with."""
        flat = iter(args)
        values: list[Any] = []
        for spec in self.program.graph_signature.input_specs:
            if spec.kind is InputKind.USER_INPUT:
                values.append(next(flat))
            else:
                values.append(self.state.get(spec.target or ""))
        return _Named(self.program.graph_module).run(*values, enable_io_processing=False)


class _Named(fx.Interpreter):
    """Knows which layer an operator was in before the export."""

    def run_node(self, n: fx.Node) -> Any:
        """Run one operator under the name of its innermost module."""
        stack = n.meta.get("nn_module_stack")
        trace = _current_trace()
        if not stack or trace is None:
            return super().run_node(n)
        path = list(stack.values())[-1][0]
        trace.stack.append((path.removeprefix("L['self']."), _Layer()))
        try:
            return super().run_node(n)
        finally:
            trace.stack.pop()


def _current_trace() -> Any:
    from alphaflops.frontends.torch_trace import Trace  # noqa: PLC0415

    modes = torch.overrides._get_current_function_mode_stack()
    return next((m for m in reversed(modes) if isinstance(m, Trace)), None)
