"""A step, what its makers are given, and the making of streams."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from alphaflops._core import Graph
from alphaflops._cuda_plan import Plan, Target, stream_plans
from alphaflops.measuring.cuda_layouts import Layouts

__all__ = ["ITEM_BYTES", "SUM_BYTES", "Maker", "Row", "Step", "key_of", "no_plan", "stream"]

ITEM_BYTES = {"fp32": 4, "tf32": 4, "fp16": 2, "bf16": 2, "int8": 1}
SUM_BYTES = 4  # of biases, scales and what int8 adds up to
_WEIGHTS = {  # of streams
    "scale_shift": ("weights", "bias"),
    "layer_norm": ("weights", "bias"),
    "rms_norm": ("weights",),
}


@dataclass(frozen=True)
class Step:
    """One operator: every plan that does it, and its memory."""

    name: str
    plans: list[Plan]
    inputs: dict[str, int]  # the tensor of each buffer that is read
    output: int  # the tensor that is written, be it none of the graph
    parameters: dict[str, int] = field(default_factory=dict)  # bytes of each buffer of weights
    key: str = ""  # steps of one key are the same work
    fan_in: int = 0  # products that a result sums up, of weights
    output_bytes: int = 0  # of an output that is no tensor of the graph


@dataclass(frozen=True)
class Row:
    """A row of a work table: an operator, and what its launch takes over."""

    graph: Graph
    layouts: Layouts
    node: int
    target: Target
    function: str  # in the epilogue
    has_norm: bool  # whose shift becomes a bias
    last: int  # the tensor that is written
    spare: Iterator[int]  # numbers of further tensors, which are none of the graph

    @property
    def inputs(self) -> list[int]:
        """Return the tensors that the operator reads."""
        return self.graph.node_inputs(self.node)

    @property
    def dtype(self) -> str:
        """Return the element type that streams know."""
        return "fp32" if self.graph.dtype == "tf32" else self.graph.dtype

    @property
    def attributes(self) -> dict[str, Any]:
        """Return those of the operator."""
        return self.graph.node_attributes(self.node)


Maker: TypeAlias = Callable[[Row], list[Step]]


def key_of(kind: str, sizes: dict[str, int], *others: object) -> str:
    """Return what tells the work of a step from that of others."""
    return f"{kind} {sorted(sizes.items())} {' '.join(map(str, others))}"


def no_plan(row: Row) -> list[Step]:
    """Return a step that no kernel does."""
    return [Step(row.graph.node_name(row.node), [], {}, row.last)]


def stream(
    row: Row,
    kind: str,
    *,
    sizes: dict[str, int] | None = None,
    inputs: dict[str, int] | None = None,
    parameters: dict[str, int] | None = None,
    **options: Any,
) -> Step:
    """Make the step of an operator that moves data, by default of the sizes of its first input."""
    if inputs is None:
        inputs = dict(zip(("input", "second_input"), row.inputs, strict=False))
    sizes = sizes or row.layouts.sizes(next(iter(inputs.values())))
    if parameters is None:
        parameters = dict.fromkeys(_WEIGHTS.get(kind, ()), sizes.get("channels", 0) * SUM_BYTES)
    options = {"function": row.function, **options}
    return Step(
        name=row.graph.node_name(row.node),
        plans=stream_plans(kind, sizes, row.target, row.dtype, **options),
        inputs=inputs,
        output=row.last,
        parameters=parameters,
        key=key_of(kind, sizes, row.dtype, sorted(options.items())),
    )
