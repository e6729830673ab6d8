"""Which rows a step of training has, and what they count, by hand and against torch's counter."""

import numpy as np
import pytest

import alphaflops as af
from alphaflops import _core, errors

COLUMNS = ("macs", "flops", "params", "activations_read", "weights_read", "elements_written")


def step(graph, mode="eager", **options):
    options.setdefault("optimizer", "none")
    return af.lower(graph, mode, af.Training(**options))


def listed(graph, work):
    """(layer, pass) of every row, in order."""
    return [
        (graph.node_name(node), _core.PASSES[code])
        for node, code in zip(work.node, work.passes, strict=True)
    ]


def of_pass(work, name, column="macs"):
    return int(getattr(work, column)[work.passes == _core.PASSES.index(name)].sum())


def image(shape=(2, 4, 6, 5)):
    """A graph whose tensor x has something trainable before it."""
    graph = af.Graph("row")
    return graph, graph.norm(graph.input(list(shape)), "rms", name="before")


def small():
    graph = af.Graph("small")
    x = graph.input([2, 3, 8, 8], "x")
    x = graph.relu(graph.batch_norm(graph.conv2d(x, 4, 3, 1, 1, name="a.conv"), "a.norm"), "a.relu")
    x = graph.relu(graph.conv2d(x, 4, 3, 1, 1, bias=True, name="b.conv"), "b.relu")
    graph.linear(graph.flatten(x), 10, name="head")
    return graph


def test_rows_and_their_order():
    graph = small()
    assert listed(graph, step(graph, optimizer="sgd")) == [
        ("a.conv", "forward"),
        ("a.norm", "forward"),
        ("a.relu", "forward"),
        ("b.conv", "forward"),
        ("b.relu", "forward"),
        ("head", "forward"),
        ("head", "input_gradient"),
        ("head", "weight_gradient"),
        ("b.relu", "input_gradient"),
        ("b.conv", "input_gradient"),
        ("b.conv", "weight_gradient"),
        ("a.relu", "input_gradient"),
        ("a.norm", "input_gradient"),
        ("a.norm", "weight_gradient"),
        ("a.conv", "weight_gradient"),
        ("a.conv", "optimizer"),
        ("a.norm", "optimizer"),
        ("b.conv", "optimizer"),
        ("head", "optimizer"),
    ]


def test_fused_keeps_norms_apart_and_joins_activations():
    graph = small()
    work = step(graph, "fused")
    rows = zip(listed(graph, work), work.folded, strict=True)
    assert [
        (n, [graph.node_name(f) for f in folded]) for (n, p), folded in rows if p == "forward"
    ] == [
        ("a.conv", []),
        ("a.norm", ["a.relu"]),
        ("b.conv", ["b.relu"]),
        ("head", []),
    ]
    eager = step(graph)
    for column in ("macs", "flops", "params"):
        assert getattr(work, column).sum() == getattr(eager, column).sum()


@pytest.mark.parametrize("name", ["resnet50", "mobilenet_v2", "densenet121", "vgg16"])
def test_gradients_of_a_network_are_the_forward_pass_again(name):
    graph = af.zoo.build(name, batch=2)
    forward, work = af.lower(graph, "eager"), step(graph)
    assert of_pass(work, "forward") == of_pass(work, "weight_gradient") == forward.macs.sum()
    assert of_pass(work, "input_gradient") == forward.macs.sum() - forward.macs[0]
    assert work.params.sum() == forward.params.sum()


def test_frozen_layers_pass_gradients_on_where_something_before_them_trains():
    graph = small()

    def gradients(*frozen):
        work = step(graph, optimizer="adam", frozen=frozen)
        return [row for row in listed(graph, work) if row[1] != "forward"]

    assert gradients("a", "b") == [("head", "weight_gradient"), ("head", "optimizer")]
    middle = gradients("b")
    assert ("b.conv", "input_gradient") in middle
    assert {("b.conv", "weight_gradient"), ("b.conv", "optimizer")}.isdisjoint(middle)
    assert ("a.conv", "weight_gradient") in middle
    assert ("b.conv", "input_gradient") not in gradients("a")
    assert gradients("a", "b", "head") == gradients("") == []
    assert step(graph, frozen=["a", "b", "head"]).params.sum() == af.lower(graph).params.sum()


def test_a_prefix_ends_where_a_name_does():
    graph = af.Graph("names")
    x = graph.linear(graph.input([1, 4]), 4, name="layer1.0")
    x = graph.linear(x, 4, name="layer10")
    graph.linear(x, 4, name="head")
    rows = listed(graph, step(graph, frozen=["layer1"]))
    assert ("layer10", "weight_gradient") in rows
    assert ("layer1.0", "weight_gradient") not in rows
    with pytest.raises(errors.UnsupportedError, match=r"frozen 'layer'.* whole or up to"):
        step(graph, frozen=["layer"])


def test_checkpointed_layers_run_again_before_their_gradients():
    graph = small()
    rows = listed(graph, step(graph, checkpoint=["a", "b"]))
    again = [name for name, name_of_pass in rows[6:] if name_of_pass == "forward"]
    assert again == ["b.conv", "b.relu", "a.conv", "a.norm", "a.relu"]
    assert rows.index(("b.relu", "input_gradient")) == 10
    plain, twice = step(graph), step(graph, checkpoint=["a", "b"])
    head = 2 * 256 * 10
    assert of_pass(twice, "forward") == 2 * of_pass(plain, "forward") - head
    assert twice.params.sum() == plain.params.sum()
    # Nothing runs again for gradients that nobody asks for.
    frozen = step(graph, checkpoint=["a"], frozen=["a"])
    assert listed(graph, frozen).count(("a.conv", "forward")) == 1


def test_accumulation_repeats_all_but_the_optimizer():
    graph = small()
    once, thrice = step(graph, optimizer="adam"), step(graph, optimizer="adam", accumulate=3)
    for name in ("forward", "input_gradient", "weight_gradient"):
        assert of_pass(thrice, name) == 3 * of_pass(once, name)
    assert of_pass(thrice, "optimizer", "flops") == of_pass(once, "optimizer", "flops")
    assert thrice.params.sum() == once.params.sum() == af.lower(graph).params.sum()
    # Each further micro-batch adds its gradients to those that are there.
    more = of_pass(thrice, "weight_gradient", "flops") - 3 * of_pass(
        once, "weight_gradient", "flops"
    )
    assert more == 2 * once.params.sum()
    with pytest.raises(errors.ShapeError, match="accumulate is 0"):
        step(graph, accumulate=0)


@pytest.mark.parametrize(
    ("name", "flops", "states"),
    [("sgd", 2, 0), ("momentum", 4, 1), ("adam", 13, 2), ("adamw", 14, 2)],
)
def test_optimizers(name, flops, states):
    graph = small()
    work = step(graph, optimizer=name)
    rows = work.passes == _core.PASSES.index("optimizer")
    params = np.array([4 * 27, 8, 4 * 36 + 4, 2560])
    assert work.flops[rows].tolist() == (flops * params).tolist()
    assert work.weights_read[rows].tolist() == params.tolist()
    assert work.activations_read[rows].tolist() == ((1 + states) * params).tolist()
    assert work.elements_written[rows].tolist() == ((1 + states) * params).tolist()
    memory = af.peak_memory(graph, "eager", af.Training(name))
    assert memory.optimizer_state_bytes == 4 * states * params.sum()


def test_an_optimizer_that_is_not_known():
    with pytest.raises(errors.UnsupportedError, match="'lion' is not known; use one of none, sgd"):
        af.Training("lion")


def test_tied_parameters_are_updated_once_and_their_gradients_added():
    graph = af.Graph("tied")
    words = graph.embedding(graph.input([2, 3]), 10, 4, name="words")
    last = graph.linear(graph.relu(words), 10, name="last")
    graph.tie(last, words)
    work = step(graph, optimizer="sgd")
    rows = listed(graph, work)
    assert [row for row in rows if row[1] == "optimizer"] == [("words", "optimizer")]
    assert [row for row in rows if row[1] == "weight_gradient"] == [
        ("last", "weight_gradient"),
        ("words", "weight_gradient"),
        ("words", "weight_gradient"),
    ]
    assert [int(getattr(work, c)[-2]) for c in COLUMNS] == [0, 40, 0, 80, 0, 40]
    # Frozen by the name of the one that owns them.
    rows = listed(graph, step(graph, frozen=["words"]))
    assert all(name_of_pass == "forward" for _, name_of_pass in rows)


def test_a_tensor_read_twice_has_its_gradients_added():
    graph, x = image()
    graph.add(graph.conv2d(x, 4, name="one"), graph.conv2d(x, 4, name="two"), "sum")
    work = step(graph)
    rows = [row for row in listed(graph, work) if row[1] != "forward"]
    assert [name for name, _ in rows] == ["two", "two", "one", "one", "before", "before"]
    assert [int(getattr(work, c)[-2]) for c in COLUMNS] == [0, 240, 0, 480, 0, 240]


def test_parameters_that_no_layer_owns():
    graph = af.Graph("free")
    x = graph.input([2, 5, 4])
    place = graph.constant([5, 4], trainable=True, name="place")
    scale = graph.constant([4], trainable=True, name="scale")
    graph.element([graph.element([x, place], "add", name="sum"), scale], "mul", name="product")
    work = step(graph, optimizer="sgd")
    assert listed(graph, work)[2:] == [
        ("product", "input_gradient"),
        ("product", "weight_gradient"),
        ("sum", "weight_gradient"),
        ("place", "optimizer"),
        ("scale", "optimizer"),
    ]
    table = [[int(getattr(work, c)[i]) for c in COLUMNS] for i in range(2, 7)]
    assert table == [
        [0, 40, 0, 40, 4, 40],  # times the scale
        [0, 80, 0, 80, 0, 4],  # times the sum, added up
        [0, 40, 0, 40, 0, 20],  # added up
        [0, 40, 0, 20, 20, 20],
        [0, 8, 0, 4, 4, 4],
    ]
    assert listed(graph, step(graph, frozen=["place"]))[2:] == [("product", "weight_gradient")]


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


def test_a_report_says_its_passes_and_its_memory():
    graph = af.zoo.build("resnet18", batch=4)
    training = af.Training("adam", frozen=["layer1"], accumulate=2)
    report = af.estimate(graph, "quadro-t2000", training=training)
    plain = af.estimate(graph, "quadro-t2000")
    assert plain.training is None
    assert set(plain.layers["pass"]) == {"forward"}
    assert list(plain.passes) == ["forward"]
    assert plain.passes["forward"]["macs"] == plain.macs
    assert report.passes["forward"]["macs"] == 2 * plain.macs
    assert sum(p["macs"] for p in report.passes.values()) == report.macs
    assert sum(p["launches"] for p in report.passes.values()) == len(report.layers)
    total = sum(p["time_s"] for p in report.passes.values())
    assert total == pytest.approx(report.time_s)
    assert any("input gradient and weight gradient rows" in note for note in report.notes)
    assert not any("gradient rows" in note for note in plain.notes)
    document = report.to_dict()
    assert document["training"]["frozen"] == ["layer1"]
    assert document["memory"]["total_bytes"] == report.memory.total_bytes
    assert document["memory"]["optimizer_state_bytes"] > plain.params
    assert set(report.layers["operator"][report.layers["pass"] == "optimizer"]) == {"adam"}
    assert any(line.startswith("weight gradient: ") for line in report.summary)
    assert "| pass |" in report.to_markdown()
    assert "| pass |" not in plain.to_markdown()
