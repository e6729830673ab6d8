"""Which rows a step of training has, and in which order."""

import numpy as np
import pytest
from training_steps import COLUMNS, image, listed, of_pass, step

import alphaflops as af
from alphaflops import _core, errors


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


def computed(frozen=(), accumulate=1):
    """Two convolutions by one weight that is computed from a parameter, as in weight norm."""
    graph = af.Graph("computed")
    weight = graph.constant([4, 4, 3, 3], True, "weight")
    scaled = graph.element([weight], "sqrt", [4, 4, 3, 3], "scaled")
    x = graph.conv2d(graph.input([2, 4, 8, 8], "x"), 4, 3, 1, 1, name="a")
    graph.tie(x, scaled)
    graph.tie(graph.conv2d(graph.relu(x, "relu"), 4, 3, 1, 1, name="b"), scaled)
    return graph, step(graph, optimizer="sgd", frozen=frozen, accumulate=accumulate)


def test_weights_that_are_computed_pass_their_gradient_on():
    graph, table = computed()
    assert listed(graph, table) == [
        ("scaled", "forward"),
        ("a", "forward"),
        ("relu", "forward"),
        ("b", "forward"),
        ("b", "input_gradient"),
        ("b", "weight_gradient"),
        ("relu", "input_gradient"),
        ("a", "weight_gradient"),
        ("scaled", "input_gradient"),  # the sum of both gradients
        ("scaled", "weight_gradient"),
        ("weight", "optimizer"),
    ]
    macs = 2 * 64 * 4 * 4 * 9
    assert table.macs.sum() == 5 * macs
    assert table.params.sum() == 144
    passes = [p for _, p in listed(*computed(accumulate=3))]
    assert passes.count("weight_gradient") == 3 * 3 + 2  # and two that are added to the first
    assert passes.count("optimizer") == 1


def test_weights_that_are_computed_of_frozen_ones_have_no_gradient():
    graph, table = computed(frozen=("weight",))
    assert {p for _, p in listed(graph, table)} == {"forward"}


def test_memory_of_the_gradient_of_computed_weights():
    def bytes_of(trained):
        graph = af.Graph("large")
        weight = graph.constant([64, 64, 3, 3], trained, "weight")
        scaled = graph.element([weight], "sqrt", [64, 64, 3, 3], "scaled")
        x = graph.input([1, 64, 2, 2], "x")
        for name in ("a", "b"):
            x = graph.conv2d(x, 64, 3, 1, 1, name=name)
            graph.tie(x, scaled)
        return af.peak_memory(graph, training=af.Training("sgd")).activations_bytes

    # The gradient of one use, and that of the other until they are added.
    assert bytes_of(True) - bytes_of(False) >= 2 * 4 * 64 * 64 * 9


def test_a_frozen_layer_that_runs_twice_passes_both_gradients():
    graph = af.Graph("shared")
    first = graph.linear(graph.input([4, 6], "x"), 8, name="a")
    second = graph.linear(graph.input([4, 6], "y"), 8, name="b")
    head = graph.linear(first, 3, name="head")
    graph.tie(graph.linear(second, 3, name="head_1"), head)
    table = step(graph, optimizer="sgd", frozen=["head"])
    assert sorted(row for row in listed(graph, table) if row[1] != "forward") == [
        ("a", "optimizer"),
        ("a", "weight_gradient"),
        ("b", "optimizer"),
        ("b", "weight_gradient"),
        ("head", "input_gradient"),
        ("head_1", "input_gradient"),
    ]


def test_gradients_of_computed_weights_are_let_go():
    size = 4 * 64 * 64

    def activations(layers):
        graph = af.Graph("chain")
        x = graph.input([1, 64], "x")
        for i in range(layers):
            weight = graph.constant([64, 64], True, f"weight{i}")
            scaled = graph.element([weight], "neg", [64, 64], f"scaled{i}")
            x = graph.linear(x, 64, name=f"layer{i}")
            graph.tie(x, scaled)
        return af.peak_memory(graph, training=af.Training("sgd")).activations_bytes

    # One more layer is one more computed weight that stays until the step ends.
    assert activations(3) - activations(2) == pytest.approx(size, rel=0.1)
