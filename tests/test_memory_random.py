"""Peak memory of random networks, run by torch with every tensor freed behind its last reader."""

import numpy as np
import pytest

import alphaflops as af

torch = pytest.importorskip("torch", reason="the oracle is torch")
from torch.nn import functional as F  # noqa: E402

from live_storages import LiveStorages, Loss  # noqa: E402, isort: skip

ACTIVATIONS = {
    "relu": torch.relu,
    "gelu": F.gelu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "silu": F.silu,
    "hardswish": F.hardswish,
    "relu6": F.relu6,
}
BINARY = {
    "add": torch.add,
    "mul": torch.mul,
    "sub": torch.sub,
    "div": torch.div,
    "pow": torch.pow,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
}
UNARY = {
    "exp": torch.exp,
    "neg": torch.neg,
    "log": torch.log,
    "abs": torch.abs,
    "erf": torch.erf,
    "sqrt": torch.sqrt,
    "rsqrt": torch.rsqrt,
    "reciprocal": torch.reciprocal,
    "sin": torch.sin,
    "cos": torch.cos,
    "clip": lambda x: x.clamp(0.2, 0.8),
    "pow": lambda x: x**3,
}


class Network:
    """A graph, and for each node the function of its operands that torch runs."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.graph = af.Graph(f"random {seed}")
        self.parameters, self.buffers, self.steps = {}, [], []
        self.x = torch.rand(2, 4, 8, 8) + 0.5
        self.images = [self.graph.input(list(self.x.shape))]
        self.steps.append(None)
        for _ in range(int(self.rng.integers(3, 12))):
            self.add_layer()
        self.close()

    def pick(self, like=None):
        found = [t for t in self.images if like is None or self.shape(t) == self.shape(like)]
        return found[int(self.rng.integers(len(found)))]

    def shape(self, tensor):
        return self.graph.shape(tensor)

    def then(self, tensor, function):
        self.steps.append(function)
        assert len(self.steps) == len(self.graph) == tensor + 1
        return tensor

    def own(self, *shapes):
        """Parameters of the node that is added next."""
        made = [torch.nn.Parameter(torch.rand(shape) + 0.5) for shape in shapes]
        self.parameters[len(self.graph)] = made
        return made

    def convolution(self, x):
        c_in, groups = self.shape(x)[1], int(self.rng.choice([1, 2]))
        c_out, bias = 2 * int(self.rng.integers(2, 5)), bool(self.rng.integers(2))
        groups = groups if c_in % 2 == 0 else 1
        kernel = int(self.rng.choice([1, 3]))
        owned = self.own((c_out, c_in // groups, kernel, kernel), *([(c_out,)] if bias else []))
        w, b = (*owned, None)[:2]
        y = self.graph.conv2d(x, c_out, kernel, 1, kernel // 2, groups=groups, bias=bias)
        return self.then(y, lambda t: F.conv2d(t, w, b, 1, kernel // 2, 1, groups))

    def linear(self, x):
        features, bias = int(self.rng.integers(3, 9)), bool(self.rng.integers(2))
        owned = self.own((features, self.shape(x)[-1]), *([(features,)] if bias else []))
        y = self.graph.linear(x, features, bias)
        return self.then(y, lambda t: F.linear(t, *owned))

    def batch_norm(self, x):
        channels = self.shape(x)[1]
        w, b = self.own((channels,), (channels,))
        mean, var = torch.zeros(channels), torch.ones(channels)
        self.buffers += [mean, var]
        y = self.graph.batch_norm(x)
        return self.then(y, lambda t: F.batch_norm(t, mean, var, w, b, self.training))

    def add_layer(self):
        x, graph = self.pick(), self.graph
        y = self.pick(like=x)
        kind = int(self.rng.integers(11))
        if kind < 2:
            made = self.convolution(x)
        elif kind == 2:
            made = self.linear(x)
        elif kind == 3:
            made = self.batch_norm(x)
        elif kind == 4:
            name = str(self.rng.choice(list(ACTIVATIONS)))
            made = self.then(graph.activation(x, name), ACTIVATIONS[name])
        elif kind == 5:
            name = str(self.rng.choice(list(BINARY)))
            made = self.then(graph.element([x, y], name), BINARY[name])
        elif kind == 6:
            name = str(self.rng.choice(list(UNARY)))
            made = self.then(graph.element([x], name), UNARY[name])
        elif kind == 7:
            gate = self.then(graph.global_avg_pool(x), lambda t: F.adaptive_avg_pool2d(t, 1))
            made = self.then(graph.mul(x, gate), torch.mul)
        elif kind == 8:
            made = self.then(graph.concat([x, y]), lambda s, t: torch.cat([s, t], 1))
        elif kind == 9 and min(self.shape(x)[2:]) > 1:
            make, run = [(graph.max_pool, F.max_pool2d), (graph.avg_pool, F.avg_pool2d)][
                int(self.rng.integers(2))
            ]
            made = self.then(make(x, 2), lambda t: run(t, 2))
        else:
            made = self.then(graph.softmax(x), lambda t: torch.softmax(t, 1))
        self.images.append(made)

    def close(self):
        """Every loose end goes into one result."""
        read = {t for i in range(len(self.graph)) for t in self.graph.node_inputs(i)}
        ends = [
            self.then(self.graph.reduce(t, "mean", [2, 3]), lambda t: t.mean((2, 3)))
            for t in range(len(self.graph))
            if t not in read
        ]
        joined = self.then(self.graph.concat(ends), lambda *t: torch.cat(t, 1))
        self.linear(joined)

    def run(self):
        last = {t: i for i in range(len(self.graph)) for t in self.graph.node_inputs(i)}
        tensors = {0: self.x}
        for i in range(1, len(self.graph)):
            operands = self.graph.node_inputs(i)
            tensors[i] = self.steps[i](*(tensors[t] for t in operands))
            for t in operands:
                if last[t] == i and t != 0:
                    tensors.pop(t, None)
        return tensors.popitem()[1]

    def torch_peak(self, *, training):
        self.training = training
        owned = [p for made in self.parameters.values() for p in made]
        with (
            LiveStorages(*owned, *self.buffers, self.x) as live,
            torch.set_grad_enabled(training),
        ):
            result = self.run()
            if training and result.requires_grad:
                Loss.apply(result).backward()
        return live.low if training else live.peak, live.peak


@pytest.mark.parametrize("seed", range(150))
def test_peak_is_torchs(seed):
    network = Network(seed)
    found = af.peak_memory(network.graph)
    assert (found.total_bytes,) * 2 == network.torch_peak(training=False)
    frozen = [n for n in network.parameters if network.rng.integers(3) == 0]
    for node in frozen:
        for parameter in network.parameters[node]:
            parameter.requires_grad_(False)
    names = [network.graph.node_name(node) for node in frozen]
    found = af.peak_memory(network.graph, "eager", af.Training("none", frozen=names))
    low, high = network.torch_peak(training=True)
    assert low <= found.total_bytes <= high
