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
    agrees,
    attention,
    largest,
    new,
    normalised,
    numbers,
    product,
    recurrence,
    total,
)
from hypothesis import given, settings
from hypothesis import strategies as st

import alphaflops as af

SMALL = st.integers(1, 4)
COUNTS = settings(max_examples=100, deadline=None)


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


@pytest.mark.parametrize("shape", [(48,), (2, 24), (2, 4, 6), (1, 6, 8, 1), (1, 2, 2, 4, 3)])
def test_a_linear_row_is_the_same_whatever_axes_its_rows_have(shape):
    tables = []
    for rows in (shape, (48,)):
        graph = af.Graph("rows")
        graph.linear(graph.input([*rows, 5]), 7)
        tables.append(af.lower(graph))
    columns = ("kind", "batch", "groups", "c_in", "c_out", "spatial", "width", "macs", "flops")
    for column in columns:
        left, right = (getattr(table, column).tolist() for table in tables)
        assert left == right, column


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


def test_attention_has_the_macs_of_its_products():
    graph = af.Graph()
    q, k, v = (graph.input([2, 3, *sizes]) for sizes in ((5, 4), (7, 4), (7, 6)))
    graph.attention(q, k, v)
    scores = graph.matmul(q, graph.view(k, [2, 3, 4, 7]))
    graph.matmul(graph.softmax(scores), v)
    whole, *products = af.lower(graph).macs.tolist()
    assert whole == sum(products) == 2 * 3 * 5 * 7 * (4 + 6)


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
