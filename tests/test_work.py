"""Counts against a loop that multiplies, and against sums done by hand."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import alphaflops as af
from alphaflops import _core, errors


def count_by_loop(*, batch, groups, c_in, c_out, extent, kernel, stride, padding, dilation):
    """Run the loops of a convolution, a multiplication with padding counted like any other."""
    top, bottom, left, right = padding
    count = 0
    reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    for _ in range(batch):
        for _ in range(c_out):
            for y in range(-top, extent[0] + bottom - reach[0], stride[0]):
                for x in range(-left, extent[1] + right - reach[1], stride[1]):
                    for _ in range(c_in // groups):
                        for _ in range(y, y + reach[0] + 1, dilation[0]):
                            for _ in range(x, x + reach[1] + 1, dilation[1]):
                                count += 1
    return count


@given(
    batch=st.integers(1, 2),
    channels=st.tuples(st.integers(1, 3), st.integers(1, 2), st.integers(1, 2)),
    extent=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(*[st.integers(0, 2)] * 4),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    bias=st.booleans(),
)
@settings(max_examples=400, deadline=None)
def test_convolution_counts(*, batch, channels, extent, kernel, stride, padding, dilation, bias):
    assume(extent[0] + padding[0] + padding[1] > dilation[0] * (kernel[0] - 1))
    assume(extent[1] + padding[2] + padding[3] > dilation[1] * (kernel[1] - 1))
    groups, c_in, c_out = channels[0], channels[0] * channels[1], channels[0] * channels[2]
    graph = af.Graph("conv")
    x = graph.input([batch, c_in, *extent])
    y = graph.conv2d(x, c_out, kernel, stride, padding, dilation, groups, bias)
    work = af.lower(graph)
    expected = count_by_loop(
        batch=batch,
        groups=groups,
        c_in=c_in,
        c_out=c_out,
        extent=extent,
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
    )
    written = int(np.prod(graph.shape(y)))
    params = c_out * (c_in // groups) * kernel[0] * kernel[1] + bias * c_out
    assert work.macs.tolist() == [expected]
    assert work.flops.tolist() == [2 * expected + bias * written]
    assert work.params.tolist() == work.weights_read.tolist() == [params]
    assert work.activations_read.tolist() == [batch * c_in * extent[0] * extent[1]]
    assert work.elements_written.tolist() == [written]


def row(build, mode="eager"):
    """The last row of a graph on an image [2, 4, 6, 5]."""
    graph = af.Graph("row")
    build(graph, graph.input([2, 4, 6, 5], "x"))
    work = af.lower(graph, mode)
    columns = ("macs", "flops", "params", "activations_read", "weights_read", "elements_written")
    return _core.KINDS[work.kind[-1]], [int(getattr(work, c)[-1]) for c in columns]


# 240 elements in; kind, [macs, flops, params, read, weights read, written].
@pytest.mark.parametrize(
    ("build", "kind", "counts"),
    [
        # Output 3 x 3: 2*3*3 positions, each 8 channels of 3*3*4 products.
        (
            lambda g, x: g.conv2d(x, 8, 3, 2, 1, bias=True),
            "conv_spatial",
            [5184, 10512, 296, 240, 296, 144],
        ),
        (lambda g, x: g.conv2d(x, 8), "conv_1x1", [1920, 3840, 32, 240, 32, 480]),
        (
            lambda g, x: g.conv2d(x, 4, 3, padding=1, groups=4),
            "conv_grouped",
            [2160, 4320, 36, 240, 36, 240],
        ),
        (
            lambda g, x: g.linear(g.flatten(x), 10, bias=True),
            "linear",
            [2400, 4820, 1210, 240, 1210, 20],
        ),
        # Over the last axis: 2*4*6 rows of 5 features.
        (lambda g, x: g.linear(x, 3), "linear", [720, 1440, 15, 240, 15, 144]),
        (lambda g, x: g.batch_norm(x), "norm", [0, 480, 8, 240, 8, 240]),
        (lambda g, x: g.relu(x), "elementwise", [0, 240, 0, 240, 0, 240]),
        (lambda g, x: g.activation(x, "relu6"), "elementwise", [0, 480, 0, 240, 0, 240]),
        (lambda g, x: g.activation(x, "sigmoid"), "transcendental", [0, 960, 0, 240, 0, 240]),
        (lambda g, x: g.activation(x, "silu"), "transcendental", [0, 1200, 0, 240, 0, 240]),
        (lambda g, x: g.activation(x, "hardsigmoid"), "elementwise", [0, 960, 0, 240, 0, 240]),
        (lambda g, x: g.activation(x, "hardswish"), "elementwise", [0, 1200, 0, 240, 0, 240]),
        (lambda g, x: g.activation(x, "gelu"), "transcendental", [0, 1200, 0, 240, 0, 240]),
        (lambda g, x: g.activation(x, "tanh"), "transcendental", [0, 240, 0, 240, 0, 240]),
        (lambda g, x: g.max_pool(x, 3, 2, 1), "pool", [0, 648, 0, 240, 0, 72]),
        (lambda g, x: g.avg_pool(x, 2), "pool", [0, 192, 0, 240, 0, 48]),
        (lambda g, x: g.global_avg_pool(x), "pool", [0, 240, 0, 240, 0, 8]),
        (lambda g, x: g.add(x, x), "elementwise", [0, 240, 0, 480, 0, 240]),
        (
            lambda g, x: g.mul(x, g.global_avg_pool(x)),
            "elementwise",
            [0, 240, 0, 248, 0, 240],
        ),
        (lambda g, x: g.concat([x, x]), "copy", [0, 0, 0, 480, 0, 480]),
        (lambda g, x: g.softmax(x), "softmax", [0, 1200, 0, 240, 0, 240]),
        (lambda g, x: g.unknown([x], "Sort", [2, 3]), "unknown", [0, 0, 0, 240, 0, 6]),
    ],
)
def test_counts_by_hand(build, kind, counts):
    assert row(build) == (kind, counts)


def test_views_and_inputs_are_not_launched():
    graph = af.Graph("views")
    x = graph.input([2, 4, 6, 5])
    graph.view(graph.flatten(x), [2, 4, 30])
    assert len(af.lower(graph, "eager")) == len(af.lower(graph, "fused")) == 0


def test_norm_and_activation_fold_into_the_convolution():
    def build(graph, x):
        y = graph.conv2d(x, 8, name="conv")
        graph.relu(graph.batch_norm(y, "norm"), "relu")

    # The norm leaves a bias (8 weights read, an addition an element), the relu an operation; the
    # parameters of both stay.
    expected = [1920, 3840 + 480 + 480, 32 + 16, 240, 32 + 8, 480]
    assert row(build, "fused") == ("conv_1x1", expected)
    assert row(build, "eager") == ("elementwise", [0, 480, 0, 480, 0, 480])


def folded(build):
    graph = af.Graph("fold")
    build(graph, graph.input([2, 4, 6, 5], "x"))
    work = af.lower(graph, "fused")
    return [
        [graph.node_name(n) for n in (lead, *also)]
        for lead, also in zip(work.node.tolist(), work.folded, strict=True)
    ]


def test_what_folds_and_what_does_not():
    def residual(g, x):
        y = g.relu(g.conv2d(x, 4, name="conv"), "relu")
        g.relu(g.add(y, x, "add"), "last")

    def read_twice(g, x):
        y = g.conv2d(x, 4, name="conv")
        g.add(g.relu(y, "relu"), y, "add")

    def two_activations(g, x):
        g.relu(g.relu(g.conv2d(x, 4, name="conv"), "relu"), "again")

    def norm_first(g, x):
        g.conv2d(g.relu(g.batch_norm(x, "norm"), "relu"), 4, name="conv")

    def after_pool(g, x):
        g.relu(g.max_pool(x, 2, name="pool"), "relu")

    def norm_after_activation(g, x):
        g.batch_norm(g.relu(g.conv2d(x, 4, name="conv"), "relu"), "norm")

    def linear_over_the_last_axis(g, x):
        g.batch_norm(g.linear(x, 4, name="linear"), "norm")

    assert folded(residual) == [["conv", "relu"], ["add", "last"]]
    assert folded(read_twice) == [["conv"], ["relu"], ["add"]]
    assert folded(two_activations) == [["conv", "relu"], ["again"]]
    assert folded(norm_first) == [["norm", "relu"], ["conv"]]
    assert folded(after_pool) == [["pool"], ["relu"]]
    assert folded(norm_after_activation) == [["conv", "relu"], ["norm"]]
    assert folded(linear_over_the_last_axis) == [["linear"], ["norm"]]


def test_element_activations_fold_and_other_elements_do_not():
    def behind(name):
        return lambda g, x: g.element([g.conv2d(x, 4, name="conv")], name, name="after")

    for name in ("clip", "elu", "gelu_tanh", "leaky_relu", "mish", "selu", "softplus"):
        assert folded(behind(name)) == [["conv", "after"]]
    for name in ("exp", "prelu", "neg", "transpose"):
        assert folded(behind(name)) == [["conv"], ["after"]]
    graph = af.Graph("flops")
    behind("leaky_relu")(graph, graph.input([2, 4, 6, 5]))
    assert af.lower(graph).flops.sum() == af.lower(graph, "eager").flops.sum()
    with pytest.raises(errors.UnsupportedError, match="after: operator 'leaky_relu'"):
        af._core.Executor(graph)


@given(st.lists(st.sampled_from(["conv", "norm", "relu", "add", "pool"]), max_size=12))
@settings(deadline=None)
def test_both_modes_agree_on_macs_and_params(layers):
    graph = af.Graph("chain")
    x = graph.input([2, 4, 6, 5])
    for layer in layers:
        if layer == "conv":
            x = graph.conv2d(x, 4, 3, padding=1)
        elif layer == "norm":
            x = graph.batch_norm(x)
        elif layer == "relu":
            x = graph.relu(x)
        elif layer == "add":
            x = graph.add(x, x)
        else:
            x = graph.max_pool(x, 3, 1, 1)
    eager, fused = af.lower(graph, "eager"), af.lower(graph, "fused")
    assert len(eager) == len(layers)
    assert len(fused) + sum(map(len, fused.folded)) == len(layers)
    for column in ("macs", "params"):
        assert getattr(eager, column).sum() == getattr(fused, column).sum()
    assert fused.elements_written.sum() <= eager.elements_written.sum()


def test_counting_overflow_names_the_layer():
    graph = af.Graph("huge")
    x = graph.input([1, 2**20, 2**10, 2**10], "x")
    graph.conv2d(x, 2**21, 3, padding=1, name="wide")
    with pytest.raises(errors.OverflowError, match="wide"):
        af.lower(graph)
    assert issubclass(errors.OverflowError, OverflowError)

    graph = af.Graph("huge")
    graph.linear(graph.input([2**31, 2**30], "x"), 4, name="deep")
    with pytest.raises(errors.OverflowError, match="deep"):
        af.lower(graph)


def test_unknown_mode():
    with pytest.raises(errors.UnsupportedError, match="lazy"):
        af.lower(af.Graph("empty"), "lazy")
    assert len(af.lower(af.Graph("empty"))) == 0


@pytest.mark.parametrize(("function", "rows"), [("relu", 1), ("relu6", 1), ("silu", 2)])
def test_some_kernels_take_in_relu_alone(function, rows):
    """Norms fold likewise, and so does any activation behind a sum, which is no product."""
    graph = af.Graph("epilogues")
    x = graph.input([1, 8, 6, 6])
    norm = graph.batch_norm(graph.conv2d(x, 8))
    last = graph.activation(norm, function)
    work = af.lower(graph, "fused_relu")
    assert work.folded == ([[norm, last]] if rows == 1 else [[norm], []])
    assert work.node.tolist() == [norm - 1, last][:rows]
    eager, fused = af.lower(graph, "eager"), af.lower(graph, "fused")
    assert len(fused) == 1
    assert work.macs.sum() == fused.macs.sum()
    assert work.params.sum() == eager.params.sum()
    total = graph.add(last, x)
    graph.activation(total, function)
    assert af.lower(graph, "fused_relu").folded[-1] == [total + 1]


def test_tables_and_memory_show_what_they_are():
    graph = af.Graph("two")
    graph.relu(graph.conv2d(graph.input((1, 3, 8, 8)), 8, 3))
    assert repr(af.lower(graph, "eager")) == "WorkTable(2 rows)"
    peak = af.peak_memory(graph)
    assert repr(peak) == f"PeakMemory({peak.total_bytes} bytes, at node {peak.node}, forward)"
