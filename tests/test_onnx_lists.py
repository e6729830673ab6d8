"""ONNX's sequences: what is done to the tensors in them, as if they were not there."""

import warnings

import pytest

import alphaflops as af
from alphaflops import errors

onnx = pytest.importorskip("onnx", reason="the extra alphaflops[onnx] is not installed")

from onnx import helper  # noqa: E402
from onnx_checks import F32, check, ints  # noqa: E402
from onnx_models import I64, model_of, node, ops_of, saved  # noqa: E402

from alphaflops.frontends.onnx import load_onnx  # noqa: E402
from alphaflops.frontends.registry import OPERATORS  # noqa: E402

X = (2, 6, 4)
PLACES = {"first": I64(0), "second": I64(1), "last": I64(-1), "two": ints(0, 1), "half": F32(0.5)}


def loaded(tmp_path, layers, weights=None, opset=20, **inputs):
    return check(tmp_path, model_of(layers, PLACES | (weights or {}), X, opset, **inputs), 0, 0)


def construct(*names, out="s"):
    return node("SequenceConstruct", *names, outputs=[out], name="list")


@pytest.mark.parametrize("axis", [1, -1])
def test_a_sequence_is_joined_as_its_tensors_are(tmp_path, axis):
    layers = [construct("x", "z", "x"), node("ConcatFromSequence", "s", axis=axis)]
    graph = loaded(tmp_path, layers, z=X)
    shape = (2, 18, 4) if axis == 1 else (2, 6, 12)
    assert ops_of(graph) == [("concat", shape)]


def test_a_sequence_is_stacked_along_an_axis_of_its_own(tmp_path):
    layers = [construct("x", "z", "x"), node("ConcatFromSequence", "s", axis=-1, new_axis=1)]
    graph = loaded(tmp_path, layers, z=X)
    views = [("flatten", (*X, 1))] * 2
    assert ops_of(graph) == [*views, ("concat", (*X, 3))]


def test_a_place_in_a_sequence_is_the_tensor(tmp_path):
    layers = [
        construct("x", "z"),
        node("SequenceInsert", "s", "z", "first", outputs=["t"], name="put"),  # z x z
        node("SequenceErase", "t", outputs=["u"], name="drop"),  # z x
        node("SequenceErase", "u", "first", outputs=["v"], name="drop"),  # x
        node("SequenceInsert", "v", "x", outputs=["w"], name="put"),  # x x
        node("Identity", "w", outputs=["w2"], name="same"),
        node("SequenceAt", "w2", "last", outputs=["a"], name="at"),
        node("SequenceAt", "t", "second", outputs=["b"], name="at"),
        node("Add", "a", "b"),
    ]
    graph = loaded(tmp_path, layers, z=(3, 5))
    assert ops_of(graph) == [("add", X)]
    assert graph.node_inputs(len(graph) - 1) == [0, 0]


def test_an_empty_sequence_is_filled(tmp_path):
    layers = [
        node("SequenceEmpty", outputs=["s"], name="empty"),
        node("SequenceInsert", "s", "x", outputs=["t"], name="put"),
        node("ConcatFromSequence", "t", axis=0, outputs=["a"], name="join"),
        node("Neg", "a"),
    ]
    layers[0].ClearField("input")
    assert ops_of(loaded(tmp_path, layers)) == [("neg", X)]


def test_the_length_of_a_sequence_is_a_constant(tmp_path):
    layers = [
        construct("x", "x", "x"),
        node("SequenceLength", "s", outputs=["n"], name="length"),
        node("Reshape", "n", "one", outputs=["times"], name="one"),
        node("Concat", "times", "rest", outputs=["repeats"], axis=0, name="repeats"),
        node("Tile", "x", "repeats"),
    ]
    graph = loaded(tmp_path, layers, {"one": ints(1), "rest": ints(1, 1)})
    assert ops_of(graph) == [("repeat", (6, 6, 4))]


@pytest.mark.parametrize("opset", [11, 13, 20])
@pytest.mark.parametrize(
    ("split", "sizes"), [(I64(2), [2, 2, 2]), (I64(4), [4, 2]), (ints(1, 2, 3), [1, 2, 3])]
)
def test_every_part_of_a_split_is_written(tmp_path, opset, split, sizes):
    layers = [
        node("SplitToSequence", "x", "split", axis=1, outputs=["s"], name="split"),
        node("SequenceAt", "s", "last", outputs=["a"], name="at"),
        node("Neg", "a"),
    ]
    graph = loaded(tmp_path, layers, {"split": split}, opset)
    parts = [("slice", (2, size, 4)) for size in sizes]
    assert ops_of(graph) == [*parts, ("neg", (2, sizes[-1], 4))]


@pytest.mark.parametrize("keeps", [0, 1])
def test_a_split_in_ones(tmp_path, keeps):
    layers = [
        node("SplitToSequence", "x", axis=1, keepdims=keeps, outputs=["s"], name="split"),
        node("SequenceAt", "s", "second", outputs=["a"], name="at"),
        node("Neg", "a"),
    ]
    graph = loaded(tmp_path, layers)
    assert [op for op, _ in ops_of(graph)] == ["slice"] * 6 + ["flatten"] * (6 - 6 * keeps) + [
        "neg"
    ]
    assert ops_of(graph)[-1] == ("neg", (2, 1, 4) if keeps else (2, 4))


def test_a_body_is_run_on_every_tensor(tmp_path):
    """With one of another sequence, and one of the network, beside it."""
    values = [onnx.ValueInfoProto(name=name) for name in ("e", "f")]
    body = helper.make_graph(
        [
            node("Add", "e", "f", outputs=["g"], name="sum"),
            node("Mul", "g", "x", outputs=["h"], name="product"),
        ],
        "body",
        values,
        [onnx.ValueInfoProto(name="h")],
    )
    layers = [
        construct("x", "z"),
        construct("z", "z", out="t"),
        node("SequenceMap", "s", "t", outputs=["u"], name="map", body=body),
        node("ConcatFromSequence", "u", axis=0),
    ]
    model = model_of(layers, PLACES, X, z=X)
    graph = load_onnx(saved(tmp_path, model))
    assert ops_of(graph) == [("add", X), ("mul", X)] * 2 + [("concat", (4, 6, 4))]
    assert len({graph.node_name(i) for i in range(len(graph))}) == len(graph)


def test_a_place_that_the_input_decides(tmp_path):
    layers = [
        node("ArgMax", "z", outputs=["i"], axis=0, keepdims=0, name="which"),
        construct("x", "x"),
        node("SequenceAt", "s", "i", outputs=["a"], name="at"),
        node("Neg", "a"),
    ]
    model = model_of(layers, PLACES, X, z=(2,))
    assert ops_of(load_onnx(saved(tmp_path, model)))[-2:] == [("SequenceAt", X), ("neg", X)]
    layers[1] = construct("x", "z")
    model = model_of(layers, PLACES, X, z=(2,))
    with pytest.raises(errors.ModelError, match="the position in a sequence"):
        load_onnx(saved(tmp_path, model))


EMPTY = node("SequenceEmpty", outputs=["s"], name="empty")
EMPTY.ClearField("input")
TWO = [onnx.ValueInfoProto(name=name) for name in ("e", "f")]
BODY = helper.make_graph(
    [node("Add", "e", "f", outputs=["g"])], "body", TWO, [onnx.ValueInfoProto(name="g")]
)
SUMS = node("SequenceMap", "s", "t", outputs=["u"], name="map", body=BODY)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([construct("x"), node("Neg", "s")], "takes tensors, and 's' is a sequence of them"),
        ([node("SequenceAt", "x", "first")], "was made by an operator that is not known"),
        ([construct("x"), node("SequenceAt", "s", "second")], "position 1 is not in the sequence"),
        (
            [construct("x"), node("Mine", "s", domain="mine")],
            "'y', which layer .Mine. makes, is not",
        ),
        ([EMPTY, node("SequenceAt", "s", "first")], "position 0 .* which has 0 tensors"),
        ([EMPTY, node("SequenceErase", "s")], "position -1 .* which has 0 tensors"),
        ([EMPTY, node("SequenceErase", "s", "first")], "position 0 .* which has 0 tensors"),
        (
            [construct("x"), node("SequenceInsert", "s", "x", "two")],
            r"SequenceInsert.: the position is \[0, 1\]; one integer is needed",
        ),
        ([construct("x"), node("SequenceAt", "s", "half")], "the position is 0.5; one integer is"),
        ([construct("x"), node("SequenceAt", "s", "s")], "takes tensors, and 's' is a sequence of"),
        ([construct("x"), node("Shape", "s")], "Shape.: it takes tensors, and 's' is a sequence"),
        ([construct("x"), node("Size", "s")], "Size.: it takes tensors, and 's' is a sequence of"),
        ([construct("x"), construct("s", out="t")], "list .*: it takes tensors, and 's' is a seq"),
        ([construct("x", "")], "list .*: it has the inputs .'x', ''.; 2 are needed"),
        ([construct("x"), node("SplitToSequence", "s")], "it takes tensors, and 's' is a seque"),
        ([node("SplitToSequence", "x", "half")], "sizes that it cuts are 0.5; integers are needed"),
        (
            [construct("x", "x"), construct("x", out="t"), SUMS],
            r"map .SequenceMap.: its sequences have \[2, 1\] tensors; all must have as many",
        ),
    ],
)
def test_what_sequences_cannot_be(tmp_path, layers, message):
    with pytest.raises(errors.ModelError, match=message):
        load_onnx(saved(tmp_path, model_of(layers, PLACES, X)))


@pytest.mark.parametrize("is_registered", [False, True])
def test_what_is_not_known_reads_the_tensors_of_a_sequence(tmp_path, monkeypatch, is_registered):
    def counted(graph, inputs, shapes, attributes):
        return graph.custom(inputs, "mine", shapes[0], flops=1)

    if is_registered:
        monkeypatch.setitem(OPERATORS, "mine::Mine", counted)
    layers = [construct("x", "z"), node("Mine", "x", "s", domain="mine")]
    model = model_of(layers, PLACES, X, z=X)
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", 1, X))
    graph = load_onnx(saved(tmp_path, model))
    last = len(graph) - 1
    assert graph.node_op(last) == ("mine" if is_registered else "Mine")
    assert [graph.node_name(i) for i in graph.node_inputs(last)] == ["x", "x", "z"]


@pytest.mark.parametrize("exporter", ["script", "dynamo"])
@pytest.mark.parametrize("example", ["hstack", "split"])
def test_what_exporters_write(tmp_path, exporter, example):
    torch = pytest.importorskip("torch", reason="the exporter is torch's")
    if exporter == "dynamo":
        pytest.importorskip("onnxscript", reason="torch's exporter needs it")

    class Net(torch.nn.Module):
        def forward(self, x):
            if example == "hstack":
                return torch.hstack([x, 2 * x])
            return torch.cat(torch.tensor_split(x, 3, 1)[::-1], 1)

    path = tmp_path / "model.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Net(), (torch.ones(2, 6),), str(path), dynamo=exporter == "dynamo")
    ops = ops_of(af.load(path))
    first = [("mul", (2, 6))] if example == "hstack" else [("slice", (2, 2))] * 3
    assert ops == [*first, ("concat", (2, 12 if example == "hstack" else 6))]
