"""Peak memory of gradients that PyTorch computes by several kernels: to the byte, one by one."""

import pytest

import alphaflops as af

torch = pytest.importorskip("torch", reason="the oracle is torch")
from live_storages import peak_bytes  # noqa: E402
from torch import nn  # noqa: E402

ROWS, WIDTH = 64, 32

UNARY = {
    "abs": torch.abs,
    "clip": lambda x: x.clamp(0.2, 0.8),
    "cos": torch.cos,
    "erf": torch.erf,
    "log": torch.log,
    "pow": lambda x: x**3,
    "reciprocal": torch.reciprocal,
    "rsqrt": torch.rsqrt,
    "sin": torch.sin,
    "sqrt": torch.sqrt,
}
REDUCTIONS = {
    "logsumexp": lambda x: x.logsumexp(1),
    "max": lambda x: x.max(1)[0],
    "min": lambda x: x.min(1)[0],
    "norm": lambda x: x.norm(dim=1),
    "prod": lambda x: x.prod(1),
    "sum": lambda x: x.sum(1),
    "var": lambda x: x.var(1),
}
BINARY = {
    "add": torch.add,
    "div": torch.div,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "mul": torch.mul,
    "pow": torch.pow,
    "sub": torch.sub,
}


class Runs(nn.Module):
    """A function of a linear layer's result and, for two operands, of another's or a parameter."""

    def __init__(self, function, shape=None, frozen=()):
        super().__init__()
        self.function = function
        self.first = nn.Linear(WIDTH, WIDTH, bias=False)
        self.second = None
        if shape is not None:
            self.second = nn.Parameter(torch.rand(shape) + 0.5)
        for name in frozen:
            self.get_parameter("second" if name == "second" else "first.weight").requires_grad_(
                False
            )

    def forward(self, x):
        x = self.first(x)
        return self.function(x) if self.second is None else self.function(x, self.second)


def found(add, *, frozen=()):
    graph = af.Graph("one")
    x = graph.linear(graph.input([ROWS, WIDTH]), WIDTH, name="first")
    add(graph, x)
    return af.peak_memory(graph, "eager", af.Training("none", frozen=frozen))


@pytest.mark.parametrize("name", UNARY)
def test_one_operand(name):
    peak = found(lambda graph, x: graph.element([x], name))
    theirs = peak_bytes(Runs(UNARY[name]), [torch.rand(ROWS, WIDTH)], train=True)
    assert peak.total_bytes == theirs
    assert peak.during == "input_gradient"


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(name):
    peak = found(lambda graph, x: graph.reduce(x, name, [1]))
    theirs = peak_bytes(Runs(REDUCTIONS[name]), [torch.rand(ROWS, WIDTH)], train=True)
    # But for one or two numbers a row, of var and norm.
    slack = 2 * 4 * ROWS if name in {"var", "norm"} else 0
    assert theirs - slack <= peak.total_bytes <= theirs


@pytest.mark.parametrize("frozen", [[], ["first"], ["second"]])
@pytest.mark.parametrize("shape", [(ROWS, WIDTH), (WIDTH,), (ROWS, 1)])
@pytest.mark.parametrize("name", BINARY)
def test_two_operands(name, shape, frozen):
    def add(graph, x):
        second = graph.constant(list(shape), trainable="second" not in frozen, name="second")
        graph.element([x, second], name)

    peak = found(add, frozen=[n for n in frozen if n == "first"])
    module = Runs(BINARY[name], shape, frozen)
    assert peak.total_bytes == peak_bytes(module, [torch.rand(ROWS, WIDTH)], train=True)
