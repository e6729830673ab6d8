"""Shape inference against torch, and the errors of sizes that no layer can have."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import alphaflops as af
from alphaflops import errors

SIZES = st.integers(1, 12)
PAIR = st.tuples(st.integers(1, 4), st.integers(1, 4))


def image(channels=3, height=8, width=8, batch=1):
    graph = af.Graph("test")
    return graph, graph.input([batch, channels, height, width], "x")


@given(
    batch=st.integers(1, 3),
    channels=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)),
    extent=st.tuples(SIZES, SIZES),
    kernel=PAIR,
    stride=PAIR,
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    dilation=PAIR,
)
@settings(max_examples=300, deadline=None)
def test_conv2d_shape_is_torchs(*, batch, channels, extent, kernel, stride, padding, dilation):
    torch = pytest.importorskip("torch", reason="the oracle is torch")
    groups, c_in, c_out = channels[0], channels[0] * channels[1], channels[0] * channels[2]
    fits = all(
        n + 2 * p >= d * (k - 1) + 1
        for n, p, d, k in zip(extent, padding, dilation, kernel, strict=True)
    )
    graph, x = image(c_in, *extent, batch=batch)

    def build():
        return graph.conv2d(x, c_out, kernel, stride, padding, dilation, groups)

    if not fits:
        with pytest.raises(errors.ShapeError, match="the kernel spans"):
            build()
        return
    out = torch.nn.functional.conv2d(
        torch.empty(batch, c_in, *extent, device="meta"),
        torch.empty(c_out, c_in // groups, *kernel, device="meta"),
        None,
        stride,
        padding,
        dilation,
        groups,
    )
    assert graph.shape(build()) == tuple(out.shape)


@given(
    extent=st.tuples(SIZES, SIZES),
    kernel=PAIR,
    stride=PAIR,
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    dilation=PAIR,
    ceil_mode=st.booleans(),
    average=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_pool_shape_is_torchs(*, extent, kernel, stride, padding, dilation, ceil_mode, average):
    torch = pytest.importorskip("torch", reason="the oracle is torch")
    assume(all(p <= k // 2 for p, k in zip(padding, kernel, strict=True)))  # as torch demands
    if average:
        dilation = (1, 1)
    assume(
        all(
            n + 2 * p >= d * (k - 1) + 1
            for n, p, d, k in zip(extent, padding, dilation, kernel, strict=True)
        )
    )
    graph, x = image(2, *extent)
    data = torch.zeros(1, 2, *extent)
    if average:
        ours = graph.avg_pool(x, kernel, stride, padding, ceil_mode)
        theirs = torch.nn.functional.avg_pool2d(data, kernel, stride, padding, ceil_mode)
    else:
        ours = graph.max_pool(x, kernel, stride, padding, dilation, ceil_mode)
        theirs = torch.nn.functional.max_pool2d(data, kernel, stride, padding, dilation, ceil_mode)
    assert graph.shape(ours) == tuple(theirs.shape)


def test_asymmetric_padding_is_top_bottom_left_right():
    graph, x = image(1, 5, 5)
    assert graph.shape(graph.conv2d(x, 1, 2, padding=(1, 0, 2, 1))) == (1, 1, 5, 7)


def test_shapes_of_the_other_operators():
    graph, x = image(4, 6, 5, batch=2)
    assert graph.shape(graph.batch_norm(x)) == (2, 4, 6, 5)
    assert graph.shape(graph.activation(x, "gelu")) == (2, 4, 6, 5)
    assert graph.shape(graph.concat([x, x, x])) == (2, 12, 6, 5)
    assert graph.shape(graph.add(x, x)) == (2, 4, 6, 5)
    pooled = graph.global_avg_pool(x)
    assert graph.shape(pooled) == (2, 4, 1, 1)
    assert graph.shape(graph.mul(x, pooled)) == (2, 4, 6, 5)
    assert graph.shape(graph.flatten(x)) == (2, 120)
    assert graph.shape(graph.view(x, [2, 2, 2, 30])) == (2, 2, 2, 30)
    assert graph.shape(graph.linear(graph.flatten(x), 7)) == (2, 7)
    assert graph.shape(graph.softmax(x)) == (2, 4, 6, 5)
    assert graph.shape(graph.unknown([x], "Sort", [3, 1])) == (3, 1)


def test_default_names_are_the_operator_and_the_index():
    graph, x = image()
    assert graph.node_name(graph.relu(x)) == "relu_1"
    assert graph.node_name(graph.max_pool(x, 2)) == "max_pool_2"


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda g, x: g.conv2d(x, 0, name="c"), "c: c_out is 0"),
        (lambda g, x: g.conv2d(x, -4, name="c"), "c: c_out is -4"),
        (lambda g, x: g.conv2d(x, 4, 0, name="c"), "c: k_h is 0"),
        (lambda g, x: g.conv2d(x, 4, (3, -1), name="c"), "c: k_w is -1"),
        (lambda g, x: g.conv2d(x, 4, stride=0, name="c"), "c: stride_h is 0"),
        (lambda g, x: g.conv2d(x, 4, dilation=(1, 0), name="c"), "c: dilation_w is 0"),
        (lambda g, x: g.conv2d(x, 4, padding=-1, name="c"), "c: pad_top is -1"),
        (lambda g, x: g.conv2d(x, 4, groups=0, name="c"), "c: groups is 0"),
        (lambda g, x: g.conv2d(x, 4, groups=2, name="c"), "c: groups 2 must divide c_in 3"),
        (lambda g, x: g.conv2d(x, 4, 9, name="c"), "c: the kernel spans 9 elements along height"),
        (lambda g, x: g.conv2d(g.flatten(x), 4, name="c"), "c: the input has shape"),
        (lambda g, x: g.conv2d(99, 4, name="c"), "c: tensor 99 is not in graph"),
        (lambda g, x: g.linear(x, 0, name="l"), "l: out_features is 0"),
        (lambda g, x: g.linear(g.unknown([x], "Sum", []), 1, name="l"), "l: the input is a scalar"),
        (lambda g, x: g.flatten(g.unknown([x], "Sum", []), "f"), "f: the input is a scalar"),
        (lambda g, x: g.view(x, [1, 191], "v"), "v: .*equally many elements"),
        (lambda g, x: g.view(x, [0], "v"), "v: dimension 0 is 0"),
        (lambda g, x: g.unknown([x], "Foo", [1, 0], "u"), "u: dimension 1 is 0"),
        (lambda g, x: g.add(x, g.flatten(x), "a"), "a: operands have shapes"),
        (lambda g, x: g.mul(g.global_avg_pool(x), x, "m"), "m: operands have shapes"),
        (lambda g, x: g.concat([], "k"), "k: nothing to concatenate"),
        (lambda g, x: g.concat([x, g.max_pool(x, 2)], "k"), "k: operands have shapes"),
        (lambda g, x: g.input([]), "the shape is empty"),
        (lambda g, x: g.input([1, 0]), "dimension 1 is 0"),
        (lambda g, x: g.with_batch(0), "batch is 0"),
    ],
)
def test_errors_name_the_layer_and_the_field(build, message):
    graph, x = image()
    with pytest.raises(errors.ShapeError, match=message):
        build(graph, x)


def test_unknown_activation():
    graph, x = image()
    with pytest.raises(errors.UnsupportedError, match="cube"):
        graph.activation(x, "cube")


def test_more_elements_than_int64_counts():
    graph = af.Graph("huge")
    with pytest.raises(errors.OverflowError, match="x: output"):
        graph.input([2**32, 2**32], "x")
    x = graph.input([1, 1, 2**31, 2**31], "y")
    with pytest.raises(errors.OverflowError, match="c: output"):
        graph.conv2d(x, 4, name="c")
    with pytest.raises(errors.OverflowError, match=r"c: (width|height)"):
        graph.conv2d(x, 1, 2**62, dilation=4, name="c")


def test_with_batch_scales_views_and_unknown_shapes():
    graph, x = image(4, 6, 6, batch=2)
    view = graph.view(x, [4, 2, 36])
    unknown = graph.unknown([view], "Transpose", [4, 36, 2])
    flat = graph.flatten(x)
    again = graph.with_batch(6)
    assert (again.shape(view), again.shape(unknown)) == ((12, 2, 36), (12, 36, 2))
    assert again.shape(flat) == (6, 144)
    assert again.batch == 6
    assert again.with_dtype("fp16").dtype == "fp16"
    odd = graph.unknown([x], "Transpose", [3, 2])
    assert graph.shape(odd) == (3, 2)
    with pytest.raises(errors.ShapeError, match="no multiple of the batch 2"):
        graph.with_batch(4)
