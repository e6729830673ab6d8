"""Every other ONNX operator that is read: element by element, reductions, and movements."""

import numpy as np
import pytest

import alphaflops as af
from alphaflops import errors

onnx = pytest.importorskip("onnx", reason="the extra alphaflops[onnx] is not installed")

from onnx import TensorProto  # noqa: E402
from onnx_checks import F32, X, check, ints  # noqa: E402
from onnx_models import I64, model_of, node, ops_of, saved  # noqa: E402

from alphaflops.frontends.onnx import load_onnx  # noqa: E402


def test_random_numbers(tmp_path):
    layers = [
        onnx.helper.make_node("RandomNormal", [], ["r"], name="noise", shape=[4, 1, 1]),
        node("Add", "x", "r"),
    ]
    graph = check(tmp_path, model_of(layers, None, X), 0, 0)
    assert ops_of(graph) == [("fill", (4, 1, 1)), ("add", X)]


SCALES = {"r": np.zeros(0, F32), "s": np.array([1, 1, 2, 2], F32)}


@pytest.mark.parametrize(
    ("layer", "weights", "opset", "op"),
    [
        (node("Resize", "x", "r", "s"), SCALES, 13, "interpolate_nearest"),
        (node("Resize", "x", "r", "s", mode="linear"), SCALES, 13, "interpolate_bilinear"),
        (node("Resize", "x", "r", "s", mode="cubic"), SCALES, 13, "interpolate_bicubic"),
        (node("Resize", "x", "", "", "z"), {"z": ints(2, 4, 5, 3)}, 13, "interpolate_nearest"),
        (node("Upsample", "x", "s"), SCALES, 9, "interpolate_nearest"),
        (node("Pad", "x", "p"), {"p": ints(0, 0, 1, 2, 0, 0, 3, 4)}, 13, "pad"),
        (node("Slice", "x", "a", "b"), {"a": ints(0, 1), "b": ints(1, 3)}, 13, "slice"),
        (node("Slice", "x", starts=[1], ends=[9], axes=[2]), {}, 9, "slice"),
        (node("Slice", "x", starts=[0], ends=[2**31 - 1], axes=[2]), {}, 9, ""),
        (node("Expand", "x", "z"), {"z": ints(3, 1, 4, 1, 1)}, 13, "repeat"),
        (node("Expand", "x", "z"), {"z": ints(4, 1, 8)}, 13, ""),
        (node("Tile", "x", "z"), {"z": ints(1, 2, 1, 3)}, 13, "repeat"),
        (node("Transpose", perm=[0, 2, 1, 3]), {}, 13, "transpose"),
        (node("Transpose"), {}, 13, "transpose"),
        (node("Gather", "x", "z", axis=1), {"z": ints(0, 2)}, 13, "gather"),
        (node("Gather", "x", "z", axis=1), {"z": I64(2)}, 13, "part"),
        (node("GatherElements", "x", "z"), {"z": np.zeros((1, 4, 9, 8), I64)}, 13, "gather"),
        (node("GatherND", "x", "z"), {"z": ints([0, 1], [1, 3])}, 13, "gather"),
        (node("ScatterElements", "x", "z", "x"), {"z": np.zeros(X, I64)}, 18, "scatter"),
        (node("ScatterND", "x", "z", "u"), {"z": ints([0], [1]), "u": X}, 18, "scatter"),
        (node("Concat", "x", "x", "x", axis=-1), {}, 13, "concat"),
        (node("Unsqueeze", axes=[0, 2]), {}, 11, "flatten"),
        (node("Flatten", axis=0), {}, 13, "flatten"),
        (node("Cast", to=TensorProto.INT64), {}, 13, "cast"),
        (node("Trilu"), {}, 14, "copy"),
        (node("ReduceSum", "x", "z"), {"z": ints(1)}, 13, "sum"),
        (node("ReduceSum"), {}, 13, "sum"),
        (node("ReduceMean", axes=[1, -1], keepdims=0), {}, 11, "mean"),
        (node("ReduceMax", axes=[0]), {}, 13, "max"),
        (node("ReduceMin"), {}, 13, "min"),
        (node("ReduceProd"), {}, 13, "prod"),
        (node("ReduceL1"), {}, 13, "norm"),
        (node("ReduceL2", axes=[1]), {}, 13, "norm"),
        (node("ReduceSumSquare"), {}, 13, "norm"),
        (node("ReduceLogSum"), {}, 13, "sum log"),
        (node("ReduceLogSumExp"), {}, 13, "logsumexp"),
        (node("ArgMax", axis=1), {}, 13, "argmax"),
        (node("ArgMin", axis=-1, keepdims=0), {}, 13, "argmax"),
        (node("CumSum", "x", "z"), {"z": I64(1)}, 14, "cumsum"),
        (node("Softmax", axis=-1), {}, 13, "softmax"),
        (node("LogSoftmax", axis=-1), {}, 13, "log_softmax"),
        (node("QuantizeLinear", "x", "s1"), {"s1": F32(1)}, 13, "quantize"),
        (node("Dropout"), {}, 13, ""),
    ],
)
def test_movements_and_reductions(*, tmp_path, layer, weights, opset, op):
    if "r" in layer.input and opset == 13:
        weights = {"r": SCALES["r"], "s": SCALES["s"]}
    runs = layer.op_type != "Upsample"
    params = int(np.prod(X)) if layer.op_type == "ScatterND" else 0  # its updates are stored
    graph = check(tmp_path, model_of([layer], weights, X, opset), 0, params, runs)
    assert [name for name, _ in ops_of(graph) if name != "parameter"] == op.split()


def test_top_k_and_split(tmp_path):
    layers = [
        node("TopK", "x", "k", outputs=["a", "at"], axis=1),
        node("Split", "a", "sizes", outputs=["b", "c", "d"], axis=2),
        node("Split", "b", outputs=["e", "f"], axis=3, name="halves"),
    ]
    weights = {"k": ints(3), "sizes": ints(2, 3, 4)}
    names = ["at", "c", "d", "e", "f"]
    graph = check(tmp_path, model_of(layers, weights, X, 13, names), 0, 0)
    assert [op for op, _ in ops_of(graph)] == ["topk", "part", *["slice"] * 5]


UNARY = {
    **dict.fromkeys(("Abs", "Ceil", "Cos", "Erf", "Exp", "Floor", "Log", "Neg", "Reciprocal"), 1),
    **dict.fromkeys(("Round", "Sign", "Sin", "Sqrt", "Tan", "Atan", "Relu", "Tanh"), 1),
    "Elu": 3,
    "Celu": 3,
    "Selu": 4,
    "LeakyRelu": 2,
    "Softplus": 3,
    "Softsign": 3,
    "Mish": 5,
    "Sigmoid": 4,
    "HardSigmoid": 4,
    "HardSwish": 5,
    "IsNaN": 1,
    "ThresholdedRelu": 2,
}


@pytest.mark.parametrize(("op", "flops"), UNARY.items())
def test_unary(tmp_path, op, flops):
    graph = check(tmp_path, model_of([node(op)], None, X), 0, 0)
    assert af.lower(graph, "eager").flops.sum() == flops * np.prod(X)


BINARY = ["Add", "Sub", "Mul", "Div", "Pow", "Greater", "Less", "Equal", "Max", "Min", "Sum"]


@pytest.mark.parametrize("op", BINARY)
@pytest.mark.parametrize("other", [X, (4, 1, 1), (8,), (3, 1, 1, 1, 1), (2, 4, 1, 1)])
def test_binary(tmp_path, op, other):
    graph = check(tmp_path, model_of([node(op, "x", "z")], None, X, z=other), 0, 0)
    assert af.lower(graph).flops.sum() == np.prod(np.broadcast_shapes(X, other))
    graph = check(tmp_path, model_of([node(op, "z", "x")], None, X, z=other), 0, 0)
    assert af.lower(graph).flops.sum() == np.prod(np.broadcast_shapes(X, other))


def test_operands_of_which_some_are_numbers_or_parameters(tmp_path):
    layers = [
        node("Mul", "x", "half", outputs=["a"]),
        node("Add", "a", "table", outputs=["b"], name="position"),
        node("Where", "mask", "b", "half", outputs=["c"], name="where"),
        node("Max", "c", "x", "b", name="max"),
    ]
    weights = {"half": F32(0.5), "table": (9, 8), "mask": np.ones((9, 8), bool)}
    graph = check(tmp_path, model_of(layers, weights, X), 0, 72)
    ops = [op for op, _ in ops_of(graph)]
    assert ops == ["mul", "parameter", "add", "constant", "where", "maximum", "maximum"]
    assert af.lower(graph).flops.sum() == 5 * np.prod(X)


def test_casts_to_the_type_of_another(tmp_path):
    layers = [
        node("CastLike", "zero", "end", outputs=["start"], name="start"),
        node("CastLike", "one", "end", outputs=["step"], name="step"),
        node("Range", "start", "end", "step", outputs=["places"], name="range"),
        node("Gather", "table", "places", outputs=["rows"], name="rows"),
        node("CastLike", "x", "rows", outputs=["same"], name="same"),  # between floating types
        node("CastLike", "same", "end", outputs=["a"], name="to_integers"),
        node("CastLike", "a", "x", outputs=["b"], name="and_back"),
        node("Add", "b", "rows"),
    ]
    weights = {"zero": F32(0), "one": F32(1), "end": I64(9), "table": (20, 8)}
    graph = check(tmp_path, model_of(layers, weights, X), 0, 160)
    ops = [op for op, _ in ops_of(graph)]
    assert [op for op in ops if op in ("cast", "add")] == ["cast", "cast", "add"]


@pytest.mark.parametrize("other", [(3,), (4, 2, 1)])
def test_operands_that_do_not_broadcast(tmp_path, other):
    with pytest.raises(errors.Error, match="broadcast"):
        load_onnx(saved(tmp_path, model_of([node("Sub", "x", "z")], None, X, z=other)))


SILU = [node("Sigmoid", outputs=["s"]), node("Mul", "s", "x")]
MISH = [
    node("Softplus", outputs=["p"]),
    node("Tanh", "p", outputs=["t"]),
    node("Mul", "x", "t"),
]
SOFTPLUS = [
    node("Softplus", outputs=["p"]),
    node("Greater", "x", "most", outputs=["c"]),
    node("Where", "c", "x", "p"),
]


@pytest.mark.parametrize(
    ("layers", "outputs", "ops"),
    [
        (SILU, ["y"], ["silu"]),
        (MISH, ["y"], ["mish"]),
        (SOFTPLUS, ["y"], ["softplus"]),
        (SILU, ["y", "s"], ["sigmoid", "mul"]),
        (MISH, ["y", "t"], ["softplus", "tanh", "mul"]),
        (SOFTPLUS, ["y", "c"], ["softplus", "compare", "where"]),
        (SOFTPLUS[1::-1] + SOFTPLUS[2:], ["y"], ["compare", "softplus", "where"]),
        ([SILU[0], node("Mul", "s", "s")], ["y"], ["sigmoid", "mul"]),
        ([*SOFTPLUS[:2], node("Where", "c", "p", "x")], ["y"], ["softplus", "compare", "where"]),
        (
            [*SILU, node("Greater", "s", "most", outputs=["g"])],
            ["y", "g"],
            ["sigmoid", "mul", "compare"],
        ),
    ],
)
def test_activations_in_steps_are_one_where_nothing_else_reads_those(
    tmp_path, layers, outputs, ops
):
    model = model_of(layers, {"most": F32(20)}, X, outputs=outputs)
    assert [op for op, _ in ops_of(check(tmp_path, model, 0, 0))] == ops


def test_what_a_branch_reads_is_not_folded(tmp_path):
    make = onnx.helper.make_graph
    reads = make([node("Neg", "s", outputs=["n"])], "then", [], [onnx.ValueInfoProto(name="n")])
    other = make([node("Abs", "x", outputs=["m"])], "else", [], [onnx.ValueInfoProto(name="m")])
    branch = node("If", "is", outputs=["b"], then_branch=reads, else_branch=other)
    weights = {"is": np.array(True)}
    model = model_of([*SILU, branch], weights, X, outputs=["y", "b"])
    ops = [op for op, _ in ops_of(check(tmp_path, model, 0, 0))]
    assert ops == ["sigmoid", "mul", "neg"]
