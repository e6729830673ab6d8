"""What the rows of a step of training count, by hand and against torch's counter."""

import numpy as np
import pytest
from training_steps import COLUMNS, image, listed, step

import alphaflops as af
from alphaflops import _core


# 240 elements in; [macs, flops, params, read, weights read, written] of each gradient.
@pytest.mark.parametrize(
    ("build", "rows"),
    [
        (lambda g, x: g.relu(x), [[0, 240, 0, 480, 0, 240]]),
        (lambda g, x: g.activation(x, "gelu"), [[0, 2640, 0, 480, 0, 240]]),
        (lambda g, x: g.activation(x, "silu"), [[0, 2160, 0, 480, 0, 240]]),
        (lambda g, x: g.activation(x, "tanh"), [[0, 720, 0, 480, 0, 240]]),
        (lambda g, x: g.softmax(x), [[0, 960, 0, 480, 0, 240]]),
        # 72 outputs, as many indices of 8 bytes.
        (lambda g, x: g.max_pool(x, 3, 2, 1), [[0, 72, 0, 72 + 144, 0, 240]]),
        (lambda g, x: g.avg_pool(x, 2), [[0, 192, 0, 48, 0, 240]]),
        (lambda g, x: g.global_avg_pool(x), [[0, 240, 0, 8, 0, 240]]),
        # 8 statistics, and scale and shift of 4 channels.
        (lambda g, x: g.batch_norm(x), [[0, 2400, 0, 488, 4, 240], [0, 1200, 0, 488, 0, 8]]),
        # 48 rows of 5.
        (lambda g, x: g.norm(x, "layer"), [[0, 2400, 0, 576, 5, 240], [0, 1200, 0, 576, 0, 10]]),
        (
            lambda g, x: g.norm(x, "rms", shift=False),
            [[0, 1680, 0, 528, 5, 240], [0, 720, 0, 528, 0, 5]],
        ),
        (lambda g, x: g.norm(x, "layer", scale=False, shift=False), [[0, 2160, 0, 576, 0, 240]]),
        (lambda g, x: g.mul(x, g.input([2, 4, 1, 1])), [[0, 240, 0, 248, 0, 240]]),
        (lambda g, x: g.add(x, g.input([2, 4, 6, 5])), []),
        (lambda g, x: g.flatten(x), []),
        (lambda g, x: g.concat([x, g.input([2, 1, 6, 5])]), []),
        (lambda g, x: g.part(x, [2, 4, 3, 5]), [[0, 0, 0, 120, 0, 240]]),
        (lambda g, x: g.part(x, [3, 2, 4, 6, 5]), [[0, 720, 0, 720, 0, 240]]),
        (lambda g, x: g.reduce(x, "mean", [2, 3]), [[0, 240, 0, 8, 0, 240]]),
        (lambda g, x: g.reduce(x, "sum", [2, 3]), []),
        (lambda g, x: g.reduce(x, "argmax", [1]), []),
        (lambda g, x: g.element([x], "transpose", [5, 6, 4, 2]), []),
        (lambda g, x: g.element([x], "exp"), [[0, 240, 0, 480, 0, 240]]),
        (
            lambda g, x: g.element([x, g.constant([5], trainable=True)], "div"),
            [[0, 240, 0, 240, 5, 240], [0, 960, 0, 480, 5, 5]],
        ),
        (lambda g, x: g.unknown([x], "Sort", [2, 3]), [[0, 0, 0, 6, 0, 240]]),
        (
            lambda g, x: g.custom([x], "mine", [2, 3], macs=7, flops=20, params=5),
            [[7, 20, 0, 246, 5, 240], [7, 20, 0, 246, 0, 5]],
        ),
    ],
)
def test_gradients_by_hand(build, rows):
    graph, x = image()
    node = build(graph, x)
    work = step(graph)
    found = (work.node == node) & (work.passes != 0)
    assert [[int(getattr(work, c)[i]) for c in COLUMNS] for i in np.flatnonzero(found)] == rows


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("gelu", "transcendental"),
        ("silu", "transcendental"),
        ("tanh", "elementwise"),
        ("sigmoid", "elementwise"),
        ("exp", "elementwise"),
        ("log", "elementwise"),
        ("cos", "transcendental"),
        ("logsumexp", "transcendental"),
    ],
)
def test_gradients_are_transcendental_where_the_output_does_not_do(name, kind):
    graph, x = image()
    element = name in _core.ELEMENT_OPS
    graph.element([x], name) if element else graph.activation(x, name)
    work = step(graph)
    assert [_core.KINDS[k] for k in work.kind[work.passes == 1]] == [kind]


def test_every_element_operator_has_a_gradient_or_says_no():
    """Written is the operand, and the rows of an operator without gradients end the way back."""
    steps = {"argmax", "ceil", "compare", "dequantize", "fill", "floor", "logical", "quantize"}
    steps |= {"round", "sign"}
    for name in _core.ELEMENT_OPS:
        graph, x = image((2, 3, 4, 4))
        graph.element([x], name, [2, 3, 4, 4])
        passes = {name_of_pass for _, name_of_pass in listed(graph, step(graph))}
        assert (passes == {"forward"}) == (name in steps), name


def test_attention_computes_only_what_is_asked_for():
    batch, heads, length, keys, depth, v_depth = 2, 3, 4, 5, 6, 7
    shapes = [[batch, heads, n, d] for n, d in ((length, depth), (keys, depth), (keys, v_depth))]
    scores = batch * heads * length * keys
    of_one = [v_depth + depth, v_depth + depth, v_depth]
    for trained in range(3):
        graph = af.Graph("attention")
        operands = [graph.input(shape) for shape in shapes]
        operands[trained] = graph.norm(operands[trained], "rms")
        y = graph.attention(*operands)
        for recompute in (False, True):
            work = step(graph, recompute_attention=recompute)
            at = np.flatnonzero((work.node == y) & (work.passes != 0))
            assert work.macs[at].tolist() == [scores * (of_one[trained] + recompute * depth)]
            assert work.elements_written[at].tolist() == [int(np.prod(shapes[trained]))]


@pytest.mark.filterwarnings("ignore:TF32 acceleration")
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("needs_input", [False, True])
def test_recurrences_against_torchs_counter(cell, bidirectional, needs_input):
    """Of its layers step by step, which it sees where no library has a kernel for them all."""
    torch = pytest.importorskip("torch", reason="the oracle is torch")
    from torch.utils.flop_counter import FlopCounterMode  # noqa: PLC0415

    for projection in (0, 3) if cell == "lstm" else (0,):
        graph, x = image((2, 7, 5))
        x = x if needs_input else graph.input([2, 7, 5])
        y = graph.recurrent(x, cell, 6, 2, bidirectional, True, projection)
        work = step(graph)
        at = np.flatnonzero(work.node == y)
        forward, of_input, of_weights = work.macs[at].tolist()
        assert of_weights == forward
        assert (of_input < 0.9 * forward) == (not needs_input)
        assert work.elements_written[at][2] == work.params[at][0]
        options = {"proj_size": projection} if projection else {}
        module = getattr(torch.nn, cell.upper())(
            5, 6, 2, batch_first=True, bidirectional=bidirectional, **options
        )
        data = torch.randn(2, 7, 5, requires_grad=needs_input)
        counter = FlopCounterMode(display=False)
        with torch.backends.mkldnn.flags(enabled=False), counter:
            module(data)[0].sum().backward()
        assert 2 * int(work.macs[at].sum()) == counter.get_total_flops()


def counted_by_torch(function, *tensors, **options):
    torch = pytest.importorskip("torch", reason="the oracle is torch")
    counter = pytest.importorskip("torch.utils.flop_counter").FlopCounterMode(display=False)
    tensors = [torch.randn(shape, requires_grad=True) for shape in tensors]
    with counter:
        function = getattr(torch.nn.functional, function)
        function(*tensors, **options).sum().backward()
    return counter.get_total_flops()


def test_torchs_counter_agrees_but_for_groups():
    """It counts the weights' gradient of a convolution in groups as if there were none."""
    for groups in (1, 2, 4, 8):
        graph, x = image((2, 8, 6, 5))
        y = graph.conv(x, 16, 3, groups=groups)
        ours = 2 * int(step(graph).macs[step(graph).node == y].sum())
        weights = (16, 8 // groups, 3, 3)
        theirs = counted_by_torch("conv2d", (2, 8, 6, 5), weights, groups=groups)
        assert theirs == ours * (2 + groups) / 3
    graph, x = image((2, 8, 6, 5))
    y = graph.conv(x, 16, 3, 2, transposed=True)
    ours = 2 * int(step(graph).macs.sum())
    assert ours == counted_by_torch("conv_transpose2d", (2, 8, 6, 5), (8, 16, 3, 3), stride=2)
    graph, x = image((2, 8, 6, 5))
    graph.linear(x, 7)
    ours = 2 * int(step(graph).macs.sum())
    assert ours == counted_by_torch("linear", (2, 8, 6, 5), (7, 5))
