"""What of an operator is timed in each pass, and what has to be there before.

docs/measuring.md gives the reasons.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from alphaflops._core import Graph
from alphaflops.errors import Error, UnsupportedError
from alphaflops.measuring.torch_operators import import_torch
from alphaflops.measuring.torch_pool import FLOAT_BYTES, LIMIT_BYTES, Launch, Pool

__all__ = ["Stage", "Stopwatch", "backward", "calls", "forward", "optimizer"]

#: Of all operands at once; other rows of gradients are of the first operand.
_OF_ALL_OPERANDS = {"attention"}
#: Whose gradients PyTorch computes in one launch. It is shared as the operations that its rows
#: count, 10 and 5 an element.
_JOINT = {"batch_norm", "layer_norm"}
_SHARES = {"input_gradient": 2 / 3, "weight_gradient": 1 / 3}
_CALLS_OF_A_UNIT = 5
_UNITS = 64  # as many as a network has modules
_MOST_CALLS = 10_000
_MOST_COPIES = 8
_MOST_FLOATS = 1 << 25  # of all copies that an optimizer updates

_RATE = 0.0  # the arithmetic is the same, and the pool keeps its numbers
_OPTIMIZERS: dict[str, Callable[[list[Any]], Any]] = {
    "sgd": lambda p: import_torch().optim.SGD(p, lr=_RATE),
    "momentum": lambda p: import_torch().optim.SGD(p, lr=_RATE, momentum=0.9),
    "adam": lambda p: import_torch().optim.Adam(p, lr=_RATE),
    "adamw": lambda p: import_torch().optim.AdamW(p, lr=_RATE),
}


class Stopwatch(Protocol):
    """Runs from its construction on."""

    def read_s(self) -> float:
        """Return the seconds so far."""


Start = Callable[[], Stopwatch]


class Stage(NamedTuple):
    """`call` takes the number of the call, and returns its seconds and what is to outlive it.

    `share` of the time is the row's.
    """

    call: Callable[[int, Start], tuple[float, Any]]
    share: float = 1.0


def forward(launch: Launch, run_between: Callable[[], object], *, training: bool) -> Stage:
    """Time the module's call."""
    if training:
        launch.train(of_weights=True)

    def call(turn: int, start: Start) -> tuple[float, Any]:
        launch.point_at_weights(turn)
        run_between()
        # Copies are what the operator before would have written: new tensors, in cache as far as
        # they fit. The first is written last.
        inputs = [tensor.clone() for tensor in reversed(launch.inputs(trained=training))]
        inputs.reverse()
        stopwatch = start()
        output = launch.operator(*inputs)
        inputs.clear()
        return stopwatch.read_s(), output

    return Stage(call)


def backward(launch: Launch, graph: Graph, pass_: str, run_between: Callable[[], object]) -> Stage:
    """Time what autograd does for one gradient, after a forward call that is not timed.

    From when autograd comes to the operator's last node until it has all gradients asked for: what
    a pass through a network costs beside its nodes is not the operator's.
    """
    torch = import_torch()
    op = graph.node_op(len(graph) - 1)
    is_joint = op in _JOINT
    of_weights = is_joint or pass_ == "weight_gradient"
    launch.train(of_weights=of_weights)
    operands = 0 if pass_ == "weight_gradient" and not is_joint else 1
    if op in _OF_ALL_OPERANDS:
        operands = len(launch.shapes)
    shape = graph.shape(len(graph) - 1)

    def call(turn: int, start: Start) -> tuple[float, Any]:
        launch.point_at_weights(turn)
        leaves = launch.inputs()
        leaves[:operands] = launch.inputs(trained=True)[:operands]
        wanted = [*leaves[:operands], *(launch.trainable if of_weights else ())]
        output = launch.operator(*(leaf.clone() for leaf in leaves))
        stopwatches: list[Stopwatch] = []
        times_s: list[float] = []
        output.grad_fn.register_prehook(lambda _: stopwatches.append(start()))
        hooks = [w.register_hook(lambda _: times_s.append(stopwatches[0].read_s())) for w in wanted]
        run_between()
        gradients = torch.autograd.grad(output, wanted, launch.like_output(shape).clone())
        for hook in hooks:
            hook.remove()
        return max(times_s), gradients

    return Stage(call, _SHARES[pass_] if is_joint else 1.0)


def optimizer(graph: Graph, pool: Pool, run_between: Callable[[], object]) -> Stage:
    """Time the step of a few layers at once, each one of many in a network.

    The graph is one layer, and its name the optimizer's.
    """
    torch = import_torch()
    (rows,), (columns,) = (graph.shape(node)[1:] for node in (0, len(graph) - 1))
    has_bias = graph.node_attributes(len(graph) - 1)["bias"]
    of_one = [rows * columns, *[columns] * has_bias]
    copies = max(1, min(_MOST_COPIES, _MOST_FLOATS // sum(of_one)))
    floats = 2 * copies * sum(of_one)  # with gradients
    if FLOAT_BYTES * 2 * floats > LIMIT_BYTES:  # and states
        raise Error(
            f"{graph.name}: needs {FLOAT_BYTES * 2 * floats} bytes of parameters, gradients and "
            f"states; the limit is {LIMIT_BYTES}, use fewer parameters"
        )
    updated = [torch.nn.Parameter(torch.zeros(size)) for size in of_one * copies]
    stepper = _OPTIMIZERS[graph.name](updated)

    def call(turn: int, start: Start) -> tuple[float, Any]:
        flat = pool.weights(floats)
        offset = turn % (len(flat) // floats) * floats
        for parameter, size in zip(updated, of_one * copies, strict=True):
            parameter.data = flat[offset : offset + size]
            parameter.grad = flat[offset + size : offset + 2 * size]
            offset += 2 * size
        run_between()
        stopwatch = start()
        stepper.step()
        return stopwatch.read_s(), None

    return Stage(call, 1 / copies)


def calls(count: int, run_between: Callable[[], object], *, training: bool) -> Stage:
    """Time calls that launch nothing: of a container, of modules that return their input, views.

    They come in units of five: a container with an identity in it, a dropout of inference, which
    is a module and a function, and a view. Each unit has modules of its own, as those of a network.
    """
    if count > _MOST_CALLS:
        raise UnsupportedError(f"call: {count} calls are too many to time; use {_MOST_CALLS}")
    torch = import_torch()
    image = torch.randn(1, 64, 14, 14).requires_grad_(training)
    views = [
        lambda: image.permute(0, 2, 3, 1),
        lambda: image.reshape(1, 64, -1),
        lambda: image[:, :32],
        lambda: image.transpose(1, 2),
    ]
    units = -(-count // _CALLS_OF_A_UNIT)
    modules = [
        (torch.nn.Sequential(torch.nn.Identity()).eval(), torch.nn.Dropout().eval())
        for _ in range(_UNITS)
    ]

    def call(turn: int, start: Start) -> tuple[float, Any]:
        run_between()
        places = [(turn * units + i) % len(modules) for i in range(units)]
        stopwatch = start()
        for i in places:
            container, dropout = modules[i]
            container(image)
            dropout(image)
            views[i % len(views)]()
        return stopwatch.read_s(), None

    return Stage(call, count / (_CALLS_OF_A_UNIT * units))
