"""Counts of the forward pass against textbook algorithms that count what they do.

Convolutions have their own. `counted` has the numbers and the algorithms; what `docs/operators.md`
says is not counted (work once a row, a window or a call) is done with plain floats there.
"""

import itertools
import math

import numpy as np
import pytest
from counted import (
    Number,
    attention,
    counted,
    each,
    erf,
    exp,
    largest,
    log,
    maximum,
    minimum,
    normalised,
    numbers,
    product,
    recurrence,
    sigmoid,
    softmax,
    sqrt,
    tanh,
    total,
)
from hypothesis import given, settings
from hypothesis import strategies as st

import alphaflops as af
from alphaflops import _core

SMALL = st.integers(1, 4)
COUNTS = settings(max_examples=100, deadline=None)


def last_row(graph):
    """The work of the last node, with the operations that the algorithm has done since `reset`."""
    work = af.lower(graph, "eager")
    return {
        name: int(getattr(work, name)[-1])
        for name in (
            "macs",
            "flops",
            "params",
            "activations_read",
            "weights_read",
            "elements_written",
        )
    }


def agrees(graph, *, read, weights=0, params=0, written):
    row = last_row(graph)
    assert row == {
        "macs": Number.macs,
        "flops": Number.flops,
        "params": params,
        "activations_read": read,
        "weights_read": weights,
        "elements_written": written,
    }


def new(*shape):
    graph = af.Graph()
    Number.reset()
    return graph, graph.input(shape), numbers(*shape)


@given(st.lists(SMALL, min_size=1, max_size=3), SMALL, st.booleans())
@COUNTS
def test_linear(shape, out, bias):
    graph, x, values = new(*shape)
    graph.linear(x, out, bias)
    weight, shift = numbers(shape[-1], out), numbers(out)
    result = product(values.reshape(-1, shape[-1]), weight)
    if bias:
        result = result + shift
    parameters = weight.size + bias * out
    agrees(graph, read=values.size, weights=parameters, params=parameters, written=result.size)


@given(st.data())
@COUNTS
def test_matmul_broadcasts_batch_axes(data):
    batch = data.draw(st.lists(SMALL, max_size=2))
    m, k, n = (data.draw(SMALL) for _ in range(3))
    axes = [[data.draw(st.sampled_from([1, size])) for size in batch] for _ in range(2)]
    axes[1] = axes[1][data.draw(st.integers(0, len(batch))) :]
    graph, a, left = new(*axes[0], m, k)
    right = numbers(*axes[1], k, n)
    made = graph.matmul(a, graph.input(right.shape))
    both = np.broadcast_shapes(tuple(axes[0]), tuple(axes[1]))
    left_all = np.broadcast_to(left, (*both, m, k))
    right_all = np.broadcast_to(right, (*both, k, n))
    for at in np.ndindex(*both):
        product(left_all[at], right_all[at])
    assert graph.shape(made) == (*both, m, n)
    agrees(graph, read=left.size, weights=right.size, written=math.prod((*both, m, n)))


def reference(q, k, v):
    powers = np.exp(q @ k.T / math.sqrt(q.shape[1]))
    return powers / powers.sum(1, keepdims=True) @ v


@given(st.data())
@COUNTS
def test_attention(data):
    batch, kv_heads, group, length, kv_length, depth, v_depth = (
        data.draw(st.integers(1, 3)) for _ in range(7)
    )
    causal, masked = data.draw(st.booleans()), data.draw(st.booleans())
    heads = kv_heads * group
    graph, a, q = new(batch, heads, length, depth)
    k = numbers(batch, kv_heads, kv_length, depth)
    v = numbers(batch, kv_heads, kv_length, v_depth)
    mask = numbers(length, kv_length) if masked else None
    inputs = [graph.input(x.shape) for x in (k, v)]
    graph.attention(a, *inputs, graph.input(mask.shape) if masked else None, causal)
    for b, h in np.ndindex(batch, heads):
        out = attention(q[b, h], k[b, h // group], v[b, h // group], mask, causal)
        if not (causal or masked):
            own = (x.astype(float) for x in (q[b, h], k[b, h // group], v[b, h // group]))
            np.testing.assert_allclose(out.astype(float), reference(*own))
    agrees(
        graph,
        read=q.size + (mask.size if masked else 0),
        weights=k.size + v.size,
        written=batch * heads * length * v_depth,
    )


@given(st.data())
@COUNTS
def test_recurrent(data):
    cell = data.draw(st.sampled_from(["rnn", "lstm", "gru"]))
    batch, length, features, hidden = (data.draw(st.integers(1, 3)) for _ in range(4))
    layers, directions = data.draw(st.integers(1, 2)), data.draw(st.integers(1, 2))
    bias = data.draw(st.booleans())
    projection = data.draw(st.integers(0, 2)) if cell == "lstm" else 0
    graph, x, values = new(batch, length, features)
    made = graph.recurrent(x, cell, hidden, layers, directions == 2, bias, projection)
    parameters = 0
    for sequence in values:
        parameters = 0
        for _ in range(layers):
            both = []
            for _ in range(directions):
                out, own = recurrence(cell, sequence, hidden, projection, bias)
                both.append(out)
                parameters += own
            sequence = np.concatenate(both, 1)  # noqa: PLW2901  (the next layer's)
    assert graph.shape(made) == (batch, *sequence.shape)
    agrees(
        graph,
        read=values.size,
        weights=parameters,
        params=parameters,
        written=batch * sequence.size,
    )


@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
def test_recurrences_compute_what_torch_does(cell):
    torch = pytest.importorskip("torch", reason="the oracle is torch")
    with torch.no_grad():
        module = getattr(torch.nn, cell)(3, 2, batch_first=True).double()
        gates = {"RNN": 1, "LSTM": 4, "GRU": 3}[cell]
        parameters = [numbers(3, 2 * gates), numbers(2, 2 * gates), *[numbers(2 * gates)] * 2]
        for target, value in zip(module.parameters(), parameters, strict=True):
            target.copy_(torch.tensor(value.T.astype(float)))
        x = numbers(4, 3)
        expected = module(torch.tensor(x.astype(float))[None])[0][0].numpy()
    np.testing.assert_allclose(recurrence(cell.lower(), x, 2)[0].astype(float), expected)


@given(st.data())
@COUNTS
def test_norms(data):
    kind = data.draw(st.sampled_from(["layer", "rms", "instance", "group"]))
    shape = data.draw(st.lists(SMALL, min_size=3, max_size=4))
    axes = data.draw(st.integers(1, len(shape) - 1)) if kind in {"layer", "rms"} else 1
    scales, shifts = data.draw(st.booleans()), data.draw(st.booleans())
    graph, x, values = new(*shape)
    graph.norm(x, kind, axes, scales, shifts)
    if kind in {"layer", "rms"}:
        rows = values.reshape(-1, math.prod(shape[-axes:]))
        scale, shift = numbers(rows.shape[1]), numbers(rows.shape[1])
        for row in rows:
            normalised(row, scale if scales else None, shift if shifts else None, kind == "layer")
        size = rows.shape[1]
    else:
        # A group of channels is a row; scale and shift are a channel's.
        count = shape[1] if kind == "instance" else 1
        size = shape[1]
        by_channel = np.broadcast_to(
            numbers(size).reshape(-1, *[1] * (len(shape) - 2)), shape[1:]
        ).reshape(count, -1)
        for image in values:
            for row, own in zip(image.reshape(count, -1), by_channel, strict=True):
                normalised(row, own if scales else None, own if shifts else None)
    parameters = (scales + shifts) * size
    agrees(graph, read=values.size, weights=parameters, params=parameters, written=values.size)


def test_layer_norm_computes_what_torch_does():
    torch = pytest.importorskip("torch", reason="the oracle is torch")
    x, scale, shift = numbers(5), numbers(5), numbers(5)
    expected = torch.nn.functional.layer_norm(
        *(torch.tensor(x.astype(float)), [5]),
        *(torch.tensor(p.astype(float)) for p in (scale, shift)),
    )
    np.testing.assert_allclose(normalised(x, scale, shift).astype(float), expected.numpy())


@given(st.lists(SMALL, min_size=2, max_size=4))
@COUNTS
def test_batch_norm_of_inference(shape):
    graph, x, values = new(*shape)
    graph.batch_norm(x)
    scale, shift = (numbers(shape[1]).reshape(-1, *[1] * (len(shape) - 2)) for _ in range(2))
    values * scale + shift
    agrees(graph, read=values.size, weights=2 * shape[1], params=2 * shape[1], written=values.size)


def windows(extent, kernel, stride, pad, dilation):
    """Positions of each window along an axis, those on padding too."""
    out = (extent + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1
    return [[i * stride - pad + dilation * k for k in range(kernel)] for i in range(out)]


def pooled(kind, values, axes):
    """Pool `values` [batch, channels, ...] with lists of positions for each axis."""
    written = 0
    for image in values.reshape(-1, *values.shape[2:]):
        for window in itertools.product(*axes):
            taps = []
            for at in itertools.product(*window):
                inside = all(0 <= i < n for i, n in zip(at, image.shape, strict=True))
                taps.append(image[at] if inside else Number(0))
            (largest if kind == "max" else total)(taps)
            written += 1
    return written


@given(st.data())
@COUNTS
def test_pools(data):
    kind = data.draw(st.sampled_from(["max", "avg"]))
    count = data.draw(st.integers(1, 3))
    extent = [data.draw(st.integers(2, 5)) for _ in range(count)]
    kernel = [data.draw(st.integers(1, 2)) for _ in range(count)]
    stride = [data.draw(st.integers(1, 3)) for _ in range(count)]
    pad = [data.draw(st.integers(0, k // 2)) for k in kernel]
    graph, x, values = new(2, 2, *extent)
    if count == 2 and data.draw(st.booleans()):
        (graph.max_pool if kind == "max" else graph.avg_pool)(x, kernel, stride, pad)
    else:
        graph.pool(x, kind, kernel, stride, pad)
    axes = [windows(*sizes, 1) for sizes in zip(extent, kernel, stride, pad, strict=True)]
    written = pooled(kind, values, axes)
    agrees(graph, read=values.size, written=written)


@given(st.data())
@COUNTS
def test_adaptive_pools(data):
    kind = data.draw(st.sampled_from(["max", "avg"]))
    extent = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=2))
    to = [data.draw(st.integers(1, 7)) for _ in extent]
    graph, x, values = new(2, 2, *extent)
    graph.adaptive_pool(x, kind, to)
    axes = [
        [list(range(i * n // out, -(-(i + 1) * n // out))) for i in range(out)]
        for n, out in zip(extent, to, strict=True)
    ]
    agrees(graph, read=values.size, written=pooled(kind, values, axes))


def test_global_pool():
    graph, x, values = new(2, 3, 4, 5)
    graph.global_avg_pool(x)
    written = pooled("avg", values, [[list(range(4))], [list(range(5))]])
    agrees(graph, read=values.size, written=written)


@given(SMALL, st.integers(1, 6), SMALL)
@COUNTS
def test_embedding_reads_the_rows_it_takes(batch, length, features):
    graph, x, values = new(batch, length)
    graph.embedding(x, 9, features)
    table = numbers(9, features)
    taken = table[values.astype(int) % 9]
    agrees(graph, read=values.size, weights=taken.size, params=table.size, written=taken.size)


@given(SMALL, SMALL)
@COUNTS
def test_softmax(rows, columns):
    graph, x, values = new(rows, columns)
    graph.softmax(x)
    for row in values:
        softmax(row)
    agrees(graph, read=values.size, written=values.size)


def clamped(x, low, high):
    return minimum(maximum(x, low), high)


def gelu_tanh(x):
    inner = 0.7978845608028654 * (x + 0.044715 * (x * x * x))
    return x * 0.5 * (tanh(inner) + 1.0)


ACTIVATIONS = {
    "relu": lambda x: maximum(x, 0.0),
    "relu6": lambda x: clamped(x, 0.0, 6.0),
    "hardsigmoid": lambda x: clamped(x * (1 / 6) + 0.5, 0.0, 1.0),
    "hardswish": lambda x: x * clamped(x * (1 / 6) + 0.5, 0.0, 1.0),
    "sigmoid": sigmoid,
    "silu": lambda x: x * sigmoid(x),
    "tanh": tanh,
    "gelu": lambda x: x * 0.5 * (erf(x * math.sqrt(0.5)) + 1.0),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name):
    graph, x, values = new(2, 3)
    graph.activation(x, name)
    each(ACTIVATIONS[name], values)
    agrees(graph, read=6, written=6)


def lerp(a, b, t=0.25):
    return a + (b - a) * t


def bilinear(x):
    return lerp(lerp(x, x), lerp(x, x))


def cubic(a, b, c, d):
    return a * 0.1 + b * 0.4 + c * 0.4 + d * 0.1


one = counted(lambda *operands: operands[0])  # an operation that counts as one, whatever it is

# What one element takes. Those with a condition are of its costlier side.
UNARY = {
    "abs": one,
    "ceil": one,
    "clip": lambda x: clamped(x, -1.0, 1.0),
    "cos": one,
    "dequantize": lambda x: (x - 3.0) * 0.1,
    "elu": lambda x: (exp(x) - 1.0) * 0.5,
    "erf": erf,
    "exp": exp,
    "floor": one,
    "gelu_tanh": gelu_tanh,
    "interpolate_bicubic": lambda x: cubic(*(cubic(x, x, x, x) for _ in range(4))),
    "interpolate_bilinear": bilinear,
    "interpolate_linear": lambda x: lerp(x, x),
    "interpolate_trilinear": lambda x: lerp(bilinear(x), bilinear(x)),
    "leaky_relu": lambda x: maximum(x, x * 0.1),
    "log": log,
    "mish": lambda x: x * tanh(log(exp(x) + 1.0)),
    "neg": lambda x: -x,
    "quantize": lambda x: clamped(one(x / 0.1) + 3.0, 0.0, 255.0),
    "reciprocal": lambda x: 1.0 / x,
    "round": one,
    "rsqrt": lambda x: 1.0 / sqrt(x),
    "selu": lambda x: (exp(x) - 1.0) * 1.67 * 1.05,
    "sign": one,
    "sin": one,
    "softplus": lambda x: log(exp(x) + 1.0),
    "sqrt": sqrt,
}
BINARY = {
    "add": lambda a, b: a + b,
    "compare": one,
    "div": lambda a, b: a / b,
    "dropout": lambda x, keeps: x * keeps * 2.0,
    "logical": one,
    "masked_fill": one,
    "maximum": maximum,
    "minimum": minimum,
    "mul": lambda a, b: a * b,
    "pow": one,
    "prelu": lambda x, slope: maximum(x, x * slope),
    "sub": lambda a, b: a - b,
    "where": one,
}


def logsumexp(row):
    top = largest(row)
    return log(total(exp(x - top) for x in row)) + top


def log_softmax(row):
    top = largest(row)
    centred = [x - top for x in row]
    scale = math.log(total(exp(x) for x in centred))
    return [x - scale for x in centred]


def variance(row):
    mean = total(row) / len(row)
    centred = [x - mean for x in row]
    return total(x * x for x in centred) / len(row)


# Sorting counts as one look at every element, however it is done.
REDUCTIONS = {
    "argmax": largest,
    "cumsum": total,
    "logsumexp": logsumexp,
    "max": largest,
    "mean": lambda row: total(row) / len(row),
    "min": lambda row: each(lambda x: minimum(x, 0.0), row),
    "norm": lambda row: sqrt(total(x * x for x in row)),
    "prod": lambda row: each(lambda x: x * 1.0, row),
    "sort": lambda row: each(one, row),
    "sum": total,
    "topk": lambda row: each(one, row),
    "var": variance,
}
OF_A_SHAPE = {"cumsum", "sort"}  # as the input's, where reductions drop an axis
COPIES = {
    *("cast", "contiguous", "copy", "fill", "flip", "gather", "interpolate_nearest", "pad"),
    *("pixel_shuffle", "repeat", "roll", "scatter", "slice", "stack", "transpose", "unfold"),
}


def test_every_element_operator_has_an_oracle():
    assert {*UNARY, *BINARY, *REDUCTIONS, *COPIES, "log_softmax"} == set(_core.ELEMENT_OPS)


@pytest.mark.parametrize("name", UNARY)
def test_elements_of_one_operand(name):
    graph, x, values = new(2, 3)
    graph.element([x], name)
    each(UNARY[name], values)
    agrees(graph, read=6, written=6)


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("other", [(2, 3), (3,), (2, 1), (4, 1, 3)])
def test_elements_of_two_operands_broadcast(name, other):
    graph, x, values = new(2, 3)
    second = numbers(*other)
    graph.element([x, graph.input(other)], name)
    result = np.frompyfunc(BINARY[name], 2, 1)(values, second)
    agrees(graph, read=6 + second.size, written=result.size)


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(name):
    graph, x, values = new(2, 3, 4)
    if name in OF_A_SHAPE:
        graph.element([x], name, values.shape)
    else:
        graph.reduce(x, name, [-1])
    for row in values.reshape(-1, 4):
        REDUCTIONS[name](row)
    agrees(graph, read=24, written=24 if name in OF_A_SHAPE else 6)


def test_log_softmax():
    graph, x, values = new(3, 4)
    graph.element([x], "log_softmax")
    for row in values:
        log_softmax(row)
    agrees(graph, read=12, written=12)


@pytest.mark.parametrize("name", sorted(COPIES))
@pytest.mark.parametrize("shape", [(2, 3), (1, 2), (4, 6)])
def test_copies_read_what_they_write_and_no_more_than_there_is(name, shape):
    graph, x, values = new(2, 3)
    graph.element([x], name, shape)
    written = math.prod(shape)
    agrees(graph, read=min(values.size, written), written=written)


@pytest.mark.parametrize("gate", [(2, 3, 4, 5), (2, 3, 1, 1)])
def test_add_and_multiply(gate):
    graph, x, values = new(2, 3, 4, 5)
    other = numbers(*gate)
    graph.mul(x, graph.input(gate))
    assert (values * other).shape == values.shape
    agrees(graph, read=values.size + other.size, written=values.size)


def test_concat_copies():
    graph, x, values = new(2, 3, 4)
    graph.concat([x, graph.input((2, 2, 4))])
    written = np.concatenate([values, numbers(2, 2, 4)], 1).size
    agrees(graph, read=written, written=written)
